"""When the parts of this process that may fall silent were last seen at work."""

import os
import time
from datetime import UTC, datetime
from typing import Literal

type Part = Literal["worker", "scheduler"]

# Which entry point the process is: its metrics and its heartbeat are told by it.
type Kind = Literal["web", "sockets", "worker", "serve", "command"]
KINDS: tuple[Kind, ...] = ("web", "sockets", "worker", "serve", "command")

started_at = datetime.now(UTC)
_begun = time.monotonic()
_seen: dict[Part, datetime] = {}
_kind: list[Kind] = ["command"]


def note(part: Part) -> None:
    """Say that a part is at work: its loop does so each time it comes round."""
    _seen[part] = datetime.now(UTC)


def seen_at(part: Part) -> datetime | None:
    """When a part of this process was last at work; None where it has no such part."""
    return _seen.get(part)


def set_kind(entry_point: Kind) -> None:
    """Say which entry point this process is."""
    _kind[0] = entry_point


def kind() -> Kind:
    """Which entry point this process is; a command where nobody said."""
    return _kind[0]


def uptime() -> float:
    """For how many seconds this process has run, by a clock that nobody sets."""
    return time.monotonic() - _begun


def _begin_anew() -> None:
    global started_at, _begun
    started_at, _begun = datetime.now(UTC), time.monotonic()
    _seen.clear()


os.register_at_fork(after_in_child=_begin_anew)
