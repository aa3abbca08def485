"""The queue in Redis: django-tasks-rq, for where the database shall not carry it.

Of the library we take how a task becomes a job of RQ and how its result is read. Ours are one
client for each process instead of one for each call, JSON instead of pickle (whoever writes into
Redis must not choose what the worker runs), and a worker that is a thread: RQ's own forks, installs
signal handlers and ends tasks that take long by a signal, which the main thread alone may have.

What lies in Redis may be gone at any time; the queue is not trusted with anything (decision 3).
"""

import threading
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any, cast, override

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import close_old_connections
from django.tasks import DEFAULT_TASK_QUEUE_NAME
from django.tasks import Task as DjangoTask
from django.tasks.signals import task_enqueued
from django_tasks.base import TASK_MAX_PRIORITY, TaskResult, TaskResultStatus
from django_tasks.utils import get_random_id
from django_tasks_rq.backend import Job, RQBackend, failed_callback, success_callback
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Callback, Queue
from rq.exceptions import AbandonedJobError, DequeueTimeout, NoSuchJobError
from rq.job import Job as BaseJob
from rq.job import JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.worker import SimpleWorker
from rq.worker_registration import clean_worker_registry

from ops import life_signs
from ops.services.jobs import are_paused
from ops.services.queue_engine import (
    FAILED_KEPT_FOR,
    LOST_AFTER,
    Failures,
    Waiting,
    names_of,
    present_name,
)

# RQ holds a task to be lost a minute after its time is over.
TASK_SECONDS = int(LOST_AFTER.total_seconds()) - 60
FAILED_KEPT_SECONDS = int(FAILED_KEPT_FOR.total_seconds())
RESULT_KEPT_SECONDS = 3_600
CONNECT_SECONDS, ANSWER_SECONDS = 3, 10
HURRIED_SECONDS = 1  # to connect, and to answer, where a page or the other gauges wait for it
LOOK_SECONDS = 1  # a look into an empty queue waits so long for a task
READ_AT_ONCE = 1000
ABANDONED = f"{AbandonedJobError.__module__}.{AbandonedJobError.__qualname__}"


class NoLimit(BaseDeathPenalty):
    """Ends no task: the signal it needs is the main thread's, and a lease ends a reading."""

    @override
    def setup_death_penalty(self) -> None:
        """Let it run."""

    @override
    def cancel_death_penalty(self) -> None:
        """There is none."""


class MovedJob(Job):
    """A job of RQ whose task may have had another name when it was queued."""

    @override
    def _deserialize_data(self) -> None:
        super()._deserialize_data()  # type: ignore[no-untyped-call]
        self._func_name = present_name(str(self._func_name))


def connect() -> Redis:
    """A client of its own, with its pool."""
    client: Redis = Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        health_check_interval=30,
    )
    return client


@cache
def _client(_address: str) -> Redis:
    return connect()


