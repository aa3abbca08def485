"""Lines of a task say which request queued it."""

import logging

import pytest
from asgiref.sync import async_to_sync
from django.tasks import task_backends
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

from ops import request_id
from ops.logs.tasks import TracedBackend
from ops.tests import probe_tasks
from ops.tests.test_log_lines import Keeping

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lines():
    handler = Keeping()
    logging.getLogger().addHandler(handler)
    yield handler.lines
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def of_a_request():
    token = request_id.current.set("abcdef-1")
    yield
    request_id.current.reset(token)


def work():
    """Run what waits, as a worker does."""
    begun_with = request_id.current.get()
    Worker(
        queue_names=["*"], interval=0, batch=True, backend_name="default", startup_delay=False,
        max_tasks=None, worker_id="w", excluded_queue_names=[],
    ).run()  # fmt: skip
    assert request_id.current.get() == request_id.NOBODYS
    request_id.current.set(begun_with)


def ids(lines, state):
    return [line["request_id"] for line in lines if f"state={state}" in line["message"]]


@pytest.mark.parametrize(
    ("task", "arguments", "state"),
    [(probe_tasks.note, ("a",), "SUCCESSFUL"), (probe_tasks.fail, (), "FAILED")],
)
def test_it_carries_the_id_of_the_request(lines, of_a_request, task, arguments, state):
    task.enqueue(*arguments)
    work()
    assert ids(lines, state) == ["abcdef-1"]


def test_one_that_nobody_asked_for_is_called_by_its_own_id(lines):
    result = probe_tasks.note.enqueue("a")
    work()
    assert ids(lines, "SUCCESSFUL") == [str(result.id).replace("-", "")]
    assert DBTaskResult.objects.get().args_kwargs == {"args": ["a"], "kwargs": {}}


def test_it_costs_no_statement_and_changes_nothing_else(of_a_request, django_assert_num_queries):
    assert type(task_backends["default"]) is TracedBackend
    with django_assert_num_queries(1):
        probe_tasks.note.enqueue("a")
    async_to_sync(probe_tasks.note.aenqueue)("b")
    rows = DBTaskResult.objects.order_by("enqueued_at").values_list("args_kwargs", flat=True)
    assert list(rows) == [
        {"args": [word], "kwargs": {}, "request_id": "abcdef-1"} for word in ("a", "b")
    ]
