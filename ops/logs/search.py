"""Finding lines in the files of the log, the oldest first and without reading a file whole."""

import gzip
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, cast

import orjson

from ops.logs.files import LogFile, log_files
from ops.logs.lines import utc

type Line = dict[str, Any]

OUT_OF_ORDER = 10_000  # lines that are held to be put into order
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines are meant: of a level at least, of a request, of a logger and those below it."""

    since: datetime | None = None
    level: str = "DEBUG"
    request_id: str = ""
    logger: str = ""


def lines(folder: Path, wanted: Wanted) -> Iterator[Line]:
    """The lines that are meant, in the order of their times, from all files of a folder.

    What is no line of JSON, such as one that a full disk cut off, is left out. A file that is
    packed or deleted meanwhile is read to its end. Lines of requests wait for a second before they
    are written, so that they are put into order here.
    """
    first = wanted.since and wanted.since.astimezone(UTC).date()
    test = _test(wanted)
    for _day, files in groupby(log_files(folder), key=_day_of):
        of_the_day = [file for file in files if first is None or file.day >= first]
        read = (_in_order(_read(file, test, wanted.request_id)) for file in of_the_day)
        yield from heapq.merge(*read, key=itemgetter("time"))


def _in_order(lines_read: Iterator[Line]) -> Iterator[Line]:
    """Lines by their times, of which none is more than so many places from where it belongs."""
    held: list[tuple[str, int, Line]] = []
    for number, line in enumerate(lines_read):
        heapq.heappush(held, (line["time"], number, line))
        if len(held) > OUT_OF_ORDER:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]


def _day_of(file: LogFile) -> date:
    return file.day


def _read(file: LogFile, test: Callable[[Line], bool], request_id: str) -> Iterator[Line]:
    mark = request_id.encode()
    try:
        opened = _open(file)
    except FileNotFoundError:
        return
    with opened:
        for text in opened:
            if mark not in text:  # much cheaper than reading it as JSON
                continue
            try:
                line = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue
            if isinstance(line, dict) and "time" in line and test(line):
                yield line


def _open(file: LogFile) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file.path)) if file.is_packed else file.path.open("rb")


def _test(wanted: Wanted) -> Callable[[Line], bool]:
    levels = frozenset(LEVELS[LEVELS.index(wanted.level) :])
    since = utc(wanted.since.timestamp()) if wanted.since else ""
    below = f"{wanted.logger}."

    def is_meant(line: Line) -> bool:
        return (
            line["time"] >= since
            and line.get("level") in levels
            and (not wanted.request_id or line.get("request_id") == wanted.request_id)
            and (not wanted.logger or f"{line.get('logger')}.".startswith(below))
        )

    return is_meant
