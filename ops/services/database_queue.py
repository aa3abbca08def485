"""The queue in the database: django-tasks-db."""

import threading
from datetime import datetime, timedelta
from typing import Any, override

from django.db import transaction
from django.db.models import Count, Min, Q
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, Task, TaskResultStatus
from django.utils import timezone
from django.utils.crypto import get_random_string
from django_tasks_db.management.commands.db_worker import Worker as LibraryWorker
from django_tasks_db.models import DBTaskResult

from ops import life_signs
from ops.services.jobs import are_paused
from ops.services.purge import purge
from ops.services.queue_engine import (
    FAILED_KEPT_FOR,
    LOST_AFTER,
    Failures,
    Waiting,
    WorkerLostError,
    names_of,
    present_name,
)

DONE_KEPT_FOR = timedelta(days=7)
BATCH_SIZE = 1000  # finished tasks that one round of the job deletes
LOST_PATH = f"{WorkerLostError.__module__}.{WorkerLostError.__qualname__}"


class DatabaseWorker(LibraryWorker):
    """The library's worker, in a thread: signals belong to the server, and it sleeps lightly."""

    def __init__(self) -> None:
        super().__init__(
            queue_names=["*"],
            interval=0,
            batch=True,
            backend_name=DEFAULT_TASK_BACKEND_ALIAS,
            startup_delay=False,
            max_tasks=None,
            worker_id=get_random_string(32),
            excluded_queue_names=[],
        )
        self._stop_requested = threading.Event()

    @override
    def run(self, stop: threading.Event, *, poll_every: float) -> None:  # type: ignore[override]
        self._stop_requested = stop
        while not stop.is_set():
            life_signs.note("worker")
            self.running = not are_paused()
            super().run()
            stop.wait(poll_every)

    @override
    def run_task(self, db_task_result: "DBTaskResult[Any, Any]") -> None:
        life_signs.note("worker")
        db_task_result.task_path = present_name(db_task_result.task_path)
        super().run_task(db_task_result)
        self.running = not (self._stop_requested.is_set() or are_paused())


class DatabaseEngine:
    """Tasks are rows, claimed with SKIP LOCKED."""

    def worker(self) -> DatabaseWorker:
        return DatabaseWorker()

    def first_arguments(self, task: Task[Any, Any], *, begun_after: datetime) -> set[Any]:
        calls = DBTaskResult.objects.filter(
            Q(status=TaskResultStatus.READY)
            | Q(status=TaskResultStatus.RUNNING, started_at__gt=begun_after),
            task_path__in=names_of(task),
        )
        known = calls.order_by().values_list("args_kwargs", flat=True)
        return {call["args"][0] for call in known.iterator() if call["args"]}

    def under_way(self, *, now: datetime, in_a_hurry: bool = False) -> list[str]:
        running = DBTaskResult.objects.filter(
            status=TaskResultStatus.RUNNING, started_at__gte=now - LOST_AFTER
        )
        return list(running.order_by("task_path").values_list("task_path", flat=True))

    def mark_lost(self, *, now: datetime) -> int:
        with transaction.atomic():
            running = DBTaskResult.objects.filter(
                status=TaskResultStatus.RUNNING, started_at__lt=now - LOST_AFTER
            )
            lost = list(running.select_for_update(skip_locked=True))
            for task in lost:
                task.set_failed(WorkerLostError())
        return len(lost)

    def forget_old(self, *, now: datetime) -> int:
        # What the library's `prune_db_task_results` deletes, but some at a time: a table that was
        # never pruned holds more than one statement may take.
        old = DBTaskResult.objects.finished().filter(
            Q(status=TaskResultStatus.SUCCESSFUL, finished_at__lte=now - DONE_KEPT_FOR)
            | Q(status=TaskResultStatus.FAILED, finished_at__lte=now - FAILED_KEPT_FOR)
        )
        return purge(old.order_by("finished_at"), batch_size=BATCH_SIZE)

    def waiting(self, *, now: datetime) -> Waiting:
        found = (
            DBTaskResult.objects.ready()
            .order_by()
            .aggregate(length=Count("pk"), oldest=Min("enqueued_at"))
        )
        oldest = found["oldest"]
        age = (now - oldest).total_seconds() if oldest else 0.0
        return Waiting(length=found["length"], oldest_seconds=max(0.0, age))

    def failures(self, *, since: datetime) -> Failures:
        failed = DBTaskResult.objects.filter(
            status=TaskResultStatus.FAILED, finished_at__gte=since, finished_at__lte=timezone.now()
        ).order_by()
        is_lost = Q(exception_class_path__endswith=WorkerLostError.__qualname__)
        counts = failed.aggregate(
            failed=Count("pk", filter=~is_lost), lost=Count("pk", filter=is_lost)
        )
        return Failures(**counts)
