"""What every engine of the queue can do; `ops.services.queue` asks the one that is set."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.conf import settings
from django.tasks import Task

LOST_AFTER = timedelta(minutes=15)  # no task of ours runs that long
FAILED_KEPT_FOR = timedelta(days=30)  # on every engine, for whoever looks into it


class WorkerLostError(Exception):
    """The worker of a task was killed. Whoever needs the task's effect has queued it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many tasks wait that could run, and for how long the first of them has."""

    length: int
    oldest_seconds: float  # 0 where none waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """How many tasks ended badly: `failed` raised something, `lost` lost their worker."""

    failed: int
    lost: int


class Worker(Protocol):
    """Runs tasks of the queue in the thread that calls it."""

    def run(self, stop: threading.Event, *, poll_every: float) -> None:
        """Run what waits until `stop`, which lets the task at hand end; look so often (seconds).

        It begins none while there is a reason to pause (`ops.services.jobs.pauses`). Raises what
        the database or Redis raises when it is away.
        """


class Engine(Protocol):
    """Where tasks wait."""

    def worker(self) -> Worker:
        """A worker for one thread."""

    def first_arguments(self, task: Task[Any, Any], *, begun_after: datetime) -> set[Any]:
        """See `ops.services.queue.first_arguments`."""

    def under_way(self, *, now: datetime, in_a_hurry: bool = False) -> list[str]:
        """The names of the tasks that are being run, but for those that count as lost by now.

        In a hurry it gives up after a second or two.
        """

    def mark_lost(self, *, now: datetime) -> int:
        """Mark tasks as failed whose worker was killed; returns how many."""

    def forget_old(self, *, now: datetime) -> int:
        """Delete finished tasks that are no longer kept, some at a time; returns how many."""

    def waiting(self, *, now: datetime) -> Waiting:
        """What waits at this moment; it gives up after a second or two."""

    def failures(self, *, since: datetime) -> Failures:
        """What ended badly since then; it gives up after a second or two."""


def present_name(path: str) -> str:
    """The name of a task in this version; one before it may have queued it by another."""
    return settings.MOVED_NAMES.get(path, path)


def names_of(task: Task[Any, Any]) -> set[str]:
    """All names by which calls of a task may stand in the queue."""
    moved = {old for old, new in settings.MOVED_NAMES.items() if new == task.module_path}
    return {task.module_path, *moved}
