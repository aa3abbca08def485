"""The scheduler of a process: a few runs at once, leases renewed, nothing lost with its worker."""

import threading
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from ops import request_id
from ops.metrics import JOB_RUNS
from ops.models import JobRun, Schedule
from ops.registry import Registry
from ops.services import jobs as jobs_service
from ops.services import scheduler, schedules
from ops.services.jobs import Job
from ops.services.jobs import jobs as all_jobs
from ops.services.scheduler import Scheduler
from ops.tests.databases import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

IN_TIME = 60  # seconds; nothing here takes as long
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def quick(monkeypatch, settings):
    monkeypatch.setattr(scheduler, "ROUND_EVERY", 0.02)
    monkeypatch.setattr(scheduler, "TRY_AGAIN_AFTER", 0.02)
    monkeypatch.setattr(jobs_service, "pauses", Registry())
    settings.JOB_LEASE = HOUR  # what a busy machine holds up is nobody else's


@pytest.fixture
def running(own_jobs):
    """Starts schedulers; whatever they do has ended when the test has."""
    started = []

    def start(count=1):
        for _number in range(count):
            one = Scheduler()
            one.start()
            started.append(one)
        return started

    yield start
    for one in started:
        one.ask_to_stop()
    for one in started:
        one.join(IN_TIME)
        assert one.under_way() == []


def once(own_jobs, name, run):
    own_jobs.register(name, Job(run=run, every=DAY, label=name))


def lease_of(name):
    """Until when the run of a job is somebody's; there is one."""
    until: Any = Schedule.objects.values_list("leased_until", flat=True).get(job=name)
    return until


class Gate:
    """A job that says when it is at work, and ends when it may."""

    def __init__(self):
        self.at_work = threading.Event()
        self.may_end = threading.Event()
        self.times = 0

    def __call__(self, *, now):
        self.times += 1
        self.at_work.set()
        assert self.may_end.wait(IN_TIME)
        return self.times


def outcomes():
    return Counter(JobRun.objects.values_list("outcome", flat=True))


def test_a_run_leaves_what_it_did_and_when(own_jobs, running):
    said = []

    def run(*, now):
        said.append(request_id.current.get())
        return {"read": 3}

    once(own_jobs, "job", run)
    running()
    wait_until(lambda: outcomes() == {"done": 1})
    row: Any = JobRun.objects.get()
    assert (row.did, row.error) == ("read: 3", "")
    assert row.started_at <= row.ended_at
    assert 0 <= row.seconds < IN_TIME
    assert row.worker.count(":") == 2
    assert said == [f"job-run-{row.pk}"]


def test_a_long_run_holds_up_no_other(own_jobs, running):
    gate, seen = Gate(), []
    once(own_jobs, "long", gate)
    once(own_jobs, "short", lambda *, now: seen.append(now))
    running()
    assert gate.at_work.wait(IN_TIME)
    wait_until(lambda: seen)
    gate.may_end.set()
    wait_until(lambda: outcomes() == {"done": 2})


def test_so_many_run_at_once_and_no_more(own_jobs, running):
    gates = [Gate() for _number in range(scheduler.AT_ONCE + 1)]
    for number, gate in enumerate(gates):
        once(own_jobs, f"job {number}", gate)
    (one,) = running()
    wait_until(lambda: sum(gate.at_work.is_set() for gate in gates) == scheduler.AT_ONCE)
    assert len(one.under_way()) == scheduler.AT_ONCE
    (waiting,) = [gate for gate in gates if not gate.at_work.is_set()]
    for gate in gates:
        gate.may_end.set()
    assert waiting.at_work.wait(IN_TIME)
    wait_until(lambda: outcomes() == {"done": len(gates)})


def test_a_run_that_takes_longer_than_its_lease_stays_one(own_jobs, running, settings):
    settings.JOB_LEASE = timedelta(seconds=3)  # renewed each third of it, also on a busy machine
    gate = Gate()
    once(own_jobs, "long", gate)
    running(2)
    assert gate.at_work.wait(IN_TIME)
    first = lease_of("long")
    wait_until(lambda: lease_of("long") > first + settings.JOB_LEASE)  # which has run out
    gate.may_end.set()
    wait_until(lambda: outcomes() == {"done": 1})
    assert gate.times == 1


def test_several_schedulers_run_each_job_once(own_jobs, running):
    seen = []
    for number in range(10):
        once(own_jobs, f"job {number}", lambda *, now, number=number: seen.append(number))
    running(3)
    wait_until(lambda: outcomes() == {"done": 10})
    assert sorted(seen) == list(range(10))


