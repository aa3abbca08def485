"""Days and the seconds that are left of them."""

from datetime import UTC, datetime, timedelta

from ops.days import seconds_left, start_of_day


def test_waiting_is_never_told_too_short():
    midnight = start_of_day(datetime(2026, 3, 1, 12, tzinfo=UTC), days_later=1)
    assert seconds_left(midnight - timedelta(seconds=59.4)) == 60
    assert seconds_left(midnight - timedelta(seconds=0.2)) == 1
    assert seconds_left(midnight - timedelta(seconds=7)) == 7
