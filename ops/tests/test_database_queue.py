"""The queue in the database: what is its own."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from ops.services import database_queue, queue
from ops.tests import probe_tasks

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def finished(status, *, days_ago):
    result = probe_tasks.note.enqueue("a")
    DBTaskResult.objects.filter(pk=result.id).update(
        status=status, finished_at=NOW - timedelta(days=days_ago)
    )
    return result.id


def left():
    return {str(pk) for pk in DBTaskResult.objects.values_list("pk", flat=True)}


def test_finished_tasks_are_kept_for_a_week_and_failed_ones_for_thirty_days():
    for status, days in (("SUCCESSFUL", 7), ("FAILED", 30)):
        finished(status, days_ago=days)
    kept = {
        finished("SUCCESSFUL", days_ago=6.9),
        finished("FAILED", days_ago=29.9),
        probe_tasks.note.enqueue("waits").id,
    }
    assert queue.forget_old(now=NOW) == 2
    assert left() == kept
    assert queue.forget_old(now=NOW) == 0


def test_so_many_are_deleted_at_once(monkeypatch):
    monkeypatch.setattr(database_queue, "BATCH_SIZE", 2)
    for days in (10, 9, 8):
        finished("SUCCESSFUL", days_ago=days)
    assert [queue.forget_old(now=NOW) for _round in range(3)] == [2, 1, 0]
