"""Days begin at midnight of the deployment's time zone."""

from datetime import datetime, timedelta
from math import ceil

from django.utils import timezone


def start_of_day(moment: datetime, *, days_later: int = 0) -> datetime:
    """The midnight before this moment, or one of those after it."""
    day = timezone.localdate(moment) + timedelta(days=days_later)
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_default_timezone())


def seconds_left(moment: datetime) -> int:
    """Seconds until the next midnight, at least 1."""
    return max(1, ceil((start_of_day(moment, days_later=1) - moment).total_seconds()))
