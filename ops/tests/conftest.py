import pytest

from ops.registry import Registry
from ops.services import jobs, scheduler, schedules
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
