"""The queue in Redis: what is its own."""

import json
import zlib
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.tasks import task_backends
from django.utils import timezone
from django_tasks.exceptions import TaskResultDoesNotExist
from redis.exceptions import RedisError
from rq import Queue

from ops.services import queue, redis_queue
from ops.services.queue_engine import Failures, Waiting
from ops.tests import probe_tasks
from tests.engines import result_of, status_of, work_until

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_engine"),
]


def test_nothing_in_redis_is_unpickled():
    """Whoever may write there must not choose what a worker runs."""
    result = probe_tasks.note.enqueue("a")
    client = redis_queue.connect()
    stored: Any = client.hgetall(f"points:rq:job:{result.id}")
    assert json.loads(stored[b"meta"]) == {"backend_name": "default"}
    assert json.loads(zlib.decompress(stored[b"data"])) == [
        probe_tasks.note.module_path,
        None,
        ["a"],
        {},
    ]


def test_a_task_that_was_taken_and_never_begun_is_closed():
    result = probe_tasks.note.enqueue("a")
    waits = redis_queue._queue()
    taken = Queue.dequeue_any(
        [waits],
        None,
        connection=waits.connection,
        serializer=waits.serializer,
        job_class=redis_queue.MovedJob,
    )
    assert taken is not None
    queue.mark_lost_tasks(now=timezone.now())  # seen for the first time
    seen = waits.intermediate_queue.get_first_seen_key(result.id)
    waits.connection.set(seen, (timezone.now() - timedelta(minutes=2)).timestamp())
    assert queue.mark_lost_tasks(now=timezone.now()) == 1
    assert status_of(result) == "FAILED"
    assert queue.failures() == Failures(failed=0, lost=1)


def test_a_queue_that_is_gone_is_an_empty_one():
    probe_tasks.note.enqueue("a")
    cache.clear()  # it lies in the same Redis
    assert queue.waiting() == Waiting(length=0, oldest_seconds=0)
    assert queue.first_arguments(probe_tasks.note, begun_after=timezone.now()) == set()
    assert queue.mark_lost_tasks(now=timezone.now()) == 0


def test_a_redis_that_is_away_says_so(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    for ask in (queue.waiting, queue.failures, lambda: probe_tasks.note.enqueue("a")):
        with pytest.raises(RedisError):
            ask()


def test_what_a_task_returned_is_known_for_a_while():
    result = probe_tasks.note.enqueue("a")
    work_until(lambda: status_of(result) == "SUCCESSFUL")
    assert result_of(result).return_value == "A"
    assert list(task_backends["default"].check()) == []


def test_redis_forgets_what_is_finished_by_itself():
    done, failed = probe_tasks.note.enqueue("a"), probe_tasks.fail.enqueue()
    work_until(lambda: {status_of(done), status_of(failed)} == {"SUCCESSFUL", "FAILED"})
    client = redis_queue.connect()
    for result, kept in (
        (done, redis_queue.RESULT_KEPT_SECONDS),
        (failed, redis_queue.FAILED_KEPT_SECONDS),
    ):
        keys: Any = list(client.scan_iter(f"*{result.id}*"))
        assert keys
        assert all(0 < int(client.ttl(key)) <= kept for key in keys), keys
    assert queue.forget_old(now=timezone.now() + timedelta(days=400)) == 0


def test_every_name_begins_with_that_of_the_deployment():
    cache.clear()
    result = probe_tasks.note.enqueue("a")
    work_until(lambda: status_of(result) == "SUCCESSFUL")
    names: Any = list(redis_queue.connect().scan_iter())
    assert names
    assert all(name.startswith(b"points:") for name in names), names


def test_what_is_not_known_any_more_is_said():
    with pytest.raises(TaskResultDoesNotExist):
        task_backends["default"].get_result("gone")
