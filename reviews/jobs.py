"""What the scheduler runs for receipts."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from ops.services.jobs import Job, jobs
from reviews.services.process import sweep_processes


def register() -> None:
    """Register the periodic jobs of receipts."""
    jobs.register(
        "sweep processes",
        Job(
            run=sweep_processes,
            every=timedelta(seconds=5),
            label=_("Take up receipts that nobody reads"),
        ),
    )
