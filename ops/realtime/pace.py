"""How much a client may send in a time."""

from collections import deque


class Pace:
    """So many in so many seconds at most, counted over the last of them."""

    def __init__(self, most: int, *, seconds: float) -> None:
        self._seconds = seconds
        self._counted: deque[float] = deque(maxlen=most)

    def allows_one_more(self, now: float) -> bool:
        """Count one at this moment (of time.monotonic); False when it is one too many."""
        is_full = len(self._counted) == self._counted.maxlen
        is_too_many = is_full and now - self._counted[0] < self._seconds
        self._counted.append(now)
        return not is_too_many
