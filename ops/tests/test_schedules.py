"""Runs are claimed, held, taken up again and ended: once for each time that a job is due."""

import random
import threading
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from ops.errors import JobAlreadyDue
from ops.models import AuditEntry, JobRun, RunOutcome, Schedule
from ops.services import schedules
from ops.services.jobs import Job
from ops.services.schedules import Ended
from ops.tests.databases import on_sqlite
from tests.console import refused_unchanged
from tests.people import make_person
from tests.races import race

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days")
)
WELL = Ended(seconds=0.5, did="3")
NOTHING = Ended(seconds=0.5)
BADLY = Ended(seconds=0.5, error="ValueError")


@pytest.fixture
def lease(settings):
    settings.JOB_LEASE = 30 * SECOND
    return settings.JOB_LEASE


@pytest.fixture
def register(own_jobs, lease):
    """Registers a job that does nothing, and makes its row."""

    def register(name="job", **timing):
        timing = timing or {"every": MINUTE}
        own_jobs.register(name, Job(run=lambda *, now: None, label=name, **timing))
        schedules.add_missing(now=NOW)
        return Schedule.objects.get(job=name)

    return register


def claim(name="job", *, worker="one", now=NOW) -> Any:
    return schedules.claim(name, worker=worker, now=now)


def runs(name="job"):
    """Each run of a job: when it was due, by whom, how it ended."""
    rows = JobRun.objects.filter(job=name).order_by("pk")
    return [(run.due_at, run.worker, run.outcome) for run in rows]


# --- Claiming -------------------------------------------------------------------------------------
def test_a_due_run_is_claimed_once(register, lease):
    register()
    mine = claim()
    assert (mine.job, mine.due_at, mine.number) == ("job", NOW, 1)
    assert claim(worker="two") is None
    row = Schedule.objects.get()
    assert (row.claimed_by, row.leased_until) == ("one", NOW + lease)
    assert (row.last_started_at, row.last_outcome) == (NOW, RunOutcome.RUNNING)
    assert runs() == [(NOW, "one", "running")]


def test_what_is_not_due_is_not_claimed(register):
    register()
    assert claim(now=NOW - SECOND) is None
    assert schedules.due(now=NOW - SECOND) == []
    assert schedules.due(now=NOW) == ["job"]
    assert not JobRun.objects.exists()


def test_the_longest_due_comes_first_and_what_somebody_has_not_at_all(register):
    for name, ago in (("b", 1), ("a", 3), ("c", 2)):
        register(name)
        Schedule.objects.filter(job=name).update(next_due_at=NOW - ago * MINUTE)
    assert schedules.due(now=NOW) == ["a", "c", "b"]
    claim("c")
    assert schedules.due(now=NOW) == ["a", "b"]


def test_a_job_of_another_version_is_left_alone(register):
    register()
    Schedule.objects.create(job="gone", timing="every 1 s", next_due_at=NOW - DAY)
    assert schedules.due(now=NOW) == ["job"]
    assert [one.job for one in schedules.standings(now=NOW)] == ["job"]
    assert schedules.label_of("gone") == "gone"


# --- Ending ---------------------------------------------------------------------------------------
def test_a_run_that_ended_is_due_again_in_its_time(register):
    register()
    assert schedules.finish(claim(), WELL, now=NOW + 2 * SECOND)
    row = Schedule.objects.get()
    assert (row.next_due_at, row.claimed_by, row.leased_until) == (NOW + MINUTE, "", None)
    assert (row.last_outcome, row.failures) == ("done", 0)
    run = JobRun.objects.get()
    assert (run.did, run.error, run.seconds) == ("3", "", 0.5)
    assert (run.started_at, run.ended_at, run.outcome) == (NOW, NOW + 2 * SECOND, "done")


def test_what_was_missed_is_made_up_once(register):
    register()
    late = NOW + 3 * HOUR + 20 * SECOND
    assert schedules.finish(claim(now=late), WELL, now=late)
    assert claim(now=late) is None
    assert Schedule.objects.get().next_due_at == NOW + 3 * HOUR + MINUTE
    assert runs() == [(NOW, "one", "done")]


