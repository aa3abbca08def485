"""The worker and the periodic jobs of a process."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.tasks import TaskResultStatus
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from ops.registry import Registry
from ops.services import background
from ops.services import jobs as jobs_service
from ops.services.background import Background
from ops.tests import probe_tasks
from ops.tests.databases import wait_until

REGISTERED = jobs_service.jobs  # tests look at a registry of their own

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(background, "POLL_EVERY", 0.02)
    monkeypatch.setattr(background, "ROUND_EVERY", 0.02)
    monkeypatch.setattr(jobs_service, "jobs", Registry())
    probe_tasks.ran.clear()


def threads_at_work():
    """Those that a running `Background` has."""
    names = {"worker", "periodic jobs"}
    return [thread for thread in threading.enumerate() if thread.name in names]


@pytest.fixture
def running():
    one = Background()
    one.start()
    assert len(threads_at_work()) == 2
    yield one
    one.stop(seconds=10)
    assert threads_at_work() == []


def status_of(result):
    return DBTaskResult.objects.get(pk=result.id).status


def test_tasks_run_in_the_order_they_were_queued(running):
    results = [probe_tasks.note.enqueue(word) for word in "abc"]
    wait_until(lambda: status_of(results[-1]) == TaskResultStatus.SUCCESSFUL)
    assert probe_tasks.ran == ["a", "b", "c"]
    assert DBTaskResult.objects.get(pk=results[0].id).return_value == "A"


def test_a_task_that_fails_stops_nothing(running, caplog):
    broken = probe_tasks.fail.enqueue()
    fine = probe_tasks.note.enqueue("a")
    wait_until(lambda: status_of(fine) == TaskResultStatus.SUCCESSFUL)
    assert status_of(broken) == TaskResultStatus.FAILED


def test_stopping_finishes_the_task_at_hand_and_leaves_the_next(monkeypatch):
    at_work, may_end = threading.Event(), threading.Event()

    class Slow(list):
        def append(self, word):
            at_work.set()
            assert may_end.wait(10)
            super().append(word)

    monkeypatch.setattr(probe_tasks, "ran", Slow())
    one = Background()
    first, second = probe_tasks.note.enqueue("a"), probe_tasks.note.enqueue("b")
    one.start()
    assert at_work.wait(10)
    one.stop(seconds=0)  # it is asked to, and does not wait
    stopping = threading.Thread(target=one.stop, kwargs={"seconds": 10})
    stopping.start()
    assert stopping.is_alive()
    may_end.set()
    stopping.join(10)
    assert threads_at_work() == []
    assert list(probe_tasks.ran) == ["a"]
    assert status_of(first) == TaskResultStatus.SUCCESSFUL
    assert status_of(second) == TaskResultStatus.READY


def test_stopping_waits_only_so_long(monkeypatch):
    at_work, may_end = threading.Event(), threading.Event()

    class Stuck(list):
        def append(self, word):
            at_work.set()
            may_end.wait(10)

    monkeypatch.setattr(probe_tasks, "ran", Stuck())
    one = Background()
    probe_tasks.note.enqueue("a")
    one.start()
    assert at_work.wait(10)
    started = time.monotonic()
    one.stop(seconds=0.1)
    assert time.monotonic() - started < 3
    may_end.set()
    one.stop(seconds=10)


@contextmanager
def without_the_queues_table():
    table, away = DBTaskResult._meta.db_table, "queue_that_is_away"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {away}")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE {away} RENAME TO {table}")


def test_a_worker_that_breaks_starts_again(running, caplog):
    with without_the_queues_table():
        wait_until(lambda: "it starts again" in caplog.text)
    result = probe_tasks.note.enqueue("a")
    wait_until(lambda: status_of(result) == TaskResultStatus.SUCCESSFUL)


# --- Jobs that come round -----------------------------------------------------------------------
def test_jobs_come_round_and_one_that_fails_stops_none(running, caplog):
    seen = []

    def fail(*, now):
        raise ZeroDivisionError

    jobs_service.jobs.register("broken", fail)
    jobs_service.jobs.register("fine", lambda *, now: seen.append(now))
    wait_until(lambda: len(seen) >= 3)
    assert seen == sorted(seen)
    assert abs(seen[-1] - timezone.now()) < timedelta(seconds=10)
    assert "The periodic job broken failed" in caplog.text


def running_task(**fields):
    result = probe_tasks.note.enqueue("a")
    DBTaskResult.objects.filter(pk=result.id).update(
        **{"status": TaskResultStatus.RUNNING, "worker_ids": ["gone"], **fields}
    )
    return result


def test_a_task_whose_worker_was_killed_is_closed():
    now = timezone.now()
    lost = running_task(started_at=now - background.LOST_AFTER - timedelta(seconds=1))
    at_work = running_task(started_at=now - background.LOST_AFTER + timedelta(seconds=1))
    waiting = probe_tasks.note.enqueue("b")
    background.mark_lost_tasks(now=now)
    assert status_of(lost) == TaskResultStatus.FAILED
    assert "WorkerLostError" in DBTaskResult.objects.get(pk=lost.id).exception_class_path
    assert status_of(at_work) == TaskResultStatus.RUNNING
    assert status_of(waiting) == TaskResultStatus.READY


def test_lost_tasks_are_looked_for_wherever_background_work_runs():
    assert background.mark_lost_tasks in REGISTERED.values()
