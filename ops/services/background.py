"""Work beside the requests: the queue's worker, and small jobs that come round again.

`manage.py serve` runs `Background` in threads of the server; `manage.py worker` runs it alone.
"""

import logging
import threading
import time
from datetime import datetime, timedelta
from typing import Any, override

from django.conf import settings
from django.db import close_old_connections, transaction
from django.db.models import Q
from django.tasks import DEFAULT_TASK_BACKEND_ALIAS, Task, TaskResultStatus
from django.utils import timezone
from django.utils.crypto import get_random_string
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

from ops.services.jobs import run_jobs

logger = logging.getLogger(__name__)

POLL_EVERY = 0.5  # seconds between looks into an empty queue
ROUND_EVERY = 5  # seconds between two rounds of the periodic jobs
LOST_AFTER = timedelta(minutes=15)  # no task of ours runs that long


def first_arguments(task: Task[Any, Any], *, begun_after: datetime) -> set[Any]:
    """The first argument of each call of a task that waits in the queue, however long already.

    So it is for calls that were begun lately: whoever did may just be coming to the row.
    """
    names = {old for old, new in settings.MOVED_NAMES.items() if new == task.module_path}
    calls = DBTaskResult.objects.filter(
        Q(status=TaskResultStatus.READY)
        | Q(status=TaskResultStatus.RUNNING, started_at__gt=begun_after),
        task_path__in={task.module_path, *names},
    )
    known = calls.order_by().values_list("args_kwargs", flat=True)
    return {call["args"][0] for call in known.iterator() if call["args"]}


class WorkerLostError(Exception):
    """The worker of a task was killed. Whoever needs the task's effect has queued it again."""


def mark_lost_tasks(*, now: datetime) -> None:
    """Mark tasks as failed whose worker was killed: the queue itself never does."""
    with transaction.atomic():
        running = DBTaskResult.objects.filter(
            status=TaskResultStatus.RUNNING, started_at__lt=now - LOST_AFTER
        )
        for task in running.select_for_update(skip_locked=True):
            task.set_failed(WorkerLostError())


class _StoppableWorker(Worker):
    """The library's worker, in a thread: signals belong to the server, and it sleeps lightly."""

    def __init__(self, stop: threading.Event) -> None:
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
        self._stop_requested = stop

    @override
    def run_task(self, db_task_result: "DBTaskResult[Any, Any]") -> None:
        path = db_task_result.task_path  # a version before this one may have queued it
        db_task_result.task_path = settings.MOVED_NAMES.get(path, path)
        super().run_task(db_task_result)
        self.running = not self._stop_requested.is_set()


class Background:
    """The worker and the periodic jobs of one process, in two threads."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name="worker", daemon=True),
            threading.Thread(target=self._go_round, name="periodic jobs", daemon=True),
        ]

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, *, seconds: float) -> None:
        """Finish the task at hand, at most so long; what is not finished is taken up again."""
        self._stop.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                _StoppableWorker(self._stop).run()
            except Exception:
                logger.exception("The worker failed; it starts again")
            close_old_connections()
            self._stop.wait(POLL_EVERY)

    def _go_round(self) -> None:
        while not self._stop.wait(ROUND_EVERY):
            close_old_connections()
            run_jobs(timezone.now())
            close_old_connections()
