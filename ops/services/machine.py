"""This machine among the others: what it is called, and which of its processes speaks for it.

All processes that share METRICS_DIR are one machine. Its id lies in a file there: the name of a
host is another one after each start of a container. What is done once for a machine (to sample its
metrics, to watch the database) is done by whichever process holds a lock there; the kernel lets go
of it however that process ends, and the next one that asks has it.
"""

import fcntl
import os
import re
import secrets
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ops.services import metric_files

ID_FILE, LOCK_FILE = "machine-id", "speaker.lock"
WELL_FORMED = re.compile(r"\A[A-Za-z0-9._-]{1,100}\Z")


def machine_id() -> str:
    """What this machine is called, as long as METRICS_DIR is there: made when it is first asked.

    It begins with the name that the host had then, for people to know it by. Raises OSError.
    """
    path = _folder() / ID_FILE
    with suppress(FileNotFoundError):
        known = path.read_text().strip()
        if WELL_FORMED.match(known):
            return known
        path.unlink(missing_ok=True)  # a power cut left half of it
    _write_once(path, _new_id())
    return path.read_text().strip()


def _new_id() -> str:
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:60]
    return f"{host or 'machine'}-{secrets.token_hex(3)}"


def _write_once(path: Path, text: str) -> None:
    """Write a file as a whole unless somebody else was faster."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


# --- Who speaks ---------------------------------------------------------------------------------
@dataclass(slots=True)
class _Held:
    """The lock, where this process has it."""

    guard: threading.Lock = field(default_factory=threading.Lock)
    descriptor: int = -1
    path: Path | None = None


_held = _Held()


def speaks() -> bool:
    """Whether this process speaks for its machine, from now on if nobody else does.

    Raises OSError where METRICS_DIR cannot be written.
    """
    path = _folder() / LOCK_FILE
    with _held.guard:
        if _held.path == path and _is_same(_held.descriptor, path):
            return True
        _let_go()
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # it is tried again every few seconds: nothing may be left over
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return False
            raise
        _held.descriptor, _held.path = descriptor, path
        return True


def let_go() -> None:
    """Leave it to another process to speak, as the end of this one does."""
    with _held.guard:
        _let_go()


def _let_go() -> None:
    if _held.path is not None:
        os.close(_held.descriptor)
    _held.descriptor, _held.path = -1, None


def _is_same(descriptor: int, path: Path) -> bool:
    """Whether it is this file that is locked: somebody may have emptied the folder."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False


def _folder() -> Path:
    folder = metric_files.folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _begin_anew() -> None:
    """A forked process has the lock of the one it came from, and must not hold it for it."""
    _held.guard = threading.Lock()
    _let_go()


os.register_at_fork(after_in_child=_begin_anew)
