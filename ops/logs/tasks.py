"""Lines of a task say which request queued it.

The id travels in the task's own row, as a third word beside `args` and `kwargs` of its JSON: no
column, no statement more. A task that no request queued, or that another queue brings, is called
by its own id.
"""

from typing import TYPE_CHECKING, Any, override

from django.tasks.signals import task_finished, task_started
from django.utils.json import normalize_json
from django_tasks_db import DatabaseBackend

from ops import request_id

if TYPE_CHECKING:
    from django_tasks_db.models import DBTaskResult

WORD = "request_id"


class TracedBackend(DatabaseBackend):
    """The queue in the database, that remembers which request a task is of."""

    @override
    def _task_to_db_task(self, task: Any, args: Any, kwargs: Any) -> "DBTaskResult[Any, Any]":
        from django_tasks_db.models import DBTaskResult  # a task is declared before models are

        return DBTaskResult.objects.create(**self._columns(task, args, kwargs))

    @override
    async def _atask_to_db_task(
        self, task: Any, args: Any, kwargs: Any
    ) -> "DBTaskResult[Any, Any]":
        from django_tasks_db.models import DBTaskResult

        return await DBTaskResult.objects.acreate(**self._columns(task, args, kwargs))

    def _columns(self, task: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        call = {"args": args, "kwargs": kwargs}
        if (of_a_request := request_id.current.get()) != request_id.NOBODYS:
            call[WORD] = of_a_request
        return {
            "id": self._get_id(),
            "args_kwargs": normalize_json(call),
            "priority": task.priority,
            "task_path": task.module_path,
            "queue_name": task.queue_name,
            "run_after": task.run_after,
            "backend_name": self.alias,
        }


def follow() -> None:
    """From now on say in every line of a task whose it is."""
    task_started.connect(_begin, dispatch_uid=__name__)
    task_finished.connect(_end, dispatch_uid=__name__)


def _begin(task_result: Any, **_signal: Any) -> None:
    row = getattr(task_result, "db_result", None)
    known = row.args_kwargs.get(WORD, "") if row is not None else ""
    request_id.current.set(known or str(task_result.id).replace("-", ""))


def _end(**_signal: Any) -> None:
    request_id.current.set(request_id.NOBODYS)
