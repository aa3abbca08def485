"""Positions in the WAL, the names of its segments, and whether a row of them has no hole."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from django.utils.translation import gettext as _

SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?")
HISTORY = re.compile(r"([0-9A-F]{8})\.history")
PARTIAL = ".partial"
PAGE = 8192  # bytes of a page of the WAL
_HEADERS = (24, 40)  # bytes of a page's header, and of that of a segment's first page
_FILE = 1 << 32  # bytes that the second number of a name counts


def position(text: str) -> int:
    """The byte of the WAL that an LSN such as 0/3000148 names."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def end_of_record(text: str) -> str:
    """The place behind the last record, where the next one will begin at this one.

    Where that is the first of a page, the header of the page lies between them.
    """
    byte = position(text)
    if byte % PAGE in _HEADERS:
        byte -= byte % PAGE
    return f"{byte >> 32:X}/{byte & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of the WAL: the timeline, and its number on it."""

    timeline: int
    number: int

    @classmethod
    def named(cls, name: str, *, size: int) -> Self | None:
        """The segment that a file holds, whole or in part; None where it is another file."""
        found = SEGMENT.fullmatch(name)
        if found is None:
            return None
        timeline, file, number = (int(part, 16) for part in found.groups()[:3])
        return cls(timeline, file * (_FILE // size) + number)

    @classmethod
    def at(cls, position_: str, *, timeline: int, size: int) -> Self:
        """The segment in which an LSN lies."""
        return cls(timeline, position(position_) // size)

    def name(self, *, size: int) -> str:
        """The file's name."""
        file, number = divmod(self.number, _FILE // size)
        return f"{self.timeline:08X}{file:08X}{number:08X}"


def forks(history: str) -> dict[int, int]:
    """Where each timeline of a .history file was left for the next: timeline to byte."""
    found = {}
    for line in history.splitlines():
        words = line.split("#")[0].split()
        if words:
            found[int(words[0])] = position(words[1])
    return found


def verify_chain(
    names: Iterable[str],
    *,
    from_lsn: str,
    to_lsn: str,
    timeline: int,
    size: int,
    to_timeline: int | None = None,
    history: str = "",
) -> list[str]:
    """Say of each segment between two positions that it is missing or double; empty if none is.

    The way begins on `timeline` and ends on `to_timeline`, whose .history file says where it forked
    from the ones before. A segment in part (.partial) is enough where nothing more is wanted of it.
    `size` is that of a segment, in bytes.
    """
    told = Counter(names)
    way = _way(
        timeline,
        timeline if to_timeline is None else to_timeline,
        forks(history),
        first=position(from_lsn),
        last=position(to_lsn),
    )
    if not way:
        return [
            _("Timeline %(later)s of the WAL does not come from timeline %(earlier)d.")
            % {"later": to_timeline, "earlier": timeline}
        ]
    # In which the next timeline begins: it has the bytes before its fork as well.
    forked = {begin // size: line for line, begin, _end in way[1:]}
    problems = []
    for line, begin, end in way:
        # A position at the very end of a segment is the first byte that is not needed.
        for number in range(begin // size, max(begin, end - 1) // size + 1):
            name = Segment(line, number).name(size=size)
            whole, part = told[name], told[f"{name}{PARTIAL}"]
            last = (number + 1) * size >= end
            if max(whole, part) > 1:
                problems.append(_("Segment %s of the WAL is there twice.") % name)
            elif whole or (last and (part or forked.get(number, line) != line)):
                continue
            elif part:
                problems.append(_("Segment %s of the WAL is there in part only.") % name)
            else:
                problems.append(_("Segment %s of the WAL is missing.") % name)
    return problems


def unneeded(names: Iterable[str], *, from_lsn: str, size: int) -> list[str]:
    """Which files no backup needs whose way begins at `from_lsn` or later.

    Those of segments before it, and parts of segments that are there as a whole.
    """
    known = set(names)
    first = position(from_lsn) // size
    found = []
    for name in sorted(known):
        segment = Segment.named(name, size=size)
        if segment is None:
            continue
        finished = name.endswith(PARTIAL) and name.removesuffix(PARTIAL) in known
        if finished or segment.number < first:
            found.append(name)
    return found


def _way(
    timeline: int, to_timeline: int, left: Mapping[int, int], *, first: int, last: int
) -> list[tuple[int, int, int]]:
    """What of each timeline is wanted: its number, the first byte, the byte behind the last one.

    Empty where the one does not come from the other.
    """
    if timeline == to_timeline:
        return [(timeline, first, last)]
    if timeline not in left:
        return []
    ends = {line: end for line, end in sorted(left.items()) if timeline <= line < to_timeline}
    way, begin = [], first
    for line, end in {**ends, to_timeline: last}.items():
        # A fork before the beginning: the copy was made after it, under the name of the ancestor.
        way.append((line, begin, max(begin, end)))
        begin = max(begin, end)
    return way
