"""Lines of the log: an object of JSON for machines, or what people read in a terminal."""

import atexit
import json
import logging
import os
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from select import PIPE_BUF
from typing import Any, NamedTuple, TextIO, override

import orjson
from django.conf import settings

from ops import request_context, request_id
from ops.logs import counts
from ops.masking import hides, mask_by_look
from ops.measures import OTHER

REQUESTS = "request"  # the logger of the lines that end a request
# Signs of what may be long; of a stack trace its end says what failed.
LONGEST_MESSAGE, LONGEST_TRACE = 8_000, 20_000
WRITE_EVERY = 1  # seconds that the line of a request waits at most, and its count
_METHODS = frozenset(counts.METHODS)
MOST_WAITING = 500  # lines


class RequestLine(NamedTuple):
    """The line that ends a request: numbers, and words of ours alone, so that nothing is masked."""

    created: float  # seconds since 1970
    request_id: str
    person_id: int | None
    shop_id: int | None
    method: str  # any word that somebody sent
    route: str | None  # none where it was answered before anybody looked for a view
    is_static: bool
    status: int
    code: int | None  # of the envelope
    seconds: float
    queries: int
    is_slow: bool

    @property
    def level(self) -> int:
        """Of what logging calls its levels."""
        return logging.WARNING if self.is_slow else logging.INFO

    def json(self) -> bytes:
        """The object, with the end of its line."""
        line = {
            "time": utc(self.created),
            "level": "WARNING" if self.is_slow else "INFO",
            "logger": REQUESTS,
            "message": "Slow request" if self.is_slow else "Request",
            "request_id": self.request_id,
            **self.facts(),
        }
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def facts(self) -> dict[str, Any]:
        """What it says beside what every line does."""
        return {
            "person_id": self.person_id,
            "shop_id": self.shop_id,
            "method": self.method if self.method in _METHODS else OTHER,
            "route": "" if self.route is None else f"/{self.route}",
            "status": self.status,
            "code": self.code,
            "seconds": round(self.seconds, 5),
            "queries": self.queries,
        }

    def observe(self) -> None:
        """Count the request, and how long it took."""
        route = self.route
        if route is None:
            route = "static" if self.is_static else "none"
        code = "" if self.code is None else str(self.code)
        counts.REQUESTS.add(1, route, self.method, str(self.status), code)
        counts.REQUEST_SECONDS.observe(self.seconds, route, self.method)

    def record(self) -> logging.LogRecord:
        """The same for a handler that knows records alone."""
        facts = self.facts()
        slow = "Slow request: " if self.is_slow else ""
        code = "" if self.code is None else f" ({self.code})"
        text = (
            f"{slow}{facts['method']} {facts['route'] or '-'} {self.status}{code}, "
            f"{self.seconds * 1000:.1f} ms, {self.queries} queries"
        )
        record = logging.LogRecord(REQUESTS, self.level, __file__, 0, text, None, None)
        record.created, record.msecs = self.created, self.created % 1 * 1000
        record.facts = facts
        return record


class Lines(list[RequestLine]):
    """Lines that are written together: each is made JSON once, however many handlers take it."""

    @cached_property
    def written(self) -> list[bytes]:
        """Each as an object, with the end of its line."""
        return [line.json() for line in self]


class TakesLines(logging.Handler):
    """A handler that writes lines of requests many at a time, and makes no records of them."""

    @abstractmethod
    def take(self, lines: Lines) -> None:
        """Write them. Never raises."""