def test_a_pause_lets_none_begin_and_interrupts_none(own_jobs, running):
    gate, seen = Gate(), []
    is_maintained = threading.Event()
    jobs_service.pauses.register("maintenance", is_maintained.is_set)
    once(own_jobs, "long", gate)
    (one,) = running()
    assert gate.at_work.wait(IN_TIME)
    is_maintained.set()
    once(own_jobs, "other", lambda *, now: seen.append(now))
    schedules.add_missing(now=timezone.now())
    gate.may_end.set()
    wait_until(lambda: one.under_way() == [])
    assert outcomes() == {"done": 1}
    assert seen == []
    is_maintained.clear()
    wait_until(lambda: seen)


def test_what_watches_goes_on_while_the_others_rest(own_jobs, running):
    watched, others = [], []
    jobs_service.pauses.register("maintenance", lambda: True)
    watches = Job(run=lambda *, now: watched.append(now), every=SECOND, label="w", rests=False)
    own_jobs.register("watches", watches)
    once(own_jobs, "rests", lambda *, now: others.append(now))
    schedules.add_missing(now=timezone.now())
    running()
    wait_until(lambda: len(watched) > 1)
    assert others == []


def test_stopping_finishes_what_is_under_way_and_begins_no_other(own_jobs, running, settings):
    settings.JOB_LEASE = timedelta(seconds=1)
    gate = Gate()
    once(own_jobs, "long", gate)
    (one,) = running()
    assert gate.at_work.wait(IN_TIME)
    once(own_jobs, "other", lambda *, now: None)
    schedules.add_missing(now=timezone.now())
    one.ask_to_stop()
    one.join(0.1)  # it is not waited for longer
    assert [claim.job for claim in one.under_way()] == ["long"]
    assert Schedule.objects.get(job="long").claimed_by == one.worker
    first = lease_of("long")
    wait_until(lambda: lease_of("long") > first)
    gate.may_end.set()
    one.join(IN_TIME)
    assert dict(JobRun.objects.values_list("job", "outcome")) == {"long": "done"}


@contextmanager
def without_the_table(model):
    table, away = model._meta.db_table, "table_that_is_away"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {away}")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE {away} RENAME TO {table}")


def test_a_scheduler_goes_on_when_its_table_is_back_and_tells_it_once(own_jobs, caplog):
    seen, rounds = [], []

    def clock():
        rounds.append(1)
        return timezone.now()

    once(own_jobs, "job", lambda *, now: seen.append(now))
    one = Scheduler(clock=clock)
    with without_the_table(Schedule):
        one.start()
        wait_until(lambda: len(rounds) > 3)
    wait_until(lambda: seen)
    wait_until(lambda: outcomes() == {"done": 1})
    assert caplog.text.count("could not be looked for") == 1
    one.ask_to_stop()
    one.join(IN_TIME)


