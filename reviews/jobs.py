"""What the scheduler runs for receipts."""

from ops.services.jobs import jobs
from reviews.services.process import sweep_processes


def register() -> None:
    """Register the periodic jobs of receipts."""
    jobs.register("sweep processes", sweep_processes)
