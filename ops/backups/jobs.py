"""The backups that nobody has to think of."""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from ops.backups import proving, retention, taking
from ops.models import BackupTrigger
from ops.services.jobs import Job, jobs

LIMIT = timedelta(hours=12)  # of what nobody waits for: a large bucket, far away


def register() -> None:
    """Register the periodic jobs of backups."""
    jobs.register(
        "backup",
        Job(
            run=back_up,
            cron=settings.BACKUP_SCHEDULE,
            limit=LIMIT,
            label=_("Back up, and take old backups away"),
        ),
    )
    jobs.register(
        "prove backups",
        # Often, so that one is proven soon after it was made, and on whichever machine.
        Job(
            run=proving.prove_newest,
            every=timedelta(minutes=10),
            limit=LIMIT,
            label=_("Prove the newest backup by restoring it"),
        ),
    )


def back_up(*, now: datetime) -> dict[str, object]:
    """Make the backup of the schedule, then take away those that the policy does not keep.

    Raises BackupRefused; what is old stays then as well.
    """
    manifest = taking.back_up(trigger=BackupTrigger.SCHEDULE)
    pruned = retention.prune(now=now)
    removed = {one for place in pruned for one in place.backups}
    return {"backup": manifest.id, "bytes": manifest.size, "removed": len(removed)}
