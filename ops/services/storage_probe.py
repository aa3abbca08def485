"""Whether the storage takes a file, gives it back and lets it go.

It is asked by a beat, never by a request, and by one process of each machine.
"""

import logging
import secrets
import time
from pathlib import Path
from typing import Any

import orjson
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from ops.metrics import STORAGE_SECONDS, STORAGE_UP
from ops.services import machine, metric_files

logger = logging.getLogger(__name__)

PROBE_EVERY = 15  # seconds
FILE = "storage.last"  # in METRICS_DIR: when it was asked last, and what was wrong with it
TOO_OLD = 45  # seconds: two in a row are missing, as when the storage hangs


class StorageUnproven(Exception):
    """The storage failed, or did not answer for too long."""


def probe() -> None:
    """Write a small file, read it back and delete it. Raises what the storage raises.

    Nothing where another process of this machine does: what it found lies in METRICS_DIR.
    """
    if not machine.speaks():
        STORAGE_UP.forget()
        return
    begun = time.monotonic()
    try:
        with STORAGE_UP.asking():
            _write_read_delete()
    except Exception as error:
        _write_down(f"{type(error).__name__}: {error}")
        raise
    STORAGE_SECONDS.observe(time.monotonic() - begun)
    _write_down("")


def _write_read_delete() -> None:
    # One name for each machine: what a kill leaves behind is overwritten by the next.
    name = f"health/{machine.machine_id()}.txt"
    content = secrets.token_bytes(32)
    default_storage.delete(name)
    path = default_storage.save(name, ContentFile(content))
    try:
        with default_storage.open(path) as written:
            if written.read() != content:
                raise StorageUnproven("the storage gave something else back")
    finally:
        default_storage.delete(path)


# What this process found last: the disk that is full may be the one that METRICS_DIR is on.
_own: dict[str, Any] = {}


def _write_down(problem: str) -> None:
    """Tell the other processes of this machine what came of it, and when."""
    _own.update(at=time.time(), problem=problem)
    path = _file()
    draft = path.with_suffix(".new")
    try:
        draft.write_bytes(orjson.dumps(_own))
        draft.replace(path)
    except OSError as error:
        logger.warning("What the storage answered could not be written down: %s", error.strerror)


def _last() -> dict[str, Any]:
    """What was found last, by this process or another one of the machine; empty if nothing was."""
    try:
        found: dict[str, Any] = orjson.loads(_file().read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):  # a power cut left half of it
        return _own
    return max(found, _own, key=lambda one: one.get("at", 0.0))


def _file() -> Path:
    return metric_files.folder() / FILE


def check() -> None:
    """Raise StorageUnproven unless the last probe of this machine went well, not long ago."""
    last = _last()
    if not last:
        raise StorageUnproven("the storage was not asked yet")
    if last["problem"]:
        raise StorageUnproven(last["problem"])
    age = time.time() - last["at"]
    if age > TOO_OLD:
        raise StorageUnproven(f"the storage has not answered for {age:.0f} s")


def forget() -> None:
    """Forget the last probe of this machine."""
    _own.clear()
    _file().unlink(missing_ok=True)
