"""What is read of backups."""

from collections.abc import Mapping

from django.utils import timezone

from ops.backups import deployment, freshness, wal_archive, wal_receiving
from ops.backups.errors import BackupRefused
from ops.measures import Gauge, Label

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


def _behind() -> Mapping[tuple[str, ...], float]:
    if not wal_receiving.is_for_this_database():
        return {}
    cluster = wal_receiving.cluster_that_is_received()
    found: dict[tuple[str, ...], float] = {}
    for kind, place in zip(("folder", "bucket"), deployment.places(), strict=False):
        if cluster is None:
            found[kind,] = 0  # nobody is to receive, or no more: an alert is over
            continue
        try:
            behind = wal_archive.behind(place, cluster, now=timezone.now())
        except BackupRefused:
            continue  # a bucket that is away fails the next backup, which is told
        if behind is not None:
            found[kind,] = behind.total_seconds()
    return found


WAL_BEHIND = Gauge(
    "platform_wal_archive_behind_seconds",
    "How long ago all that PostgreSQL had written was in the archive of the WAL; 0 where nobody is "
    "to receive it.",
    Label("place", ("folder", "bucket")),
    read=_behind,
    keep=A_MINUTE,
)
