"""The engines on which tasks may wait: what holds of background work holds on each of them."""

import threading
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.tasks import task_backends
from django_tasks_db.models import DBTaskResult
from rq.job import JobStatus
from rq.registry import StartedJobRegistry

from ops.services import queue, redis_queue
from ops.services.queue_engine import LOST_AFTER
from ops.tests.databases import wait_until

BOTH = ["database", pytest.param("redis", marks=pytest.mark.postgresql)]


@pytest.fixture(params=BOTH)
def task_engine(request, settings):
    """Let tasks wait on one engine; the one of Redis is tried where the tests have a Redis."""
    return _use(request.param, settings)


@pytest.fixture
def redis_engine(settings):
    """Let tasks wait in Redis; for tests marked `postgresql`, which have one."""
    return _use("redis", settings)


def _use(engine, settings):
    settings.TASK_ENGINE = engine
    backend = django_settings.TASK_BACKENDS[engine]
    settings.TASKS = {"default": {**django_settings.TASKS["default"], "BACKEND": backend}}
    return engine


def result_of(result):
    """What the engine knows of a task by now."""
    return task_backends["default"].get_result(result.id)


def status_of(result):
    return str(result_of(result).status)


def queued():
    """The arguments of every call that waits, the first one first."""
    if django_settings.TASK_ENGINE == "redis":
        waits = redis_queue._queue()
        return [list(job.args) for job in redis_queue._jobs(waits, waits.job_ids)]
    waiting = DBTaskResult.objects.filter(status="READY").order_by("enqueued_at")
    return [task.args_kwargs["args"] for task in waiting]


def work_until(condition):
    """Let a worker run until it is so."""
    stop = threading.Event()
    worker = threading.Thread(
        target=lambda: queue.engine().worker().run(stop, poll_every=0.02), name="worker"
    )
    worker.start()
    try:
        wait_until(condition)
    finally:
        stop.set()
        worker.join(60)


def begin(result, *, at):
    """As if a worker had taken this task at that moment, and was killed."""
    if django_settings.TASK_ENGINE != "redis":
        DBTaskResult.objects.filter(pk=result.id).update(
            status="RUNNING", started_at=at, worker_ids=["gone"]
        )
        return
    waits = redis_queue._queue()
    waits.remove(result.id)
    job: Any = redis_queue.MovedJob.fetch(result.id, **redis_queue._how(waits))
    job.set_status(JobStatus.STARTED)
    job.started_at = at
    job.save()
    ends = at.timestamp() + LOST_AFTER.total_seconds()
    waits.connection.zadd(StartedJobRegistry(queue=waits).key, {f"{result.id}:execution": ends})


def rename(result, path):
    """As if a version before this one had queued the task, by another name."""
    if django_settings.TASK_ENGINE != "redis":
        DBTaskResult.objects.filter(pk=result.id).update(task_path=path)
        return
    job: Any = redis_queue.MovedJob.fetch(result.id, **redis_queue._how(redis_queue._queue()))
    job.data = job.serializer.dumps([path, None, list(job.args), job.kwargs])
    job.save()