@contextmanager
def refusing(condition):
    """Let the database refuse an UPDATE of a schedule as one that is away for a moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION be_away() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'away' USING ERRCODE = '57P03'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER away BEFORE UPDATE ON ops_schedule FOR EACH ROW "
            f"WHEN ({condition}) EXECUTE FUNCTION be_away()"
        )
        try:
            yield
        finally:
            cursor.execute("DROP FUNCTION be_away CASCADE")


ENDING = "NEW.leased_until IS NULL"
RENEWING = "NEW.leased_until IS NOT NULL AND NEW.claims = OLD.claims"


def test_an_end_that_cannot_be_written_is_written_when_the_database_is_back(
    own_jobs, running, caplog
):
    once(own_jobs, "job", lambda *, now: 3)
    with refusing(ENDING):
        running()
        wait_until(lambda: "could not be written; it is tried again" in caplog.text)
    wait_until(lambda: outcomes() == {"done": 1})


def test_an_end_that_cannot_be_written_holds_up_no_stop(own_jobs, running, caplog):
    once(own_jobs, "job", lambda *, now: 3)
    with refusing(ENDING):
        (one,) = running()
        wait_until(lambda: "could not be written; it is tried again" in caplog.text)
        one.ask_to_stop()
        one.join(IN_TIME)
        assert one.under_way() == []
    assert outcomes() == {"running": 1}


def test_an_end_that_the_database_refuses_is_left_to_the_next_run(
    own_jobs, running, caplog, settings
):
    settings.JOB_LEASE = timedelta(seconds=2)
    gate = Gate()
    once(own_jobs, "job", gate)
    running()
    assert gate.at_work.wait(IN_TIME)
    with without_the_table(JobRun):
        gate.may_end.set()
        wait_until(lambda: "The end of a run of job could not be written" in caplog.text)
    wait_until(lambda: outcomes() == {"lost": 1, "done": 1})
    assert gate.times == 2


def test_a_run_that_was_taken_away_is_told_at_the_next_renewal(own_jobs, running, caplog, settings):
    settings.JOB_LEASE = timedelta(seconds=0.1)
    gate = Gate()
    once(own_jobs, "long", gate)
    running()
    assert gate.at_work.wait(IN_TIME)
    Schedule.objects.update(claims=99, leased_until=timezone.now() + DAY)
    wait_until(lambda: "The run of long was taken away" in caplog.text)
    gate.may_end.set()


def test_a_run_that_was_taken_away_writes_nothing(own_jobs, running, caplog, monkeypatch):
    gate = Gate()
    once(own_jobs, "long", gate)
    running()
    assert gate.at_work.wait(IN_TIME)
    # As if the process had stood still for so long that another one took the run.
    Schedule.objects.update(claims=99)
    gate.may_end.set()
    wait_until(lambda: "somebody else's already" in caplog.text)
    assert outcomes() == {"running": 1}


# --- Runs that hang -------------------------------------------------------------------------------
class Moved:
    """A clock that goes on as a test says."""

    def __init__(self):
        self.ahead = timedelta()

    def __call__(self):
        return timezone.now() + self.ahead


@pytest.fixture
def clock():
    return Moved()


@pytest.fixture
def rounds(own_jobs, clock, settings):
    """A scheduler whose rounds the test makes itself; what it began has ended when the test has."""
    settings.JOB_LEASE = DAY
    gates: list[Gate] = []
    one: Any = Scheduler(clock=clock)
    one.gates = gates

    def hanging(name, **facts):
        gate = Gate()
        gates.append(gate)
        own_jobs.register(
            name, Job(run=gate, every=timedelta(days=30), label=name, limit=HOUR, **facts)
        )
        schedules.add_missing(now=clock())
        return gate

    one.hanging = hanging
    yield one
    for gate in gates:
        gate.may_end.set()
    wait_until(lambda: not one._at_work)


def test_runs_that_hang_are_given_up_and_take_up_no_slot(rounds, clock, caplog):
    for number in range(scheduler.AT_ONCE):
        rounds.hanging(f"hangs {number}")
    rounds.go_round()
    wait_until(lambda: all(gate.at_work.is_set() for gate in rounds.gates))
    other = rounds.hanging("other")
    clock.ahead = HOUR - timedelta(minutes=1)
    rounds.go_round()
    assert outcomes() == {"running": scheduler.AT_ONCE}
    before = counted("overdue")

    clock.ahead = HOUR + timedelta(minutes=1)
    rounds.go_round()

    assert outcomes()["lost"] == scheduler.AT_ONCE
    assert counted("overdue") == before + scheduler.AT_ONCE
    assert caplog.text.count("is overdue and counts as lost") == scheduler.AT_ONCE
    # The one that waited has its turn; those that hung try it again one after the other.
    assert other.at_work.wait(IN_TIME)
    assert len(rounds.under_way()) == 2
    rounds.go_round()
    assert len(rounds.under_way()) == 2


def counted(outcome):
    return sum(value for key, value in JOB_RUNS.series().items() if key[-1] == outcome)


def test_a_job_that_hangs_each_time_is_left_to_others_at_last(rounds, clock):
    gate = rounds.hanging("hangs")
    for number in range(scheduler.MOST_OVERDUE + 2):
        clock.ahead = number * 2 * HOUR
        rounds.go_round()
    wait_until(lambda: gate.times == scheduler.MOST_OVERDUE)
    assert rounds.under_way() == []
    assert outcomes() == {"lost": scheduler.MOST_OVERDUE}
    other = schedules.claim("hangs", worker="other", now=clock())
    assert other is not None


def test_a_job_with_a_slot_of_its_own_begins_beside_as_many_as_there_may_be(rounds):
    for number in range(scheduler.AT_ONCE):
        rounds.hanging(f"long {number}")
    rounds.go_round()
    own, other = rounds.hanging("own", own_slot=True), rounds.hanging("other")
    rounds.go_round()
    assert own.at_work.wait(IN_TIME)
    assert {claim.job for claim in rounds.under_way()} >= {"own"}
    assert not other.at_work.is_set()
    # Nor does it take one of theirs.
    rounds.gates[0].may_end.set()
    wait_until(lambda: len(rounds.under_way()) == scheduler.AT_ONCE)
    rounds.go_round()
    assert other.at_work.wait(IN_TIME)


def test_what_hung_and_ends_after_all_says_nothing_any_more(rounds, clock, caplog):
    gate = rounds.hanging("hangs")
    rounds.go_round()
    assert gate.at_work.wait(IN_TIME)
    rounds.ask_to_stop()  # so that nobody takes it up again
    clock.ahead = 2 * HOUR
    rounds.go_round()
    assert rounds.under_way() == []
    gate.may_end.set()
    wait_until(lambda: not rounds._at_work)
    assert "somebody else's already" in caplog.text
    assert outcomes() == {"lost": 1}


def test_the_evaluation_of_alerts_has_a_slot_of_its_own():
    assert all_jobs["evaluate alert rules"].own_slot


def test_by_hand_a_run_that_hangs_is_given_up_as_well(own_jobs, clock, settings):
    settings.JOB_LEASE = timedelta(seconds=0.3)
    gate = Gate()
    own_jobs.register("job", Job(run=gate, every=DAY, label="job", limit=HOUR))
    thread = threading.Thread(target=scheduler.run_by_hand, args=("job",), kwargs={"clock": clock})
    thread.start()
    assert gate.at_work.wait(IN_TIME)
    clock.ahead = 2 * HOUR
    wait_until(lambda: outcomes() == {"lost": 1})
    gate.may_end.set()
    thread.join(IN_TIME)
    assert outcomes() == {"lost": 1}


# --- By hand --------------------------------------------------------------------------------------
def test_by_hand_a_quick_job_asks_nothing_besides(own_jobs):
    """A look of its own would take a connection of the pool for each."""
    asked = []

    def clock():
        asked.append(threading.current_thread())
        return timezone.now()

    once(own_jobs, "quick", lambda *, now: None)
    assert scheduler.run_by_hand("quick", clock=clock)
    assert set(asked) == {threading.main_thread()}


def test_by_hand_a_job_runs_here_and_now(own_jobs):
    once(own_jobs, "job", lambda *, now: 7)
    for number in (1, 2):
        ended = scheduler.run_by_hand("job")
        assert ended is not None
        assert (ended.did, ended.error) == ("7", "")
        assert outcomes() == {"done": number}


def test_by_hand_it_keeps_its_lease_as_long_as_it_takes(own_jobs, settings):
    settings.JOB_LEASE = timedelta(seconds=2)
    gate = Gate()
    once(own_jobs, "job", gate)
    thread = threading.Thread(target=scheduler.run_by_hand, args=("job",))
    thread.start()
    assert gate.at_work.wait(IN_TIME)
    first = lease_of("job")
    wait_until(lambda: lease_of("job") > first + settings.JOB_LEASE)
    assert scheduler.run_by_hand("job") is None
    gate.may_end.set()
    thread.join(IN_TIME)
    assert outcomes() == {"done": 1}


def test_by_hand_a_lease_that_cannot_be_renewed_is_tried_again(own_jobs, settings, caplog):
    settings.JOB_LEASE = timedelta(seconds=0.3)
    gate = Gate()
    once(own_jobs, "job", gate)
    thread = threading.Thread(target=scheduler.run_by_hand, args=("job",))
    with refusing(RENEWING):
        thread.start()
        assert gate.at_work.wait(IN_TIME)
        wait_until(lambda: "could not be renewed; it is tried again" in caplog.text)
    gate.may_end.set()
    thread.join(IN_TIME)
    assert outcomes() == {"done": 1}


def test_a_run_that_ended_before_it_was_given_up_is_no_lost_one(own_jobs, caplog):
    once(own_jobs, "quick", lambda *, now: None)
    now = timezone.now()
    schedules.add_missing(now=now)
    claim = schedules.claim("quick", worker="here", now=now)
    assert claim is not None
    assert schedules.finish(claim, schedules.Ended(seconds=1), now=now)
    before = JOB_RUNS.series().copy()

    scheduler.give_up(claim, now=now + HOUR)

    assert JOB_RUNS.series() == before
    assert "overdue" not in caplog.text
    assert JobRun.objects.get(job="quick").outcome == "done"
