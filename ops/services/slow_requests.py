"""Requests that took too long, as events: an alert names the request, and the log has its lines.

Who was slow already writes nothing; a beat does, a moment later.
"""

from collections import deque

from ops.metrics import SLOW_REQUEST
from ops.services import events

MOST = 100  # that wait to be written; of more, the newest
WRITE_EVERY = 1  # second

_waiting: deque[tuple[str, str, float]] = deque(maxlen=MOST)


def note(*, route: str, request_id: str, seconds: float) -> None:
    """Remember a request that took so many seconds, until the next beat."""
    _waiting.append((route, request_id, seconds))


def write_waiting() -> int:
    """Write an event for each request that waits; returns how many.

    What the database does not take waits for the next time.
    """
    written = 0
    while _waiting:
        route, request_id, seconds = _waiting[0]
        events.record(SLOW_REQUEST, route=route, request_id=request_id, seconds=round(seconds, 1))
        _waiting.popleft()
        written += 1
    return written
