"""When jobs are due, who has one to themselves, and what came of it: all of it in the database.

A run is claimed by one conditional UPDATE, on SQLite as on PostgreSQL, and held by a lease that its
worker renews. A worker that was killed renews nothing: when its lease has run out, another one
takes the run up again, for the same due time. Times are the database's, so that machines need not
agree about theirs; tests hand in their own.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Model, Q, QuerySet
from django.utils import timezone

from ops import masking
from ops.errors import JobAlreadyDue
from ops.logs.captured import storable
from ops.models import JobRun, RunOutcome, Schedule
from ops.services import audit
from ops.services.jobs import Job, jobs
from ops.services.purge import purge
from ops.transactions import in_transaction

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=30)
# What comes round every few seconds and finds nothing would fill the table by itself.
NOTHING_KEPT_FOR = timedelta(hours=1)
BATCH_SIZE = 1000
SILENT = "The worker was killed, or silent for too long."
OVERDUE = "It was under way for longer than its limit, and may hang."


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that somebody has to themselves as long as no other claim has a higher number."""

    job: str
    schedule_id: int
    number: int
    run_id: int
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended; `error` is empty where it did not fail, `did` where there was nothing."""

    seconds: float
    did: str = ""
    error: str = ""


def database_now() -> datetime:
    """The moment by the clock of the database; there is one, however many machines ask."""
    if connection.vendor != "postgresql":
        return timezone.now()  # a database on this machine alone
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


# --- Rows ---------------------------------------------------------------------------------------
def add_missing(*, now: datetime) -> None:
    """Make the rows of jobs that never ran anywhere."""
    known = set(Schedule.objects.filter(job__in=jobs.names()).values_list("job", flat=True))
    Schedule.objects.bulk_create(
        [
            Schedule(job=name, timing=job.timing, next_due_at=job.first_due(now))
            for name, job in jobs.items()
            if name not in known
        ],
        ignore_conflicts=True,  # another worker starts at the same moment
    )


def adopt_timings(*, now: datetime) -> None:
    """Reckon anew when a job is due whose timing is another one than in the version before.

    To be called when a worker starts, and not again: while an update is rolled out, old and new
    workers are at it side by side.
    """
    for schedule in Schedule.objects.filter(_nobodys(now), job__in=jobs.names()):
        job = jobs[schedule.job]
        if schedule.timing != job.timing:
            same = Schedule.objects.filter(pk=schedule.pk, next_due_at=schedule.next_due_at)
            same.update(
                timing=job.timing, next_due_at=min(schedule.next_due_at, job.next_after(now))
            )


# --- Claiming -----------------------------------------------------------------------------------
def due(*, now: datetime) -> list[str]:
    """The jobs that are due and that nobody has to themselves, the longest due first."""
    waiting = Schedule.objects.filter(
        _nobodys(now), job__in=jobs.names(), next_due_at__lte=now
    ).order_by("next_due_at")
    return list(waiting.values_list("job", flat=True))


@in_transaction
def claim(name: str, *, worker: str, now: datetime) -> Claim | None:
    """Take the due run of a job for JOB_LEASE; None when it is not due, or somebody else's."""
    schedule = Schedule.objects.filter(job=name, next_due_at__lte=now).first()
    if schedule is None:
        return None
    taken = _still(schedule, now).update(
        claims=F("claims") + 1,
        claimed_by=worker,
        leased_until=now + settings.JOB_LEASE,
        last_started_at=now,
        last_outcome=RunOutcome.RUNNING,
    )
    if not taken:
        return None
    if _end_of_the_dead(name, now):
        Schedule.objects.filter(pk=schedule.pk).update(failures=F("failures") + 1)
    run = JobRun.objects.create(
        job=name, due_at=schedule.next_due_at, started_at=now, worker=worker
    )
    return Claim(
        job=name,
        schedule_id=schedule.pk,
        number=schedule.claims + 1,
        run_id=run.pk,
        due_at=schedule.next_due_at,
    )


def _nobodys(now: datetime) -> Q:
    return Q(leased_until__isnull=True) | Q(leased_until__lt=now)


def _still(schedule: Schedule, now: datetime) -> QuerySet[Schedule]:
    """The row, if it is still as it was read: the claim that all of them race for."""
    return Schedule.objects.filter(
        _nobodys(now),
        pk=schedule.pk,
        claims=schedule.claims,
        next_due_at=schedule.next_due_at,
    )


def _end_of_the_dead(name: str, now: datetime) -> int:
    """Mark the run as lost that was left running; whoever takes the job over does it first."""
    left = JobRun.objects.filter(job=name, outcome=RunOutcome.RUNNING)
    lost: int = left.update(outcome=RunOutcome.LOST, ended_at=now, error=SILENT)
    if lost:
        logger.warning("A run of the job %s was lost with its worker; it is taken up again", name)
    return lost


def renew(claims: Iterable[Claim], *, now: datetime) -> list[Claim]:
    """Hold these runs for another JOB_LEASE; returns those that were taken away meanwhile."""
    until = now + settings.JOB_LEASE
    ended = [one for one in claims if not _held(one).update(leased_until=until)]
    return [
        one
        for one in ended
        if Schedule.objects.filter(pk=one.schedule_id, claims__gt=one.number).exists()
    ]


def _held(one: Claim) -> QuerySet[Schedule]:
    """The row as long as this is the newest claim, and it was not ended."""
    return Schedule.objects.filter(
        pk=one.schedule_id, claims=one.number, leased_until__isnull=False
    )


