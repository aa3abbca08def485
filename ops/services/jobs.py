"""Small jobs that come round again; apps register theirs, `ops.services.background` runs them."""

import logging
from datetime import datetime
from typing import Protocol

from ops.registry import Registry

logger = logging.getLogger(__name__)


class Job(Protocol):
    """Something that comes round again; `now` is the moment of the round."""

    def __call__(self, *, now: datetime) -> object: ...


# Called as `job(now=now)` every few seconds wherever background work runs. Several machines may
# run a job at the same time: it has to claim what it does.
jobs: Registry[Job] = Registry()


def run_jobs(now: datetime) -> None:
    """Run every registered job once; one that fails does not keep the others from running."""
    for name, job in jobs.items():
        try:
            job(now=now)
        except Exception:
            logger.exception("The periodic job %s failed; it runs again", name)