def test_a_failure_is_kept_and_the_job_is_due_as_usual(register):
    register()
    for number in range(3):
        moment = NOW + number * MINUTE
        assert schedules.finish(claim(now=moment), BADLY, now=moment)
        row = Schedule.objects.get()
        assert (row.failures, row.next_due_at) == (number + 1, moment + MINUTE)
    assert [one.failures for one in schedules.standings(now=NOW)] == [3]
    assert schedules.finish(claim(now=NOW + HOUR), NOTHING, now=NOW + HOUR)
    assert Schedule.objects.get().failures == 0
    assert Counter(run[2] for run in runs()) == {"failed": 3, "done": 1}


# --- Leases ---------------------------------------------------------------------------------------
def test_a_run_whose_worker_is_silent_is_taken_up_again_for_the_same_time(register, lease):
    register()
    claim(worker="killed")
    assert claim(worker="two", now=NOW + lease) is None
    after = NOW + lease + SECOND
    again = claim(worker="two", now=after)
    assert again.due_at == NOW
    assert Schedule.objects.get().failures == 1
    assert schedules.finish(again, WELL, now=after)
    assert runs() == [(NOW, "killed", "lost"), (NOW, "two", "done")]
    assert Schedule.objects.get().next_due_at == NOW + MINUTE


def test_a_lease_that_is_renewed_does_not_run_out(register, lease):
    register()
    mine = claim()
    for number in range(1, 10):
        moment = NOW + number * lease / 3
        assert schedules.renew([mine], now=moment) == []
        assert claim(worker="two", now=moment + SECOND) is None
    assert runs() == [(NOW, "one", "running")]


def test_whoever_lost_a_run_renews_and_ends_nothing(register, lease):
    register()
    silent = claim(worker="silent")
    later = NOW + 2 * lease
    taken = claim(worker="two", now=later)
    with refused_unchanged():
        assert schedules.renew([silent], now=later) == [silent]
        assert not schedules.finish(silent, WELL, now=later)
    assert schedules.finish(taken, WELL, now=later)
    with refused_unchanged():
        assert not schedules.finish(silent, WELL, now=later)
        assert not schedules.finish(taken, BADLY, now=later)


def test_a_run_that_ended_was_not_taken_away(register):
    register()
    mine = claim()
    schedules.finish(mine, WELL, now=NOW)
    with refused_unchanged():
        assert schedules.renew([mine], now=NOW) == []


# --- Races ----------------------------------------------------------------------------------------
RACERS = 8


def race_for_it(now=NOW):
    """Many workers claim one run at once; returns the claims that were given."""
    outcomes = race(
        [partial(schedules.claim, "job", worker=f"w{number}", now=now) for number in range(RACERS)]
    )
    return [one for one in outcomes if one is not None]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_runs_it(register):
    register()
    assert len(race_for_it()) == 1
    assert len(runs()) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_takes_up_what_was_lost(register, lease):
    register()
    claim(worker="killed")
    assert len(race_for_it(now=NOW + 2 * lease)) == 1
    assert sorted(run[2] for run in runs()) == ["lost", "running"]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_claim_several_run_it(register, monkeypatch):
    """The twin: everybody has read the row before the first of them writes, and none asks again."""
    register()
    together = threading.Barrier(RACERS)

    def unasked(schedule, _now):
        together.wait(30)
        return Schedule.objects.filter(pk=schedule.pk)

    monkeypatch.setattr(schedules, "_still", unasked)
    assert len(race_for_it()) == RACERS


def test_should_the_claim_ever_go_a_constraint_still_bites(register):
    register()
    claim()
    with refused_unchanged(), pytest.raises(IntegrityError), transaction.atomic():
        JobRun.objects.create(job="job", due_at=NOW, started_at=NOW, worker="two")


def test_a_time_is_done_once(register):
    register()
    schedules.finish(claim(), WELL, now=NOW)
    facts = {"job": "job", "due_at": NOW, "started_at": NOW, "ended_at": NOW, "worker": "two"}
    for outcome in (RunOutcome.DONE, RunOutcome.FAILED):
        with pytest.raises(IntegrityError), transaction.atomic():
            JobRun.objects.create(outcome=outcome, **facts)
    JobRun.objects.create(outcome=RunOutcome.LOST, **facts)


