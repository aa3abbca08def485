"""Runs due jobs in threads of a process: a few at once, so that a long one holds up no other."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections
from django.utils.crypto import get_random_string

from ops import life_signs, request_id
from ops.metrics import JOB_RUNS, JOB_SECONDS
from ops.services import schedules
from ops.services.jobs import are_paused, jobs
from ops.services.schedules import Claim, Ended

logger = logging.getLogger(__name__)

ROUND_EVERY = 1.0  # seconds between looks at what is due
AT_ONCE = 4  # runs of one process, but for jobs with a slot of their own
# So many runs of a job may hang in a process; then the job is left to others, or to a restart.
MOST_OVERDUE = 3
ADD_MISSING_EVERY = timedelta(minutes=1)
TRY_AGAIN_AFTER = 1.0  # seconds, when the end of a run could not be written


def worker_name() -> str:
    """A name for whoever claims runs: machine, process, and what tells it from its next one."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{get_random_string(6)}"


def work(claim: Claim, *, now: datetime) -> Ended:
    """Do what a claimed run does; whatever it raises is how it ended."""
    started = time.monotonic()
    try:
        outcome = jobs[claim.job].work(now=now)
    except Exception as error:
        logger.exception("The periodic job %s failed; it runs again when it is due", claim.job)
        ended = Ended(seconds=time.monotonic() - started, error=schedules.what_went_wrong(error))
    else:
        ended = Ended(seconds=time.monotonic() - started, did=schedules.what_it_did(outcome))
    JOB_RUNS.add(1, claim.job, "failed" if ended.error else "done")
    JOB_SECONDS.add(ended.seconds, claim.job)
    return ended


def give_up(claim: Claim, *, now: datetime) -> None:
    """Say that a run is lost that took longer than its limit, unless it has ended meanwhile."""
    if schedules.give_up(claim, now=now):
        JOB_RUNS.add(1, claim.job, "overdue")
        logger.error("A run of %s is overdue and counts as lost: it may hang", claim.job)


@dataclass(slots=True)
class _AtWork:
    """A run under way."""

    begun: datetime
    is_overdue: bool = False