class Backlog:
    """Lines of requests that are not written yet.

    To write each in its request costs several times what it costs among others: the code is no
    longer at hand, and every file wants a call of its own. So they wait for at most a second, for
    the pulse, for the next request or for the end of the process. What somebody may look for
    after a crash (slow, failed) is written at once, and all that came before it. A request is
    counted when its line is written, for the same reasons.
    """

    def __init__(self) -> None:
        self._lines: deque[RequestLine] = deque()
        self._writing = threading.Lock()
        self._written_at = 0.0

    def add(self, line: RequestLine, *, is_urgent: bool) -> None:
        """Take one more; write all of them where it is time to."""
        self._lines.append(line)
        is_time = line.created > self._written_at + WRITE_EVERY or len(self._lines) >= MOST_WAITING
        if is_urgent or is_time:
            self.write()

    def write(self) -> None:
        """Hand what waits to those handlers of the logger that take it. Never raises.

        Where lines of requests are off, those of slow ones alone.
        """
        with self._writing:
            self._written_at = time.time()
            lines = Lines()
            while self._lines:
                line = self._lines.popleft()
                line.observe()
                lines.append(line)
            logger = logging.getLogger(REQUESTS)
            if not (settings.LOG_REQUESTS and logger.isEnabledFor(logging.INFO)):
                lines = Lines(line for line in lines if line.is_slow)
            if not lines:
                return
            for handler in logger.handlers:
                if isinstance(handler, TakesLines):
                    handler.take(lines)

    def begin_anew(self) -> None:
        """Have nothing: a forked process has the lines of the one it came from, which writes them.

        And its lock, as a thread that is not there held it.
        """
        self._writing = threading.Lock()
        self._lines = deque()


def _hand_record(handler: logging.Handler, line: RequestLine) -> None:
    """What a record says of who acts is the line's own: by now another one's turn may be."""
    token = request_id.current.set(line.request_id)
    try:
        handler.handle(line.record())
    finally:
        request_id.current.reset(token)


backlog = Backlog()
atexit.register(backlog.write)
os.register_at_fork(after_in_child=backlog.begin_anew)


class Console(logging.StreamHandler[TextIO], TakesLines):
    """Lines on stderr: what the formatter makes of records, and of requests the same kind."""

    @override
    def take(self, lines: Lines) -> None:
        if not isinstance(self.formatter, JsonFormatter):
            for line in lines:
                _hand_record(self, line)
            return
        try:
            # Several processes have one pipe: what is not larger than this is kept apart there.
            for piece in _pieces(lines.written, PIPE_BUF):
                self.stream.buffer.write(piece)
                self.stream.buffer.flush()
        except Exception:  # noqa: BLE001  a line less is better than a request less
            counts.count("lines_lost", len(lines))


def _pieces(lines: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Whole lines together, as many as are no more than so many bytes."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > most:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield b"".join(piece)


class JsonFormatter(logging.Formatter):
    """One object in one line. It writes what `extra={"facts": {...}}` says under its own names.

    What is called or looks sensitive is masked in facts; the message and the trace are by then.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        return _written(self._line(record))

    def _line(self, record: logging.LogRecord) -> dict[str, Any]:
        line: dict[str, Any] = {
            "time": utc(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST_MESSAGE],
            "request_id": getattr(record, "request_id", "-"),
            "person_id": request_context.known_person_id(),
            "shop_id": request_context.known_shop_id(),
        }
        facts: Mapping[str, Any] = getattr(record, "facts", {})
        line |= {name: _fact(name, value) for name, value in facts.items()}
        trace = record.exc_text or record.stack_info
        if trace:
            line["trace"] = trace[-LONGEST_TRACE:]
        return line


def utc(moment: float) -> str:
    """A moment of the clock in UTC with milliseconds; later ones are greater texts as well."""
    second = int(moment)
    return f"{_second(second)}.{int((moment - second) * 1000):03d}Z"


_last_second = (0, "")


def _second(second: int) -> str:
    global _last_second
    known, text = _last_second
    if known != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _last_second = second, text
    return text


def _fact(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return "***" if hides(name) else mask_by_look(str(value))[:LONGEST_MESSAGE]


def _written(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line).decode()
    except TypeError:  # half of a character, or a number that is none of JSON's
        return json.dumps(line, default=str)