# --- An hour of fake clock ------------------------------------------------------------------------
def test_two_schedulers_run_each_job_once_for_each_time_of_an_hour(register, settings):
    """They look every 5 seconds, in any order, and now and then a run takes as long."""
    settings.TIME_ZONE = "Asia/Shanghai"
    chance = random.Random(11)
    register("often", every=15 * SECOND)
    register("seldom", every=7 * MINUTE)
    register("cron", cron="*/10 * * * *")
    first_cron = Schedule.objects.get(job="cron").next_due_at
    ran: Counter[Any] = Counter()
    held = []
    for second in range(0, 3600, 5):
        now = NOW + second * SECOND
        for worker in chance.sample(["one", "two"], 2):
            claims = [schedules.claim(n, worker=worker, now=now) for n in schedules.due(now=now)]
            held += [one for one in claims if one]
            if chance.random() < 0.8:
                while held:
                    mine = held.pop(0)
                    assert schedules.finish(mine, WELL, now=now)
                    ran[mine.job, mine.due_at] += 1
    assert set(ran.values()) == {1}
    times = {name: sorted(due for job, due in ran if job == name) for name, _due in ran}
    assert times["often"] == [NOW + n * 15 * SECOND for n in range(240)]
    assert times["seldom"] == [NOW + n * 7 * MINUTE for n in range(9)]
    assert times["cron"] == [first_cron + n * 10 * MINUTE for n in range(6)]
    assert not JobRun.objects.exclude(outcome="done").exists()


# --- Rows -----------------------------------------------------------------------------------------
def test_a_job_that_is_known_keeps_its_row(register):
    register()
    schedules.finish(claim(), WELL, now=NOW)
    before = Schedule.objects.get()
    schedules.add_missing(now=NOW + DAY)
    schedules.adopt_timings(now=NOW + DAY)
    assert Schedule.objects.get().next_due_at == before.next_due_at


def test_a_cron_line_is_first_due_at_its_time(register):
    row = register(cron="0 3 * * *")
    assert row.next_due_at > NOW
    assert timezone.localtime(row.next_due_at).hour == 3


def test_a_job_that_comes_round_more_often_than_before_is_due_soon(register):
    row = register()
    Schedule.objects.update(timing="every 86400 s", next_due_at=NOW + DAY)
    schedules.adopt_timings(now=NOW)
    row.refresh_from_db()
    assert (row.timing, row.next_due_at) == ("every 60 s", NOW + MINUTE)


def test_a_timing_is_not_changed_under_a_run(register):
    register()
    claim()
    Schedule.objects.update(timing="every 86400 s")
    with refused_unchanged():
        schedules.adopt_timings(now=NOW)


# --- By hand --------------------------------------------------------------------------------------
def test_a_job_is_made_due_at_once_and_audited(register):
    register()
    schedules.finish(claim(), WELL, now=NOW)
    row = Schedule.objects.get()
    Schedule.objects.update(next_due_at=NOW + DAY)
    author = make_person()
    schedules.run_now(row, author_id=author.pk)
    now = schedules.database_now()
    assert schedules.due(now=now) == ["job"]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_name) == ("schedule.run_now", f"ops.schedule:{row.pk}")


def test_two_clicks_make_one_run(register):
    row = register()
    Schedule.objects.update(next_due_at=schedules.database_now() + HOUR)
    author = make_person()
    schedules.run_now(row, author_id=author.pk)
    with refused_unchanged(), pytest.raises(JobAlreadyDue):
        schedules.run_now(row, author_id=author.pk)
    now = schedules.database_now()
    mine = claim(now=now)
    with refused_unchanged(), pytest.raises(JobAlreadyDue):
        schedules.run_now(row, author_id=author.pk)
    schedules.finish(mine, WELL, now=now)
    assert claim(now=now) is None


def test_a_command_claims_what_is_not_due(register):
    register(cron="0 3 * * *")
    mine: Any = schedules.claim_now("job", worker="hand", now=NOW)
    assert mine.due_at == NOW
    assert schedules.claim_now("job", worker="other", now=NOW) is None
    assert runs() == [(NOW, "hand", "running")]


# --- Keeping --------------------------------------------------------------------------------------
def test_runs_are_kept_for_thirty_days_and_those_of_nothing_for_an_hour(register):
    register()

    def run(name, ago, **facts):
        facts = {"outcome": "done", "did": "", "worker": "w", **facts}
        moment = NOW - ago
        JobRun.objects.create(job=name, due_at=moment, started_at=moment, ended_at=moment, **facts)

    run("fresh nothing", HOUR - SECOND)
    run("old nothing", HOUR + SECOND)
    run("did", 30 * DAY - SECOND, did="3")
    run("did long ago", 30 * DAY + SECOND, did="3")
    run("failed", HOUR + SECOND, outcome="failed", error="E")
    run("lost", HOUR + SECOND, outcome="lost")
    claim()
    JobRun.objects.filter(job="job").update(started_at=NOW - 40 * DAY)
    assert schedules.forget_old(now=NOW) == 2
    assert schedules.forget_old(now=NOW) == 0
    left = set(JobRun.objects.values_list("job", flat=True))
    assert left == {"fresh nothing", "did", "failed", "lost", "job"}


