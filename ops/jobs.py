"""The platform's own periodic jobs."""

from ops.services import background, files, freshness, idempotency, seals
from ops.services.jobs import jobs


def register() -> None:
    """Register the jobs of the platform itself."""
    jobs.register("lost tasks", background.mark_lost_tasks)
    jobs.register("seal ledgers", seals.seal_daily)
    jobs.register("expired files", files.discard_expired)
    jobs.register("expired idempotency records", idempotency.forget_expired)
    jobs.register("old change marks", freshness.forget_old)
