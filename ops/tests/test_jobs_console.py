"""Periodic jobs in the console: how they stand, and *run now*."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import RedisError

from ops.models import AuditEntry, JobRun, Schedule
from ops.monitoring import kept_queue
from ops.services import schedules
from ops.tests import probe_tasks
from tests.console import console_of, refused_unchanged

pytestmark = pytest.mark.django_db

LIST = reverse("admin:ops_schedule_changelist")
RUNS = reverse("admin:ops_jobrun_changelist")
ENGLISH = {"Accept-Language": "en"}
HOUR = timedelta(hours=1)


@pytest.fixture
def row():
    schedules.add_missing(now=timezone.now())
    Schedule.objects.update(next_due_at=timezone.now() + HOUR)
    return Schedule.objects.get(job="expire orders")


def run_now(console, *rows):
    return console.post(
        LIST, {"action": "run_now", "_selected_action": [row.pk for row in rows]}, follow=True
    )


def messages_of(page):
    return [str(message) for message in page.context["messages"]]


def test_jobs_are_told_by_what_they_are_called_and_how_often(cast, row):
    page = console_of(cast.staff).get(LIST, headers=ENGLISH).content.decode()
    for text in ("Take back orders whose time is over", "every 5 seconds", "by the cron line"):
        assert text in page


def test_a_job_of_another_version_is_shown_as_such(cast, row):
    Schedule.objects.filter(pk=row.pk).update(job="of tomorrow")
    page = console_of(cast.staff).get(LIST, headers=ENGLISH).content.decode()
    assert "of tomorrow" in page
    assert "not in this version" in page


@pytest.mark.parametrize(("failing", "shown"), [("yes", 1), ("no", -1), ("", 0)])
def test_failing_jobs_are_found(cast, row, failing, shown):
    Schedule.objects.filter(pk=row.pk).update(failures=3, last_outcome="failed")
    page = console_of(cast.staff).get(LIST, {"failing": failing})
    expected = {1: 1, -1: Schedule.objects.count() - 1, 0: Schedule.objects.count()}[shown]
    assert page.context["cl"].result_count == expected


def test_run_now_makes_a_job_due_and_two_clicks_make_one_run(cast, row):
    console = console_of(cast.staff)
    run_now(console, row)
    assert schedules.due(now=timezone.now()) == ["expire orders"]
    (entry,) = AuditEntry.objects.filter(action="schedule.run_now")
    assert entry.actor_id == cast.staff.pk
    due_at = Schedule.objects.get(pk=row.pk).next_due_at
    page = run_now(console, row)
    assert any("expire orders: " in text for text in messages_of(page))
    assert Schedule.objects.get(pk=row.pk).next_due_at == due_at
    assert AuditEntry.objects.filter(action="schedule.run_now").count() == 1


def test_an_auditor_looks_alone(cast, row):
    console = console_of(cast.auditor)
    assert console.get(LIST).status_code == 200
    assert console.get(RUNS).status_code == 200
    with refused_unchanged():
        run_now(console, row)


def test_runs_are_found_by_job_and_by_how_they_ended(cast):
    now = timezone.now()
    for job, outcome in (("expire orders", "done"), ("expire orders", "failed"), ("x", "failed")):
        JobRun.objects.create(
            job=job,
            due_at=now,
            started_at=now,
            ended_at=now,
            seconds=1.25,
            outcome=outcome,
            worker="w",
        )
        now += HOUR
    console = console_of(cast.staff)

    def found(**asked):
        page = console.get(RUNS, asked)
        return [(run.job, run.outcome) for run in page.context["cl"].result_list]

    assert found() == [("x", "failed"), ("expire orders", "failed"), ("expire orders", "done")]
    assert found(job="expire orders", outcome="failed") == [("expire orders", "failed")]
    assert found(outcome__exact="done") == [("expire orders", "done")]
    page = console.get(reverse("admin:ops_jobrun_change", args=[JobRun.objects.latest("pk").pk]))
    assert page.status_code == 200


# --- The queue of tasks, above the list -----------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_how_the_queue_stands_is_said_on_each_engine(cast, task_engine):
    for word in "ab":
        probe_tasks.note.enqueue(word)
    console = console_of(cast.staff)
    page = console.get(LIST, headers=ENGLISH).content.decode()
    assert "Queue of tasks: this process has not asked it yet." in page
    kept_queue.ask()
    page = console.get(LIST, headers=ENGLISH).content.decode()
    assert re.search(r"Queue of tasks: 2 wait, the first of them for \d+ seconds?\.", page)
    assert "In the last hour 0 failed, and 0 lost their worker." in page
    assert f"It is in {'Redis' if task_engine == 'redis' else 'the database'}." in page


@pytest.mark.postgresql
def test_a_queue_that_is_away_keeps_nobody_from_the_page(cast, row, redis_engine, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(RedisError):
        kept_queue.ask()
    page = console_of(cast.staff).get(LIST, headers=ENGLISH)
    assert page.status_code == 200
    assert "The queue of tasks cannot be reached." in page.content.decode()