# --- What is told ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (None, ""),
        (0, ""),
        (False, ""),
        ("", ""),
        ([], ""),
        (7, "7"),
        (2.5, "2.5"),
        ([1, 2], "2"),
        ("3 of 13800138000", "3 of 138****8000"),
        ({"read": 3, "phone": "13800138000"}, "read: 3, phone: ***"),
        (Schedule(pk=7, job="secret"), "ops.schedule:7"),
        (object(), "object"),
    ],
)
def test_what_a_run_did_is_a_short_text_without_personal_data(outcome, told):
    assert schedules.what_it_did(outcome) == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError(), "ValueError"),
        (ValueError("no such thing\nand its values"), "ValueError: no such thing"),
        (ValueError("of 13800138000"), "ValueError: of 138****8000"),
        (
            DatabaseError("duplicate key DETAIL:  Key (name)=(Wang) already exists."),
            "DatabaseError: duplicate key ",
        ),
    ],
)
def test_what_went_wrong_is_told_without_personal_data(error, told):
    assert schedules.what_went_wrong(error) == told


def test_how_late_a_job_is(register, lease):
    register()
    (one,) = schedules.standings(now=NOW + MINUTE)
    assert (one.late_seconds, one.running_seconds) == (60, 0)
    claim(now=NOW + MINUTE)
    (one,) = schedules.standings(now=NOW + MINUTE + SECOND)
    assert one.late_seconds == 0
    (one,) = schedules.standings(now=NOW + MINUTE + lease + SECOND)
    assert one.late_seconds == 91


def test_the_clock_is_the_databases():
    assert abs(schedules.database_now() - timezone.now()) < MINUTE


@pytest.mark.postgresql
def test_on_sqlite_it_is_this_machines():
    with on_sqlite():
        assert abs(schedules.database_now() - timezone.now()) < MINUTE


# --- Runs that hang -------------------------------------------------------------------------------
def test_a_run_is_told_by_how_long_it_is_under_way(register, lease):
    register()
    mine = claim(now=NOW + SECOND)
    (one,) = schedules.standings(now=NOW + 20 * SECOND)
    assert (one.late_seconds, one.running_seconds) == (0, 19)
    schedules.renew([mine], now=NOW + MINUTE)
    (one,) = schedules.standings(now=NOW + MINUTE)
    assert one.running_seconds == 59
    schedules.finish(mine, WELL, now=NOW + MINUTE)
    assert schedules.standings(now=NOW + MINUTE)[0].running_seconds == 0


def test_a_run_that_is_given_up_is_lost_and_somebody_elses_at_once(register):
    register()
    mine = claim()
    assert schedules.give_up(mine, now=NOW + HOUR)
    row = Schedule.objects.get()
    assert (row.claimed_by, row.last_outcome, row.failures) == ("", RunOutcome.LOST, 1)
    assert JobRun.objects.get().error == schedules.OVERDUE
    assert schedules.due(now=NOW + HOUR) == ["job"]
    other = claim(worker="two", now=NOW + HOUR)
    assert other.due_at == NOW + HOUR  # behind what has waited meanwhile
    # What hung goes on, and has nothing to say any more.
    assert not schedules.finish(mine, WELL, now=NOW + HOUR)
    assert not schedules.give_up(mine, now=NOW + HOUR)
    schedules.renew([mine], now=NOW + HOUR)
    assert schedules.finish(other, WELL, now=NOW + HOUR)
    assert runs() == [(NOW, "one", "lost"), (NOW + HOUR, "two", "done")]


def test_a_run_that_ended_is_not_given_up(register):
    register()
    mine = claim()
    schedules.finish(mine, WELL, now=NOW)
    before = Schedule.objects.values().get()
    assert not schedules.give_up(mine, now=NOW + HOUR)
    assert Schedule.objects.values().get() == before
    assert runs() == [(NOW, "one", "done")]
