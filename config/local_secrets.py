"""Secrets for a developer's machine: made once, kept beside the data, never committed."""

import os
import secrets
from pathlib import Path

from config.private_paths import make_private_folder


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
