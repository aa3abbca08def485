"""How often something was done lately: counted in the process, told to the others in lumps.

A round trip for each request would cost more than many of the requests themselves. A process tells
the cache what it counted whenever that comes to a twentieth of the limit, and hears what the others
did. Nobody else knows of what it has not told yet, nor of what it had not told when a window of
time ended: each process may let through two such lumps. So with eight processes at most 80 % more
than the limit gets through in any span of that length, and at most 10 % more with one, since a
window's requests are taken for evenly spread.
"""

import logging
import threading
import time
from dataclasses import dataclass, field

from django.conf import settings
from django.core.cache import cache
from redis import RedisError

logger = logging.getLogger(__name__)

LUMPS = 20  # into which a limit is divided
SHORTEST_WAIT = 0.001  # seconds; a wait of none would say that it was counted
FORGET_FROM = 10_000  # counts at which those that are over are dropped


@dataclass(slots=True)
class _Count:
    """What is known of one subject in one window of time, and in the window before it."""

    window: int
    ends_at: float  # when it counts for nothing any more, not even as the window before
    before: int = 0
    everywhere: int = 0  # as of the last telling
    untold: int = 0

    @property
    def sum(self) -> int:
        return self.everywhere + self.untold


@dataclass(slots=True)
class Rates:
    """The counts of this process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    counts: dict[str, _Count] = field(default_factory=dict)
    forget_from: int = FORGET_FROM

    def seconds_to_wait(self, subject: str, *, limit: int, seconds: int) -> float:
        """Count one more unless there were `limit` within `seconds`; 0 when it was counted.

        Else how many seconds it takes until one more may come. Time is divided into windows of
        `seconds`; of the window before, as much counts as would lie within `seconds` from now if
        it had been spread evenly. When Redis is away each process counts on for itself.
        """
        now = time.time()
        window, elapsed = divmod(now, seconds)
        told = 0
        with self.lock:
            count = self._count_in(subject, int(window), now=now, seconds=seconds)
            remaining = 1 - elapsed / seconds
            if count.before * remaining + count.sum >= limit:
                wait = _wait(count, limit=limit, remaining=remaining) * seconds
                return max(wait, SHORTEST_WAIT)
            count.untold += 1
            if settings.REDIS_URL and count.untold >= max(1, limit // LUMPS):
                told, count.untold = count.untold, 0
                count.everywhere += told
        if told:
            self._tell(subject, count, told, seconds=seconds)
        return 0

    def forget(self) -> None:
        """Forget all counts of this process."""
        with self.lock:
            self.counts.clear()
            self.forget_from = FORGET_FROM

    def _count_in(self, subject: str, window: int, *, now: float, seconds: int) -> _Count:
        count = self.counts.get(subject)
        if count is None or count.window != window:
            if len(self.counts) >= self.forget_from:
                self._drop_what_is_over(now)
            before = count.sum if count and count.window == window - 1 else 0
            ends_at = (window + 2) * seconds
            count = self.counts[subject] = _Count(window, ends_at=ends_at, before=before)
        return count

    def _drop_what_is_over(self, now: float) -> None:
        """Not again before there are twice as many: on a busy server few are ever over."""
        self.counts = {
            subject: count for subject, count in self.counts.items() if count.ends_at > now
        }
        self.forget_from = max(FORGET_FROM, 2 * len(self.counts))

    def _tell(self, subject: str, count: _Count, told: int, *, seconds: int) -> None:
        """Add to what all processes count, and take over what they counted."""
        this, earlier = (f"rate:{subject}:{window}" for window in (count.window, count.window - 1))
        try:
            cache.add(this, 0, timeout=2 * seconds)
            everywhere = cache.incr(this, told)
            before = cache.get(earlier, 0)
        except (RedisError, ValueError) as error:  # away, or the count ran out in this moment
            logger.warning("Requests are counted by each process alone: %s", error)
            return
        with self.lock:
            count.everywhere = max(count.everywhere, everywhere)
            count.before = max(count.before, before)


def _wait(count: _Count, *, limit: int, remaining: float) -> float:
    """How long until one more may come, as a part of a window."""
    if count.sum < limit:  # it is the window before that is in the way
        return remaining - (limit - count.sum) / count.before
    return remaining + 1 - limit / max(count.sum, 1)


rates = Rates()
