"""Periodic jobs; apps register theirs, `ops.services.scheduler` runs them where a worker runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from cronsim import CronSim, CronSimError
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.translation import gettext

from ops.registry import Registry

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

LIMIT = timedelta(minutes=10)  # of a run, where its job says no other
BATCHES_SECONDS = 60  # after which a job in batches leaves the rest to its next run


class Run(Protocol):
    """What a job does; `now` is the moment of the run, whenever it was due.

    What it returns is told to staff: a number, a short text, or several by name. None, 0, an empty
    text: it found nothing to do. A run whose worker was killed is done again, as a whole.
    """

    def __call__(self, *, now: datetime) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something that comes round again, `every` so often or by a `cron` line; one of the two.

    The cron line is read in the deployment's TIME_ZONE. A job `in_batches` is called again in the
    same run until it returns 0, for a minute at most. A run that takes longer than `limit` counts
    as lost: it keeps nobody waiting any more, and another one is begun, so the limit has to be far
    above what a run ever takes. A job with its `own_slot` begins however many others are at work.
    One that does not `rest` goes on while the others are paused, as in maintenance: what watches.
    Raises ImproperlyConfigured for a timing that is none: it stops the start.
    """

    run: Run
    label: "StrOrPromise"
    every: timedelta | None = None
    cron: str | None = None
    in_batches: bool = False
    limit: timedelta = LIMIT
    own_slot: bool = False
    rests: bool = True

    def __post_init__(self) -> None:
        if (self.every is None) == (self.cron is None):
            raise ImproperlyConfigured("A job has either `every` or a `cron` line.")
        if self.every is not None and self.every < timedelta(seconds=1):
            raise ImproperlyConfigured(f"A job comes round every second at most: {self.every}.")
        if self.limit <= timedelta():
            raise ImproperlyConfigured(f"The limit of a run is more than nothing: {self.limit}.")
        try:
            self.next_after(timezone.now())
        except (CronSimError, StopIteration) as error:
            raise ImproperlyConfigured(
                f"{self.cron!r} is no cron line, or its time never comes: {error}."
            ) from error

    @property
    def timing(self) -> str:
        """How often it comes round, as the database remembers it."""
        if self.every is not None:
            return f"every {self.every.total_seconds():g} s"
        return f"cron {self.cron} {timezone.get_default_timezone_name()}"

    def first_due(self, now: datetime) -> datetime:
        """When a job is due that never ran: at once, or at the next time of its cron line."""
        return now if self.every is not None else self.next_after(now)

    def next_after(self, due_at: datetime, *, now: datetime | None = None) -> datetime:
        """When it is due after it was due at `due_at`; of what was missed until `now`, nothing.

        `every` so often is counted from `due_at`, so that a run that takes long shifts none.
        """
        moment = due_at if now is None else max(due_at, now)
        if self.every is not None:
            return due_at + self.every * ((moment - due_at) // self.every + 1)
        local = moment.astimezone(timezone.get_default_timezone())
        return next(CronSim(self.cron or "", local))

    def work(self, *, now: datetime) -> object:
        """Do what a run does; returns what it returned, of batches the sum."""
        outcome = self.run(now=now)
        if not self.in_batches:
            return outcome
        total, deadline = 0, time.monotonic() + BATCHES_SECONDS
        while isinstance(outcome, int) and outcome:
            total += outcome
            if time.monotonic() > deadline:
                break
            outcome = self.run(now=now)
        return total


# By name: what rows of the database, `manage.py jobs` and logs call it.
jobs: Registry[Job] = Registry()

# Reasons for which no run begins, but of jobs that do not rest, and no task of the queue, anywhere:
# maintenance. Asked before every round, so they have to be quick; those under way are not
# interrupted.
pauses: Registry[Callable[[], bool]] = Registry()


def are_paused() -> bool:
    """Whether there is a reason to begin no task now, and no run of a job that rests."""
    return any(is_paused() for is_paused in pauses.values())


def interval_in_words(job: Job) -> str:
    """How often a job comes round, for people."""
    if job.every is None:
        return gettext("by the cron line %(line)s") % {"line": job.cron}
    seconds = round(job.every.total_seconds())
    if seconds % 86_400 == 0:
        number, one, many = seconds // 86_400, gettext("every day"), gettext("every %(n)d days")
    elif seconds % 3_600 == 0:
        number, one, many = seconds // 3_600, gettext("every hour"), gettext("every %(n)d hours")
    elif seconds % 60 == 0:
        number, one, many = seconds // 60, gettext("every minute"), gettext("every %(n)d minutes")
    else:
        number, one, many = seconds, gettext("every second"), gettext("every %(n)d seconds")
    return one if number == 1 else many % {"n": number}
