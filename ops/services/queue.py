"""The queue of tasks, whichever engine TASK_ENGINE sets: what waits, what was lost, what failed."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.tasks import Task
from django.utils import timezone

from ops.services.queue_engine import Engine, Failures, Waiting

LATELY = timedelta(hours=1)


def engine() -> Engine:
    """The engine that is set. Of the other one nothing is loaded."""
    if settings.TASK_ENGINE == "redis":
        from ops.services.redis_queue import RedisEngine

        return RedisEngine()
    from ops.services.database_queue import DatabaseEngine

    return DatabaseEngine()


def first_arguments(task: Task[Any, Any], *, begun_after: datetime) -> set[Any]:
    """The first argument of each call of a task that waits in the queue, however long already.

    So it is for calls that were begun lately: whoever did may just be coming to the row.
    """
    return engine().first_arguments(task, begun_after=begun_after)


def mark_lost_tasks(*, now: datetime) -> int:
    """Close tasks whose worker was killed, as failed; returns how many: a periodic job."""
    return engine().mark_lost(now=now)


def forget_old(*, now: datetime) -> int:
    """Delete finished tasks that are no longer kept, some at a time; returns how many."""
    return engine().forget_old(now=now)


def under_way(*, now: datetime | None = None, in_a_hurry: bool = False) -> list[str]:
    """The names of the tasks that workers are at; raises what the engine raises when it is away.

    A Redis that hangs is waited for, for a second or two where somebody is in a hurry.
    """
    return engine().under_way(now=now or timezone.now(), in_a_hurry=in_a_hurry)


def waiting(*, now: datetime | None = None) -> Waiting:
    """How many tasks wait and for how long; raises what the engine raises when it is away."""
    return engine().waiting(now=now or timezone.now())


def failures(*, since: datetime | None = None) -> Failures:
    """How many tasks failed, and how many were lost, in the last hour or since then."""
    return engine().failures(since=since or timezone.now() - LATELY)