@in_transaction
def finish(held: Claim, ended: Ended, *, now: datetime) -> bool:
    """Write what came of a run, and when the job is due again.

    False, and nothing written, when the run was taken away: it is somebody else's now.
    """
    outcome = RunOutcome.FAILED if ended.error else RunOutcome.DONE
    job = jobs[held.job]
    is_ours = _held(held).update(
        next_due_at=job.next_after(held.due_at, now=now),
        timing=job.timing,
        claimed_by="",
        leased_until=None,
        last_outcome=outcome,
        failures=F("failures") + 1 if ended.error else 0,
    )
    if is_ours:
        JobRun.objects.filter(pk=held.run_id).update(
            outcome=outcome,
            ended_at=now,
            seconds=ended.seconds,
            did=ended.did[:200],
            error=ended.error[:300],
        )
    return bool(is_ours)


@in_transaction
def give_up(held: Claim, *, now: datetime) -> bool:
    """Let go of a run that took longer than the limit of its job: it is lost.

    The job is due at once, behind whatever has waited meanwhile. False, and nothing written, when
    the run was taken away or has ended.
    """
    is_ours = _held(held).update(
        next_due_at=now,
        claimed_by="",
        leased_until=None,
        last_outcome=RunOutcome.LOST,
        failures=F("failures") + 1,
    )
    if is_ours:
        JobRun.objects.filter(pk=held.run_id).update(
            outcome=RunOutcome.LOST, ended_at=now, error=OVERDUE
        )
    return bool(is_ours)


# --- What is told of a run ----------------------------------------------------------------------
def what_it_did(outcome: object) -> str:
    """A short text about what a job returned; of rows their ids alone, nobody's data."""
    match outcome:
        case None | False | 0 | "":
            return ""
        case str() | int() | float():
            return masking.mask(str(outcome))
        case Mapping():
            return masking.mask(", ".join(f"{name}: {value}" for name, value in outcome.items()))
        case Model():
            return f"{outcome._meta.label_lower}:{outcome.pk}"
        case list() | tuple() | set() | frozenset():
            return str(len(outcome)) if outcome else ""
        case _:
            return type(outcome).__name__


def what_went_wrong(error: BaseException) -> str:
    """Kind and first line of an error, masked: a database says the row's values in the next."""
    name = type(error).__name__
    lines = str(error).splitlines() if not isinstance(error, DatabaseError) else _first_line(error)
    said = storable(masking.mask(lines[0])) if lines else ""
    return f"{name}: {said}" if said else name


def _first_line(error: DatabaseError) -> list[str]:
    return str(error).split("DETAIL:")[0].splitlines()[:1]


# --- By hand ------------------------------------------------------------------------------------
@transaction.atomic
def run_now(schedule: Schedule, *, author_id: int | None = None) -> None:
    """Make a job due at once, wherever a worker is free; audited.

    Raises JobAlreadyDue when it is due or running: two clicks make one run.
    """
    now = database_now()
    waiting = Schedule.objects.filter(pk=schedule.pk, next_due_at__gt=now)
    if not waiting.update(next_due_at=now):
        raise JobAlreadyDue
    audit.record(
        action="schedule.run_now",
        row=schedule,
        before={"next_due_at": schedule.next_due_at},
        after={"next_due_at": now},
        actor_id=author_id,
    )


def claim_now(name: str, *, worker: str, now: datetime) -> Claim | None:
    """Claim a job whether it is due or not; None when it is running already."""
    add_missing(now=now)
    Schedule.objects.filter(_nobodys(now), job=name, next_due_at__gt=now).update(next_due_at=now)
    return claim(name, worker=worker, now=now)


# --- Keeping ------------------------------------------------------------------------------------
def forget_old(*, now: datetime) -> int:
    """Delete runs that ended 30 days ago, and after an hour those that found nothing to do.

    BATCH_SIZE at most; returns how many.
    """
    found_nothing = Q(outcome=RunOutcome.DONE, did="", ended_at__lt=now - NOTHING_KEPT_FOR)
    old = JobRun.objects.filter(Q(ended_at__lt=now - KEPT_FOR) | found_nothing)
    return purge(old.order_by("ended_at"), batch_size=BATCH_SIZE)


# --- For maintenance, metrics and pages -----------------------------------------------------------
def under_way(*, now: datetime | None = None) -> list[str]:
    """The jobs that somebody is at, but for those that go on in maintenance."""
    moment = database_now() if now is None else now
    held = Schedule.objects.filter(leased_until__gte=moment).order_by("job")
    found = ((name, _known(name)) for name in held.values_list("job", flat=True))
    return [name for name, job in found if job is None or job.rests]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a job stands: for metrics and alerts."""

    job: str
    failures: int  # in a row, 0 after a run that went well
    late_seconds: float  # since it was due and nobody took it; 0 while it runs
    running_seconds: float  # since its run began; 0 while none is under way


def standings(*, now: datetime | None = None) -> list[Standing]:
    """How every job stands, by one query."""
    moment = database_now() if now is None else now
    return [
        _standing(schedule, moment)
        for schedule in Schedule.objects.filter(job__in=jobs.names()).order_by("job")
    ]


def _standing(schedule: Schedule, moment: datetime) -> Standing:
    is_running = schedule.leased_until is not None and schedule.leased_until >= moment
    since_due = max(0.0, (moment - schedule.next_due_at).total_seconds())
    begun = schedule.last_started_at or moment
    return Standing(
        job=schedule.job,
        failures=schedule.failures,
        late_seconds=0.0 if is_running else since_due,
        running_seconds=max(0.0, (moment - begun).total_seconds()) if is_running else 0.0,
    )


def label_of(name: str) -> str:
    """What a job is called for people; its name where this version has none of that name."""
    job = _known(name)
    return str(job.label) if job else name


def _known(name: str) -> Job | None:
    return dict(jobs.items()).get(name)
