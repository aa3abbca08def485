"""What is read of backups."""

from collections.abc import Mapping

from django.utils import timezone

from ops.backups import freshness
from ops.measures import Gauge

A_MINUTE = 60  # seconds


def _age() -> Mapping[tuple[str, ...], float]:
    now = timezone.now()
    newest = freshness.look(now).newest
    return {} if newest is None else {(): (now - newest.started_at).total_seconds()}


def _overdue() -> float:
    return freshness.look(timezone.now()).overdue.total_seconds()


PROVEN_AGE = Gauge(
    "platform_backup_proven_age_seconds",
    "How old the newest proven backup is; not there without one.",
    read=_age,
    keep=A_MINUTE,
)
OVERDUE = Gauge(
    "platform_backup_overdue_seconds",
    "For how long there should have been a younger proven backup, by the schedule and two hours.",
    read=_overdue,
    keep=A_MINUTE,
)
