"""Whether the storage takes a file, gives it back and lets it go: asked by a beat, never by a
request.
"""

import os
import secrets
import socket
import time
from dataclasses import dataclass

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from ops.metrics import STORAGE_SECONDS, STORAGE_UP

PROBE_EVERY = 15  # seconds
TOO_OLD = 45  # seconds: two in a row are missing, as when the storage hangs


class StorageUnproven(Exception):
    """The storage failed, or did not answer for too long."""


@dataclass(slots=True)
class _Outcome:
    """Of the last probe that came to an end."""

    at: float | None = None  # by time.monotonic
    problem: str = ""


_last = _Outcome()


def probe() -> None:
    """Write a small file, read it back and delete it. Raises what the storage raises."""
    begun = time.monotonic()
    try:
        with STORAGE_UP.asking():
            _write_read_delete()
    except Exception as error:
        _last.at, _last.problem = time.monotonic(), f"{type(error).__name__}: {error}"
        raise
    _last.at, _last.problem = time.monotonic(), ""
    STORAGE_SECONDS.observe(_last.at - begun)


def _write_read_delete() -> None:
    # One name for each process: what a kill leaves behind is overwritten by the next of that name.
    name = f"health/{socket.gethostname()}-{os.getpid()}.txt"
    content = secrets.token_bytes(32)
    default_storage.delete(name)
    path = default_storage.save(name, ContentFile(content))
    try:
        with default_storage.open(path) as written:
            if written.read() != content:
                raise StorageUnproven("the storage gave something else back")
    finally:
        default_storage.delete(path)


def check() -> None:
    """Raise StorageUnproven unless the last probe of this process went well, not long ago."""
    if _last.at is None:
        raise StorageUnproven("the storage was not asked yet")
    if _last.problem:
        raise StorageUnproven(_last.problem)
    age = time.monotonic() - _last.at
    if age > TOO_OLD:
        raise StorageUnproven(f"the storage has not answered for {age:.0f} s")


def forget() -> None:
    """Forget the last probe."""
    _last.at, _last.problem = None, ""
