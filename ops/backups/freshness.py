"""How old the newest proven backup is, and whether that is too old."""

from datetime import datetime, timedelta

from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min

from ops.backups import deployment
from ops.models import Backup


def newest_proven() -> Backup | None:
    """The youngest of those that were proven and not removed, by what it shows; None without."""
    proven = Backup.objects.filter(proven_at__isnull=False, removed_at__isnull=True)
    return proven.order_by("-started_at").first()


def age(now: datetime) -> timedelta:
    """How old the newest proven backup is; without one, how old the platform is."""
    newest = newest_proven()
    since = newest.started_at if newest is not None else _begun_at()
    return now - since if since is not None else timedelta()


def overdue(now: datetime) -> timedelta:
    """For how long a younger proven backup should have been there; nothing while all is well."""
    return max(age(now) - deployment.oldest_allowed(), timedelta())


def _begun_at() -> datetime | None:
    """When the first migration was applied."""
    began: datetime | None = MigrationRecorder.Migration.objects.aggregate(first=Min("applied"))[
        "first"
    ]
    return began
