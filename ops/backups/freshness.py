"""How old the newest proven backup is, and whether that is too old."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Min

from ops.backups import deployment
from ops.models import Backup


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest proven backup that was not removed, and for how long there should be a younger.

    `overdue` is nothing while all is well.
    """

    newest: Backup | None
    overdue: timedelta


def look(now: datetime) -> Freshness:
    """How old what would be restored is; without a proven backup, how old the platform is."""
    proven = Backup.objects.filter(proven_at__isnull=False, removed_at__isnull=True)
    newest = proven.order_by("-started_at").first()
    since = newest.started_at if newest else _begun_at()
    age = now - since if since else timedelta()
    return Freshness(newest, max(age - deployment.oldest_allowed(), timedelta()))


def _begun_at() -> datetime | None:
    """When the first migration was applied."""
    began: datetime | None = MigrationRecorder.Migration.objects.aggregate(first=Min("applied"))[
        "first"
    ]
    return began
