"""Errors that were logged, told apart by where they come from, until somebody writes them down.

They wait in memory: the transaction in which something fails is taken back, and the database may
be what is away. `ops.services.error_groups` writes them a few seconds later, on a connection of
its own. What waits is bounded by kinds of errors; how often one came is a number.
"""

import hashlib
import logging
import os
import re
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import override

from django.conf import settings

from ops import request_context, request_id
from ops.logs.counts import count
from ops.masking import mask, mask_by_look

FRAMES = 3  # innermost ones of ours that tell one error from another
MOST_KINDS = 200
LONGEST_SAMPLE = 20_000  # signs; the end says what failed
LONGEST_NAME = 200

type Failure = tuple[type[BaseException], BaseException, TracebackType | None]

# What a message quotes is what somebody sent, or a row of somebody's: a name has no pattern.
_QUOTED = re.compile(r"(?<!\w)(['\"])(?:(?!\1)[^\\\n]|\\.)*\1(?!\w)")


@dataclass(slots=True, kw_only=True)
class CapturedError:
    """A kind of error, how often it came, and one example without anything personal."""

    fingerprint: str
    kind: str
    where: str
    logger: str
    route: str
    request_id: str
    sample: str
    first_seen: datetime
    last_seen: datetime
    count: int = 1


class Waiting:
    """What was captured in this process and is not written yet."""

    def __init__(self, most: int = MOST_KINDS) -> None:
        self._most = most
        self._errors: dict[str, CapturedError] = {}
        self._lock = threading.Lock()

    def add(self, record: logging.LogRecord, failure: Failure) -> None:
        """Count an error; of the first of its kind an example is kept."""
        count("errors")
        seen = datetime.fromtimestamp(record.created, UTC)
        key = fingerprint(failure)
        with self._lock:
            if known := self._errors.get(key):
                known.count += 1
                known.last_seen = max(known.last_seen, seen)
                return
            if len(self._errors) >= self._most:
                count("errors_dropped")
                return
        captured = _captured(record, failure, key, seen=seen)  # long, so without the lock
        self._put(captured)

    def take(self) -> list[CapturedError]:
        """What waits; from then on it is the caller's to write, or to put back."""
        with self._lock:
            taken = list(self._errors.values())
            self._errors = {}
        return taken

    def put_back(self, errors: list[CapturedError]) -> None:
        """Let what could not be written wait again; what there is no place for is counted."""
        for error in errors:
            self._put(error)

    def _put(self, error: CapturedError) -> None:
        with self._lock:
            if known := self._errors.get(error.fingerprint):
                known.count += error.count
                known.first_seen = min(known.first_seen, error.first_seen)
                known.last_seen = max(known.last_seen, error.last_seen)
            elif len(self._errors) < self._most:
                self._errors[error.fingerprint] = error
            else:
                count("errors_dropped", error.count)

    def begin_anew(self) -> None:
        """Have nothing: a forked process has the errors of the one it came from, which writes them.

        And its lock, as a thread that is not there held it.
        """
        self._lock = threading.Lock()
        self._errors = {}

    def __len__(self) -> int:
        return len(self._errors)


waiting = Waiting()
os.register_at_fork(after_in_child=waiting.begin_anew)


class ErrorHandler(logging.Handler):
    """Captures every line of an error that has a stack trace. Never raises.

    What is logged while it captures, or while captured errors are written, is no error of the
    platform's work: it is left out, or one that fails at each try would go round for ever.
    """

    _at_work = threading.local()

    def __init__(self, level: int = logging.ERROR) -> None:
        super().__init__(level)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        failure = _failure_of(record)
        if failure is None or getattr(self._at_work, "is_busy", False):
            return
        self._at_work.is_busy = True
        try:
            waiting.add(record, failure)
        except Exception:  # noqa: BLE001  whatever an exception raises when it is looked at
            count("errors_dropped")
        finally:
            self._at_work.is_busy = False

    @classmethod
    def rest(cls) -> "_Resting":
        """A block in which this thread's errors are not captured."""
        return _Resting(cls._at_work)


class _Resting:
    def __init__(self, at_work: threading.local) -> None:
        self._at_work = at_work

    def __enter__(self) -> None:
        self._at_work.is_busy = True

    def __exit__(self, *_raised: object) -> None:
        self._at_work.is_busy = False


def fingerprint(failure: Failure) -> str:
    """What is alike for errors of one kind: the type, and where it comes from, without lines."""
    kind, _error, trace = failure
    parts = [kind_of(kind), *(f"{path}:{name}" for path, name in _frames(trace))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def kind_of(kind: type[BaseException]) -> str:
    """What an exception is called, with its module where it is not Python's own."""
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"[:LONGEST_NAME]


def told(failure: Failure) -> str:
    """The stack trace, without values of variables and without what messages quote."""
    trace = traceback.TracebackException(*failure, compact=True)
    text = "".join(_told_parts(trace)).rstrip("\n")
    return storable(text.replace(f"{settings.BASE_DIR}/", ""))[-LONGEST_SAMPLE:]


def storable(text: str) -> str:
    """A text as a database takes it: without NUL, and with a question mark for half a sign."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def without_quotes(text: str) -> str:
    """What an exception says, masked, and without what it quotes."""
    return _QUOTED.sub(r"\1***\1", mask(text))


def _told_parts(trace: traceback.TracebackException) -> Iterator[str]:
    for part in trace.format():
        is_source = part.lstrip(" |+-").startswith('File "')
        yield mask_by_look(part) if is_source else without_quotes(part)


def _failure_of(record: logging.LogRecord) -> Failure | None:
    info = record.exc_info
    return None if not info or info[0] is None or info[1] is None else info


def _frames(trace: TracebackType | None) -> list[tuple[str, str]]:
    """The innermost frames of ours; where none is, those of whoever else's it is."""
    base = f"{settings.BASE_DIR}/"
    ours: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        path = code.co_filename
        is_ours = path.startswith(base) and "/site-packages/" not in path
        (ours if is_ours else others).append((path.removeprefix(base), code.co_qualname))
        trace = trace.tb_next
    if ours:
        return ours[-FRAMES:]
    return [(path.rpartition("/site-packages/")[2], name) for path, name in others[-FRAMES:]]


def _captured(
    record: logging.LogRecord, failure: Failure, key: str, *, seen: datetime
) -> CapturedError:
    frames = _frames(failure[2])
    where = ":".join(frames[-1]) if frames else record.name
    return CapturedError(
        fingerprint=key,
        kind=kind_of(failure[0]),
        where=where[-LONGEST_NAME:],
        logger=record.name[:LONGEST_NAME],
        route=request_context.known_route()[:LONGEST_NAME],
        request_id=request_id.current.get(),
        sample=told(failure),
        first_seen=seen,
        last_seen=seen,
    )
