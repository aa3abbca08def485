"""The clock, held still: what depends on half a minute does not depend on when the tests run."""

from datetime import UTC, datetime

from django.utils import timezone

NOON = datetime(2030, 1, 1, 12, 0, 10, tzinfo=UTC)  # within half a minute


class HeldClock:
    """What `timezone.now()` says, until it is told to go on."""

    def __init__(self, now=NOON):
        self.now = now

    def go(self, so_long):
        self.now += so_long


def hold_clock(monkeypatch):
    """Hold the clock for a test."""
    clock = HeldClock()
    monkeypatch.setattr(timezone, "now", lambda: clock.now)
    return clock
