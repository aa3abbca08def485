"""Public files: their address is the hash of their bytes, the same for everybody and for ever."""

import hashlib
import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.urls import get_script_prefix, reverse

from ops.models import PUBLIC_PURPOSES, StoredFile
from ops.services import files

logger = logging.getLogger(__name__)

_MEDIA_TYPES = {extension: media_type for media_type, extension in files.EXTENSIONS.items()}
MOST_COPIES = 5  # that are tried; one is there unless somebody was in the storage


class FileFacts(NamedTuple):
    """What of a stored file its public address follows from, where no more of it was read."""

    purpose: str
    media_type: str
    sha256: str


def public_address(file: StoredFile | FileFacts) -> str:
    """The address of a public file: at PUBLIC_FILES_URL, or a path of ours without one.

    It follows from the bytes alone. Raises ValueError for a private file, and for one that is no
    picture: their addresses are signed.
    """
    if file.purpose not in PUBLIC_PURPOSES or file.media_type not in files.EXTENSIONS:
        raise ValueError(f"file {file} is private")
    path = _path(file.sha256, files.EXTENSIONS[file.media_type], get_script_prefix())
    return settings.PUBLIC_FILES_URL + path


@lru_cache(maxsize=4096)
def _path(sha256: str, extension: str, _script_prefix: str) -> str:
    """Remembered, since finding a path takes as long as writing the rest of a list's item."""
    return reverse("public-file", args=[sha256, extension])


def copies_of(*, sha256: str, extension: str) -> list[StoredFile]:
    """The public files with these bytes: the same picture may be stored more than once.

    Private files are not among them, even if their bytes are the same; nor is a temporary one,
    which nobody decided to show.
    """
    copies = StoredFile.objects.filter(
        sha256=sha256,
        purpose__in=PUBLIC_PURPOSES,
        media_type=_MEDIA_TYPES.get(extension, ""),
        is_temporary=False,
    )
    return list(copies[:MOST_COPIES])


def read_copy(copies: Iterable[StoredFile]) -> bytes:
    """The bytes that these files have in common, compared with their hash: others keep them.

    Raises FileNotFoundError when the storage has none of them whole, Unavailable when it is away.
    """
    for copy in copies:
        content = _read_whole(copy)
        if content is not None:
            return content
    raise FileNotFoundError


def _read_whole(file: StoredFile) -> bytes | None:
    """The bytes of a file; None where the storage lost or changed them, which is logged."""
    try:
        content = files.read(file)
    except FileNotFoundError:
        logger.exception("The storage lost file %s", file.pk)
        return None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        logger.error("File %s is not what was stored", file.pk)
        return None
    return content
