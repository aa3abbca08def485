"""How much a client may send in a time."""

from collections import deque


class Pace:
    """So many in so many seconds at most, counted over the last of them."""

    __slots__ = ("_counted", "_most", "_seconds")

    def __init__(self, most: int, *, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        # Made with the first: most clients only listen, and an empty deque takes 600 bytes.
        self._counted: deque[float] | None = None

    def allows_one_more(self, now: float) -> bool:
        """Count one at this moment (of time.monotonic); False when it is one too many."""
        if self._counted is None:
            self._counted = deque(maxlen=self._most)
        is_full = len(self._counted) == self._most
        is_too_many = is_full and now - self._counted[0] < self._seconds
        self._counted.append(now)
        return not is_too_many
