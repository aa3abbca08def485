"""What waits in the queue, what was lost and what failed, alike on each engine."""

from datetime import timedelta

import pytest
from django.utils import timezone

from ops.services import jobs, queue
from ops.services.queue_engine import LOST_AFTER, Failures, Waiting
from ops.tests import probe_tasks
from tests.engines import begin, queued, rename, status_of, work_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("task_engine")]

SECOND = timedelta(seconds=1)


# --- What waits -----------------------------------------------------------------------------------
def test_how_many_wait_and_for_how_long():
    now = timezone.now()
    assert queue.waiting() == Waiting(length=0, oldest_seconds=0)
    for word in "abc":
        probe_tasks.note.enqueue(word)
    waiting = queue.waiting(now=now + timedelta(minutes=5))
    assert waiting.length == 3
    assert 295 <= waiting.oldest_seconds <= 305
    assert queue.waiting(now=now - SECOND).oldest_seconds == 0


def test_which_calls_of_a_task_wait():
    now = timezone.now()
    for word in "abc":
        probe_tasks.note.enqueue(word)
    probe_tasks.fail.enqueue()
    assert queue.first_arguments(probe_tasks.note, begun_after=now) == {"a", "b", "c"}
    assert queue.first_arguments(probe_tasks.fail, begun_after=now) == set()


def test_a_call_that_was_begun_lately_counts_as_waiting():
    now = timezone.now()
    lately, long_ago = probe_tasks.note.enqueue("lately"), probe_tasks.note.enqueue("long ago")
    begin(lately, at=now - SECOND)
    begin(long_ago, at=now - 60 * SECOND)
    assert queue.waiting().length == 0
    assert queue.first_arguments(probe_tasks.note, begun_after=now - 30 * SECOND) == {"lately"}


@pytest.mark.postgresql
def test_a_call_that_ended_does_not_wait():
    ended, failed = probe_tasks.note.enqueue("a"), probe_tasks.fail.enqueue()
    work_until(lambda: {status_of(ended), status_of(failed)} == {"SUCCESSFUL", "FAILED"})
    long_ago = timezone.now() - timedelta(days=1)
    assert queue.first_arguments(probe_tasks.note, begun_after=long_ago) == set()


def test_which_tasks_somebody_is_at():
    now = timezone.now()
    at_work, lost, _waits = (probe_tasks.note.enqueue(word) for word in "abc")
    begin(at_work, at=now - LOST_AFTER + SECOND)
    begin(lost, at=now - LOST_AFTER - SECOND)
    assert queue.under_way(now=now) == [probe_tasks.note.module_path]
    assert queue.under_way(now=now + LOST_AFTER) == []


def test_a_task_that_waits_or_is_at_work_is_not_forgotten():
    waits, at_work = probe_tasks.note.enqueue("a"), probe_tasks.note.enqueue("b")
    begin(at_work, at=timezone.now())
    assert queue.forget_old(now=timezone.now() + timedelta(days=400)) == 0
    assert [status_of(one) for one in (waits, at_work)] == ["READY", "RUNNING"]


def test_finished_tasks_are_forgotten_by_a_job():
    assert jobs.jobs["finished tasks"].run == queue.forget_old


# --- Names of an earlier version ------------------------------------------------------------------
@pytest.mark.postgresql
def test_a_task_is_known_by_the_name_of_an_earlier_version(settings):
    old = "ops.tests.probe_tasks.as_it_was_called"
    settings.MOVED_NAMES = {old: probe_tasks.note.module_path}
    probe_tasks.ran.clear()
    result = probe_tasks.note.enqueue("a")
    rename(result, old)
    assert queue.first_arguments(probe_tasks.note, begun_after=timezone.now()) == {"a"}
    work_until(lambda: probe_tasks.ran == ["a"])


# --- What was lost, what failed -------------------------------------------------------------------
def test_a_task_whose_worker_was_killed_is_closed():
    now = timezone.now()
    lost, at_work, waiting = (probe_tasks.note.enqueue(word) for word in "abc")
    begin(lost, at=now - LOST_AFTER - SECOND)
    begin(at_work, at=now - LOST_AFTER + SECOND)
    assert queue.mark_lost_tasks(now=now) == 1
    assert queue.mark_lost_tasks(now=now) == 0
    assert [status_of(one) for one in (lost, at_work, waiting)] == ["FAILED", "RUNNING", "READY"]
    assert queued() == [["c"]]


def test_lost_tasks_are_looked_for_by_a_job():
    assert jobs.jobs["lost tasks"].run == queue.mark_lost_tasks


@pytest.mark.postgresql
def test_what_failed_and_what_was_lost_is_counted_apart():
    now = timezone.now()
    begin(probe_tasks.note.enqueue("a"), at=now - LOST_AFTER - SECOND)
    failed = [probe_tasks.fail.enqueue() for _number in range(2)]
    work_until(lambda: {status_of(one) for one in failed} == {"FAILED"})
    assert queue.failures() == Failures(failed=2, lost=0)
    queue.mark_lost_tasks(now=now)
    assert queue.failures() == Failures(failed=2, lost=1)
    assert queue.failures(since=timezone.now() + SECOND) == Failures(failed=0, lost=0)
