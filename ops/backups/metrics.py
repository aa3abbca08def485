"""What is read of backups."""

from collections.abc import Mapping

from django.utils import timezone

from ops.backups import freshness
from ops.measures import Gauge

A_MINUTE = 60  # seconds


def _age() -> Mapping[tuple[str, ...], float]:
    newest = freshness.newest_proven()
    return {} if newest is None else {(): (timezone.now() - newest.started_at).total_seconds()}


PROVEN_AGE = Gauge(
    "platform_backup_proven_age_seconds",
    "How old the newest proven backup is; not there without one.",
    read=_age,
    keep=A_MINUTE,
)
OVERDUE = Gauge(
    "platform_backup_overdue_seconds",
    "For how long there should have been a younger proven backup, by the schedule and two hours.",
    read=lambda: freshness.overdue(timezone.now()).total_seconds(),
    keep=A_MINUTE,
)
