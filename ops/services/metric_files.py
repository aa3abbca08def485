"""What each process of this machine has counted, in a folder that outlives them.

A process has a file of its own, replaced as a whole each time, and holds a lock on another one
beside it for as long as it lives: the kernel lets go of the lock however it ends. What the dead
have counted stays in the sum; their files are put together into one, so that a folder of a server
that starts a thousand times holds no more than one that started once.
"""

import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings

from ops.measures import Key, Values

logger = logging.getLogger(__name__)

GONE = "gone.json"  # what the processes counted that are not there any more
WRITTEN, ALIVE = ".json", ".alive"
ATTEMPTS = 10  # at reading while others put files together

type Counted = Mapping[str, Mapping[Key, Any]]


def folder() -> Path:
    """Where the files are: all processes that share it are one machine."""
    return Path(settings.METRICS_DIR)


@dataclass(frozen=True, slots=True)
class Sum:
    """What all processes have counted, and what each of the living reads of itself."""

    counted: dict[str, dict[Key, Any]] = field(default_factory=dict)
    gauges: list[dict[str, dict[Key, float]]] = field(default_factory=list)


# --- The file of this process ---------------------------------------------------------------------
class _OwnFile:
    """Made when there is something to write."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.pid = os.getpid()
        self.name = f"{self.pid}-{secrets.token_hex(6)}"
        self.content = b""
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Locked before it has its name: whoever finds it under that finds it locked.
        unnamed = where / f"{self.name}.new"
        self.lock = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX)
            unnamed.rename(where / f"{self.name}{ALIVE}")
        except OSError:  # it is tried again every second: nothing may be left over
            os.close(self.lock)
            unnamed.unlink(missing_ok=True)
            raise

    def write(self, content: bytes) -> None:
        if content == self.content:
            return
        replace(self.where / f"{self.name}{WRITTEN}", content)
        self.content = content

    def close(self) -> None:
        """Let go of the lock, as the end of the process does."""
        os.close(self.lock)


_own: dict[str, _OwnFile] = {}
# What this process wrote last, or would have where no byte is left: it counts in its own answers.
_latest: dict[Path, bytes] = {}
_writing = threading.Lock()


def write(counted: Counted, gauges: Mapping[str, Values]) -> None:
    """Write down what this process has counted and reads of itself.

    Raises OSError, as where the disk is full: then `read` knows it all the same in this process,
    and of the others what they wrote before.
    """
    content = orjson.dumps({"counted": _listed(counted), "gauges": _listed(gauges)})
    where = folder()
    with _writing:
        own = _own.get("file")
        if own is not None and own.where != where:
            let_go()
            own = None
        _latest.clear()
        _latest[where] = content
        if own is None:
            own = _own["file"] = _OwnFile(where)
        own.write(content)


def let_go() -> None:
    """Leave what was written to the others, as if this process had ended."""
    own = _own.pop("file", None)
    _latest.clear()
    if own is not None:
        own.close()


def write_at_the_end(last_words: Any) -> None:
    """Call this when the process ends in good order; once, however often it is asked for."""
    if "asked" not in _at_the_end:
        _at_the_end["asked"] = Finalize(None, last_words, exitpriority=0)


_at_the_end: dict[str, Any] = {}


def _begin_anew() -> None:
    """A forked process has the lock of the one it came from, and must not hold it for it."""
    global _writing
    _writing = threading.Lock()
    _at_the_end.clear()
    let_go()


os.register_at_fork(after_in_child=_begin_anew)


def _listed(series_by_name: Mapping[str, Mapping[Key, Any]]) -> dict[str, list[Any]]:
    return {name: list(series.items()) for name, series in series_by_name.items()}


def _keyed(listed: Mapping[str, list[Any]]) -> dict[str, dict[Key, Any]]:
    return {name: {tuple(key): value for key, value in series} for name, series in listed.items()}


def replace(path: Path, content: bytes) -> None:
    """Write a file of METRICS_DIR as a whole: who reads it sees the old or the new one.

    Raises OSError; the old one stays then.
    """
    unnamed = path.with_suffix(".new")
    descriptor = os.open(unnamed, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    unnamed.replace(path)


# --- All of them ----------------------------------------------------------------------------------
def read() -> Sum:
    """Sum up what all processes of this machine have written."""
    where = folder()
    own, latest = _own.get("file"), _parsed(_latest.get(where, b""))
    for _attempt in range(ATTEMPTS):
        before = _read(where / GONE)
        gone = _parsed(before)
        result = Sum(_keyed(gone.get("counted", {})))
        if latest:
            add_up(result.counted, _keyed(latest["counted"]))
            result.gauges.append(_keyed(latest["gauges"]))
        told = {*gone.get("merged", ()), *([own.name] if own and latest else ())}
        try:
            for name in _names(where, WRITTEN):
                if name not in told:
                    content = _parsed((where / f"{name}{WRITTEN}").read_bytes())
                    if not content:
                        continue
                    add_up(result.counted, _keyed(content["counted"]))
                    if _is_alive(where, name):
                        result.gauges.append(_keyed(content["gauges"]))
        except FileNotFoundError:
            continue  # it was put together with the others meanwhile
        if _read(where / GONE) == before:
            return result
    return result


def add_up(into: dict[str, dict[Key, Any]], more: Counted) -> None:
    """Add what another process has counted."""
    for name, series in more.items():
        known = into.setdefault(name, {})
        for key, value in series.items():
            before = known.get(key)
            if isinstance(value, list):
                # One of another length is of a version with other bounds, and cannot be added.
                same = before if isinstance(before, list) and len(before) == len(value) else []
                known[key] = (
                    [a + b for a, b in zip(same, value, strict=True)] if same else list(value)
                )
            else:
                known[key] = value + (before if isinstance(before, int | float) else 0)


def compact() -> int:
    """Put the files of those that are gone together into one; returns how many there were.

    Killed at any moment it leaves the same sum: `gone.json` says whose files it has in it.
    """
    where = folder()
    if not where.is_dir():
        return 0
    with _only_one(where) as is_ours:
        if not is_ours:
            return 0
        gone = _parsed(_read(where / GONE))
        _remove(where, gone.get("merged", ()))
        dead = [name for name in _names(where, WRITTEN) if not _is_alive(where, name)]
        if dead:
            counted = _keyed(gone.get("counted", {}))
            for name in dead:
                content = _parsed((where / f"{name}{WRITTEN}").read_bytes())
                add_up(counted, _keyed(content.get("counted", {})))
            replace(where / GONE, orjson.dumps({"counted": _listed(counted), "merged": dead}))
            _remove(where, dead)
        # Those that had nothing to write, or were killed before they could.
        _remove(where, [name for name in _names(where, ALIVE) if not _is_alive(where, name)])
        return len(dead)


def _names(where: Path, ending: str) -> list[str]:
    return [path.stem for path in where.glob(f"*-*{ending}")]


def _is_alive(where: Path, name: str) -> bool:
    """Whether the process of this name holds its lock."""
    try:
        descriptor = os.open(where / f"{name}{ALIVE}", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove(where: Path, names: Any) -> None:
    for name in names:
        for ending in (WRITTEN, ALIVE, ".new"):
            with suppress(FileNotFoundError):
                (where / f"{name}{ending}").unlink()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _parsed(content: bytes) -> dict[str, Any]:
    """What a file says; nothing where a power cut left half of it."""
    try:
        parsed: dict[str, Any] = orjson.loads(content) if content else {}
    except orjson.JSONDecodeError:
        logger.warning("A file of metrics is broken: its counts are lost")
        return {}
    return parsed


@contextmanager
def _only_one(where: Path) -> Iterator[bool]:
    """Whether nobody else puts files together now."""
    descriptor = os.open(where / "compact.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