class Scheduler:
    """The periodic jobs of one process: one thread looks, claims and renews; each run has its own.

    A run that takes longer than its limit is given up: its thread cannot be ended, but it takes up
    no slot. What is under way when it stops gets as long as `stop` grants. What is not finished
    then keeps its lease until that runs out: the process may still be at it.
    """

    def __init__(self, *, clock: Callable[[], datetime] = schedules.database_now) -> None:
        self.worker = worker_name()
        self._clock = clock
        self._stopping = threading.Event()
        self._stirred = threading.Event()  # a run has ended, or all shall
        self._lock = threading.Lock()
        self._at_work: dict[Claim, _AtWork] = {}
        self._renewed_at: datetime | None = None
        self._added_at: datetime | None = None
        self._thread = threading.Thread(target=self._go_round, name="periodic jobs", daemon=True)

    def start(self) -> None:
        """Start to look for due jobs."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let no run begin any more."""
        self._stopping.set()
        self._stirred.set()

    def join(self, seconds: float) -> None:
        """Wait for the runs under way, at most so long."""
        self._thread.join(seconds)

    def under_way(self) -> list[Claim]:
        """The runs that this process has to itself, without those that are overdue."""
        with self._lock:
            return [claim for claim, run in self._at_work.items() if not run.is_overdue]

    def _go_round(self) -> None:
        is_failing = False
        is_adopted = False
        while not self._stopping.is_set() or self.under_way():
            close_old_connections()
            try:
                if not is_adopted:
                    schedules.adopt_timings(now=self._clock())
                    is_adopted = True
                self.go_round()
            except Exception:
                # Once for each time the database is away: a line a second would fill the log.
                if not is_failing:
                    logger.exception("Periodic jobs could not be looked for; it is tried again")
                is_failing = True
            else:
                is_failing = False
            close_old_connections()
            self._stirred.wait(ROUND_EVERY)
            self._stirred.clear()

    def go_round(self) -> None:
        """Renew what is under way, and begin what is due."""
        life_signs.note("scheduler")
        now = self._clock()
        self._give_up_overdue(now)
        self._renew(now)
        if self._stopping.is_set():
            return
        is_paused = are_paused()
        if not is_paused and (self._added_at is None or now - self._added_at >= ADD_MISSING_EVERY):
            schedules.add_missing(now=now)
            self._added_at = now
        for name in schedules.due(now=now):
            if is_paused and jobs[name].rests:
                continue
            if self._has_room_for(name):
                claim = schedules.claim(name, worker=self.worker, now=now)
                if claim is not None:
                    self._begin(claim, now)

    def _has_room_for(self, name: str) -> bool:
        with self._lock:
            runs = list(self._at_work.items())
        hanging = [claim.job for claim, run in runs if run.is_overdue]
        under_way = [claim.job for claim, run in runs if not run.is_overdue]
        if name in hanging:
            # It may hang again: all such jobs together try it in one slot.
            is_tried = any(job in hanging for job in under_way)
            if is_tried or hanging.count(name) >= MOST_OVERDUE:
                return False
        return jobs[name].own_slot or sum(not jobs[job].own_slot for job in under_way) < AT_ONCE

    def _give_up_overdue(self, now: datetime) -> None:
        with self._lock:
            runs = list(self._at_work.items())
        for claim, run in runs:
            if not run.is_overdue and now - run.begun > jobs[claim.job].limit:
                give_up(claim, now=now)
                run.is_overdue = True

    def _renew(self, now: datetime) -> None:
        """Renew leases three times before they run out."""
        if self._renewed_at is not None and now - self._renewed_at < settings.JOB_LEASE / 3:
            return
        for lost in schedules.renew(self.under_way(), now=now):
            logger.error("The run of %s was taken away: its lease had run out", lost.job)
        self._renewed_at = now

    def _begin(self, claim: Claim, now: datetime) -> None:
        thread = threading.Thread(
            target=self._run, args=(claim, now), name=f"job {claim.job}", daemon=True
        )
        with self._lock:
            thread.start()  # first: one that cannot be started holds no lease
            self._at_work[claim] = _AtWork(begun=now)

    def _run(self, claim: Claim, now: datetime) -> None:
        request_id.current.set(f"job-run-{claim.run_id}")
        try:
            self._finish(claim, work(claim, now=now))
        except Exception:
            # Its lease is renewed no more: it runs out, and the run is taken up again.
            logger.exception("The end of a run of %s could not be written", claim.job)
        finally:
            close_old_connections()
            with self._lock:
                del self._at_work[claim]
            self._stirred.set()

    def _finish(self, claim: Claim, ended: Ended) -> None:
        """Write how it ended; with the database away, as soon as it is back."""
        while True:
            close_old_connections()
            try:
                if not schedules.finish(claim, ended, now=self._clock()):
                    logger.error("%s ended when its run was somebody else's already", claim.job)
            except (OperationalError, InterfaceError):
                logger.warning("The end of %s could not be written; it is tried again", claim.job)
                if self._stopping.wait(TRY_AGAIN_AFTER):
                    return  # the lease runs out, and the run is taken up again
            else:
                return


def run_by_hand(
    name: str, *, clock: Callable[[], datetime] = schedules.database_now
) -> Ended | None:
    """Run a job here and now, whether it is due or not, claimed as by a worker.

    None when it is running already. Raises KeyError for a name that is none.
    """
    jobs[name]
    begun = clock()
    claim = schedules.claim_now(name, worker=worker_name(), now=begun)
    if claim is None:
        return None
    done = threading.Event()
    facts = {"begun": begun, "clock": clock}
    keeping = threading.Thread(target=_keep, args=(claim, done), kwargs=facts, daemon=True)
    keeping.start()
    try:
        ended = work(claim, now=begun)
    finally:
        done.set()
        keeping.join()
    schedules.finish(claim, ended, now=clock())
    return ended


def _keep(
    claim: Claim, done: threading.Event, *, begun: datetime, clock: Callable[[], datetime]
) -> None:
    """Renew the lease of a run until it is done, or overdue."""
    while not done.wait(settings.JOB_LEASE.total_seconds() / 3):
        try:
            now = clock()
            if now - begun > jobs[claim.job].limit:
                give_up(claim, now=now)
                return
            schedules.renew([claim], now=now)
        except DatabaseError:
            logger.warning("The lease of %s could not be renewed; it is tried again", claim.job)
        finally:
            close_old_connections()
