"""Secrets for a developer's machine: made once, kept beside the data, never committed."""

import os
import secrets
from pathlib import Path
from typing import override

from django.utils.functional import SimpleLazyObject

from config.private_paths import make_private_folder


class MadeWhenNeeded(SimpleLazyObject):  # type: ignore[type-arg]  # generic for mypy alone
    """A secret, or a ring of them, that is made when somebody first looks at it.

    Modules hand SECRET_KEY on when they are imported, and Django then asks whether it is empty:
    this one never is, and answers without being made. Nor does it show itself.
    """

    _mask_wrapped = True  # what Django's settings ask of each value: no lazy object knows it

    @override
    def __bool__(self) -> bool:
        return True

    @override
    def __repr__(self) -> str:
        return "<secret>"


def local_secret(path: Path, *, length: int = 48) -> str:
    """Return the secret kept in `path`, making it (readable by its owner alone) the first time.

    Several processes may start at once: the file is written aside and linked into place, so that
    whoever comes second reads the first one's secret instead of half a file.
    """
    make_private_folder(path.parent)
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)  # before the secret is in it
        draft.write_text(secrets.token_urlsafe(length), encoding="ascii")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="ascii").strip()
