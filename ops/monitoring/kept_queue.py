"""How the queue of tasks stands, as this process last asked it: pages and gauges share one answer.

The engine may be a Redis that hangs. A page never asks, a beat does beside it; the three gauges of
the queue ask once, and what one of them was told, or was not, the others are told as well.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from ops import life_signs
from ops.services import queue
from ops.services.pulse import Beat, beats
from ops.services.queue_engine import Failures, Waiting

LOOK_EVERY = 10  # seconds
TOO_OLD = timedelta(seconds=60)
ONE_ROUND = 2.0  # seconds; gauges are read one right after the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What waited and what had ended badly at that moment."""

    looked_at: datetime
    waiting: Waiting
    failures: Failures


@dataclass(slots=True)
class _Kept:
    """The last answer, or why there was none; nothing before the first question."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    answer: Standing | Exception | None = None
    asked_at: float = 0.0  # by a clock that nobody sets


_kept = _Kept()


def register() -> None:
    """Let processes that show pages look."""
    beats.register("queue of tasks", Beat(look_where_pages_are, every=LOOK_EVERY))


def look_where_pages_are() -> None:
    """Look, in a process that has the console. Raises what the engine raises when it is away."""
    if life_signs.kind() in {"web", "serve"}:
        ask()


def ask() -> Standing:
    """Ask the engine, for a few seconds at most; raises what it raises when it is away."""
    try:
        waiting, failures = queue.waiting(), queue.failures()
    except Exception as error:
        _kept.answer = error
        raise
    else:
        answer = Standing(looked_at=timezone.now(), waiting=waiting, failures=failures)
        _kept.answer = answer
        return answer
    finally:
        _kept.asked_at = time.monotonic()


def asked_once(*, clock: Callable[[], float] = time.monotonic) -> Standing:
    """What the engine says, asked once for all who want to know it in the same two seconds.

    Raises what it raised for the first of them.
    """
    with _kept.lock:
        answer = _kept.answer
        if answer is None or clock() - _kept.asked_at > ONE_ROUND:
            return ask()
    if isinstance(answer, Exception):
        raise answer.with_traceback(None)
    return answer


def newest() -> Standing | None:
    """What the engine said last; None where it is away, or says nothing any more."""
    answer = _kept.answer
    if not isinstance(answer, Standing) or timezone.now() - answer.looked_at > TOO_OLD:
        return None
    return answer


def has_asked() -> bool:
    """Whether this process has asked at all."""
    return _kept.answer is not None


def forget() -> None:
    """Know nothing: what a forked process knows is another one's. For tests as well."""
    global _kept
    _kept = _Kept()


os.register_at_fork(after_in_child=forget)
