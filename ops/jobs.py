"""The platform's own periodic jobs."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from ops.services import (
    error_groups,
    events,
    files,
    freshness,
    idempotency,
    processes,
    queue,
    schedules,
    seals,
)
from ops.services.jobs import Job, jobs


def register() -> None:
    """Register the jobs of the platform itself."""
    jobs.register(
        "lost tasks",
        Job(
            run=queue.mark_lost_tasks,
            every=timedelta(minutes=1),
            label=_("Close tasks whose worker was killed"),
        ),
    )
    jobs.register(
        "finished tasks",
        Job(
            run=queue.forget_old,
            every=timedelta(hours=1),
            in_batches=True,
            label=_("Forget finished tasks of the queue"),
        ),
    )
    jobs.register(
        "old errors",
        Job(
            run=error_groups.forget_old,
            every=timedelta(hours=1),
            in_batches=True,
            label=_("Forget errors that were not seen for long"),
        ),
    )
    jobs.register(
        "seal ledgers",
        # Often, so that a day is sealed soon after midnight, and tried again where it failed.
        Job(
            run=seals.seal_ledgers,
            every=timedelta(minutes=10),
            label=_("Seal the ledgers"),
            limit=timedelta(hours=3),  # the first time it takes all heads of a platform
        ),
    )
    jobs.register(
        "expired files",
        Job(
            run=files.discard_expired,
            every=timedelta(minutes=5),
            in_batches=True,
            label=_("Take away expired temporary files"),
        ),
    )
    jobs.register(
        "expired idempotency records",
        Job(
            run=idempotency.forget_expired,
            every=timedelta(minutes=10),
            in_batches=True,
            label=_("Forget answers kept for repeated requests"),
        ),
    )
    jobs.register(
        "old change marks",
        Job(
            run=freshness.forget_old,
            every=timedelta(minutes=1),
            label=_("Forget old marks of changes"),
        ),
    )
    jobs.register(
        "old job runs",
        Job(
            run=schedules.forget_old,
            every=timedelta(minutes=10),
            in_batches=True,
            label=_("Forget old runs of periodic jobs"),
        ),
    )
    jobs.register(
        "old operational events",
        Job(
            run=events.forget_old,
            every=timedelta(hours=1),
            in_batches=True,
            label=_("Forget old operational events"),
        ),
    )
    jobs.register(
        "processes that are gone",
        Job(
            run=processes.forget_old,
            every=timedelta(hours=1),
            in_batches=True,
            label=_("Forget processes that are gone"),
        ),
    )