@cache
def _hurried_client(address: str) -> Redis:
    """One that gives up soon, and asks once."""
    client: Redis = Redis.from_url(
        address,
        socket_connect_timeout=HURRIED_SECONDS,
        socket_timeout=HURRIED_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return client


def _hurried_queue() -> Queue:
    return _queue(_hurried_client(str(settings.REDIS_URL)))


def _queue(client: Redis | None = None) -> Queue:
    return Queue(
        DEFAULT_TASK_QUEUE_NAME,
        connection=client or _client(str(settings.REDIS_URL)),
        job_class=MovedJob,
        serializer=JSONSerializer,
        default_timeout=TASK_SECONDS,
        death_penalty_class=NoLimit,
    )


class RedisBackend(RQBackend):
    """The backend of `django.tasks` that TASK_ENGINE=redis sets."""

    task_class = DjangoTask  # type: ignore[assignment]  # ours are of Django's own decorator

    @override
    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Put a call into the queue; raises what Redis raises when it is away."""
        self.validate_task(task)
        result: TaskResult[Any] = TaskResult(
            task=task,
            id=get_random_id(),
            status=TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=list(args),
            kwargs=kwargs,
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        queue = _queue()
        job = queue.create_job(
            task.module_path,
            args=result.args,
            kwargs=result.kwargs,
            job_id=result.id,
            result_ttl=RESULT_KEPT_SECONDS,
            failure_ttl=FAILED_KEPT_SECONDS,
            status=JobStatus.QUEUED,
            on_failure=Callback(failed_callback),
            on_success=Callback(success_callback),
            meta={"backend_name": self.alias},
        )
        job = queue.enqueue_job(job, at_front=task.priority == TASK_MAX_PRIORITY)
        object.__setattr__(result, "enqueued_at", job.enqueued_at)
        task_enqueued.send(type(self), task_result=result)
        return result

    supports_defer = False  # it would need RQ's scheduler, a process more

    @override
    def _get_job(self, result_id: str) -> Job | None:
        try:
            return cast("Job", _queue().job_class.fetch(result_id, **_how(_queue())))
        except NoSuchJobError:
            return None

    @override
    def check(self, **kwargs: Any) -> Iterable[CheckMessage]:
        """Nothing: django_rq needs not be installed, whose pages and commands are not used."""
        return []


def _how(queue: Queue) -> dict[str, Any]:
    return {"connection": queue.connection, "serializer": queue.serializer}


class RedisWorker(SimpleWorker):
    """RQ's worker that forks nothing, in a thread."""

    death_penalty_class = NoLimit
    job_class = MovedJob

    def __init__(self) -> None:
        client = connect()
        super().__init__(
            [_queue(client)],
            connection=client,
            job_class=MovedJob,
            serializer=JSONSerializer,
            default_result_ttl=RESULT_KEPT_SECONDS,
        )

    def run(self, stop: threading.Event, *, poll_every: float) -> None:
        """Run tasks until `stop`. Redis says at once when there is one: only a pause is polled."""
        try:
            self.register_birth()  # type: ignore[no-untyped-call]
            while not stop.is_set():
                life_signs.note("worker")
                self.heartbeat()
                if are_paused():
                    stop.wait(poll_every)
                elif found := self._next():
                    close_old_connections()
                    self.execute_job(*found)
                    close_old_connections()
            self.register_death()  # type: ignore[no-untyped-call]
        finally:
            self.connection.close()
            self.connection.connection_pool.disconnect()

    def _next(self) -> tuple[BaseJob, Queue] | None:
        """Wait a moment for a task; None when none came."""
        try:
            return Queue.dequeue_any(
                self.queues,
                LOOK_SECONDS,
                connection=self.connection,
                job_class=MovedJob,
                serializer=JSONSerializer,
                death_penalty_class=NoLimit,
            )
        except DequeueTimeout:
            return None

    @override
    def handle_exception(self, job: BaseJob, *exc_info: Any) -> None:
        """Nothing: what a task raised is in the log by now, as with the other engine."""


class RedisEngine:
    """Tasks are jobs of RQ."""

    def worker(self) -> RedisWorker:
        return RedisWorker()

    def first_arguments(self, task: DjangoTask[Any, Any], *, begun_after: datetime) -> set[Any]:
        queue, names = _queue(), names_of(task)
        begun = StartedJobRegistry(queue=queue, job_class=MovedJob).get_job_ids(cleanup=False)
        return {
            job.args[0]
            for ids, since in ((queue.job_ids, None), (begun, begun_after))
            for job in _jobs(queue, ids)
            if job.func_name in names
            and job.args
            and (since is None or (job.started_at is not None and job.started_at > since))
        }

    def under_way(self, *, now: datetime, in_a_hurry: bool = False) -> list[str]:
        queue = _hurried_queue() if in_a_hurry else _queue()
        begun = StartedJobRegistry(queue=queue, job_class=MovedJob).get_job_ids(cleanup=False)
        return sorted(
            str(job.func_name)
            for job in _jobs(queue, begun)
            if job.started_at is None or job.started_at >= now - LOST_AFTER
        )

    def mark_lost(self, *, now: datetime) -> int:
        queue = _queue()
        failed = FailedJobRegistry(queue=queue, job_class=MovedJob)
        failed.cleanup()
        before = failed.count
        StartedJobRegistry(queue=queue, job_class=MovedJob, death_penalty_class=NoLimit).cleanup(
            timestamp=now.timestamp()
        )
        # Taken out of the queue, and killed before it was begun: after a minute.
        closing = SimpleWorker(
            [queue], connection=queue.connection, serializer=JSONSerializer, prepare_for_work=False
        )
        queue.intermediate_queue.cleanup(closing, queue)
        FinishedJobRegistry(queue=queue, job_class=MovedJob).cleanup()
        clean_worker_registry(queue)
        return max(0, failed.count - before)

    def forget_old(self, *, now: datetime) -> int:
        return 0  # Redis forgets each by itself: after an hour, a failed one after 30 days

    def waiting(self, *, now: datetime) -> Waiting:
        queue = _hurried_queue()
        first = next(iter(_jobs(queue, queue.get_job_ids(0, 10))), None)
        queued_at = first.enqueued_at if first else None
        age = (now - queued_at).total_seconds() if queued_at else 0.0
        return Waiting(length=queue.count, oldest_seconds=max(0.0, age))

    def failures(self, *, since: datetime) -> Failures:
        queue = _hurried_queue()
        # In the registry a task stands with the moment at which it is forgotten.
        least = since.timestamp() + FAILED_KEPT_SECONDS
        key = FailedJobRegistry(queue=queue, job_class=MovedJob).key
        ids = cast("list[bytes]", queue.connection.zrangebyscore(key, least, "+inf"))
        lost = sum(map(_is_lost, _jobs(queue, [each.decode() for each in ids])))
        return Failures(failed=len(ids) - lost, lost=lost)


def _jobs(queue: Queue, ids: list[str]) -> Iterable[Job]:
    """The jobs of these ids that are still there, some at a time."""
    for start in range(0, len(ids), READ_AT_ONCE):
        found = MovedJob.fetch_many(ids[start : start + READ_AT_ONCE], **_how(queue))
        yield from (cast("Job", job) for job in found if job is not None)


def _is_lost(job: Job) -> bool:
    """Whether a failed task raised nothing itself."""
    raised = job.get_meta(refresh=False).get("_django_tasks_rq_exceptions", [])
    return not raised or raised[-1] == ABANDONED
