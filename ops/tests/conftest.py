import pytest
from django.db import connection

from ops import life_signs, measures
from ops.registry import Registry
from ops.services import (
    health,
    jobs,
    metric_files,
    metrics,
    processes,
    scheduler,
    schedules,
    storage_probe,
)
from tests.api import client_of


@pytest.fixture
def api():
    """A stranger's client that gets the answer to a failure, as one in the field does."""
    return client_of(raise_request_exception=False)


@pytest.fixture
def own_jobs(monkeypatch):
    """A registry of periodic jobs with none in it."""
    registry: Registry[jobs.Job] = Registry()
    for module in (jobs, scheduler, schedules):
        monkeypatch.setattr(module, "jobs", registry)
    return registry


@pytest.fixture
def declared(monkeypatch):
    """No measures but those that the test declares; nothing of it is left."""
    registry: Registry[measures.Measure] = Registry()
    monkeypatch.setattr(measures, "measures", registry)
    yield registry
    metric_files.let_go()
    metrics.forget_gauges()


@pytest.fixture
def nothing_seen(monkeypatch):
    """A process whose parts were never at work, that asked no storage, and runs for an hour."""
    monkeypatch.setattr(life_signs, "_seen", {})
    monkeypatch.setattr(life_signs, "uptime", lambda: 3600.0)
    storage_probe.forget()
    yield
    storage_probe.forget()


@pytest.fixture
def just_started(nothing_seen, monkeypatch):
    """A process that asked the storage already, and waits for a worker that may start after it."""
    monkeypatch.setattr(life_signs, "uptime", lambda: 1.0)
    monkeypatch.setattr(health, "TIME_LIMIT", 60)  # whatever the machine does beside
    storage_probe.probe()


@pytest.fixture
def all_at_work(nothing_seen):
    """What the beats of a process say when nothing is wrong."""
    life_signs.note("worker")
    life_signs.note("scheduler")
    processes.beat()
    storage_probe.probe()
    if not connection.in_atomic_block:
        connection.close()
