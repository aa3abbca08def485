"""The worker of a process, on each engine, and that the periodic jobs are beside it."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ops import life_signs
from ops.registry import Registry
from ops.services import background, jobs, queue, scheduler
from ops.services.background import Background
from ops.services.jobs import Job
from ops.tests import probe_tasks
from ops.tests.databases import wait_until, without_the_queues_table
from tests.engines import result_of, status_of

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

on_both = pytest.mark.usefixtures("task_engine")


@pytest.fixture(autouse=True)
def quick(monkeypatch, own_jobs):
    monkeypatch.setattr(background, "POLL_EVERY", 0.02)
    monkeypatch.setattr(scheduler, "ROUND_EVERY", 0.02)
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


@on_both
def test_tasks_run_in_the_order_they_were_queued(running):
    results = [probe_tasks.note.enqueue(word) for word in "abc"]
    wait_until(lambda: status_of(results[-1]) == "SUCCESSFUL")
    assert probe_tasks.ran == ["a", "b", "c"]
    assert result_of(results[0]).return_value == "A"


@on_both
def test_a_task_that_fails_stops_nothing(running, caplog):
    broken = probe_tasks.fail.enqueue()
    fine = probe_tasks.note.enqueue("a")
    wait_until(lambda: status_of(fine) == "SUCCESSFUL")
    assert status_of(broken) == "FAILED"
    told = [record for record in caplog.records if record.exc_info]
    assert [record.exc_info[0] for record in told] == [ZeroDivisionError]


@on_both
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
    assert status_of(first) == "SUCCESSFUL"
    assert status_of(second) == "READY"


@on_both
def test_stopping_waits_only_so_long(monkeypatch):
    at_work, may_end = threading.Event(), threading.Event()

    class Stuck(list):
        def append(self, word):
            at_work.set()
            may_end.wait(120)

    monkeypatch.setattr(probe_tasks, "ran", Stuck())
    one = Background()
    probe_tasks.note.enqueue("a")
    one.start()
    assert at_work.wait(60)
    started = time.monotonic()
    one.stop(seconds=0.1)
    assert time.monotonic() - started < 60, "the task goes on for longer"
    may_end.set()
    one.stop(seconds=10)


@on_both
def test_a_pause_ends_no_task_and_lets_none_begin(monkeypatch, running):
    is_paused, at_work, may_end = (threading.Event() for _event in range(3))
    pauses: Registry[Any] = Registry()
    pauses.register("maintenance", is_paused.is_set)
    monkeypatch.setattr(jobs, "pauses", pauses)

    class Slow(list):
        def append(self, word):
            at_work.set()
            assert may_end.wait(10)
            super().append(word)

    monkeypatch.setattr(probe_tasks, "ran", Slow())
    first, second = probe_tasks.note.enqueue("a"), probe_tasks.note.enqueue("b")
    assert at_work.wait(10)
    is_paused.set()
    may_end.set()
    wait_until(lambda: status_of(first) == "SUCCESSFUL")
    rounds = Rounds(monkeypatch)
    wait_until(lambda: rounds.count > 3)
    assert queue.under_way() == []
    assert status_of(second) == "READY"
    is_paused.clear()
    wait_until(lambda: status_of(second) == "SUCCESSFUL")


class Rounds:
    """Counts how often worker and scheduler come round from now on."""

    def __init__(self, monkeypatch):
        self.count = 0
        note = life_signs.note

        def counted(part):
            self.count += part == "worker"
            note(part)

        monkeypatch.setattr(life_signs, "note", counted)


def test_a_worker_that_breaks_starts_again_and_tells_it_once(running, caplog, monkeypatch):
    started = []
    engine = queue.engine

    def counted():
        started.append(1)
        return engine()

    monkeypatch.setattr(queue, "engine", counted)
    with without_the_queues_table():
        wait_until(lambda: len(started) > 3)
    assert caplog.text.count("it starts again") == 1
    result = probe_tasks.note.enqueue("a")
    wait_until(lambda: status_of(result) == "SUCCESSFUL")


@pytest.fixture
def seen(own_jobs):
    """The moments at which a job ran, beside one that fails; handed in before anything starts."""
    moments = []

    def fail(*, now):
        raise ZeroDivisionError

    def note(*, now):
        moments.append(now)

    own_jobs.register("broken", Job(run=fail, every=timedelta(days=1), label="Broken"))
    own_jobs.register("fine", Job(run=note, every=timedelta(days=1), label="Fine"))
    return moments


def test_jobs_come_round_beside_it(seen, running, caplog):
    wait_until(lambda: seen)
    assert abs(seen[0] - timezone.now()) < timedelta(seconds=10)
    wait_until(lambda: "The periodic job broken failed" in caplog.text)
