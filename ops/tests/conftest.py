import pytest
from django.db import connection

from ops import life_signs, measures
from ops.models import FilePurpose
from ops.registry import Registry
from ops.services import (
    files,
    health,
    jobs,
    maintenance,
    metric_files,
    metrics,
    processes,
    scheduler,
    schedules,
    storage_probe,
)
from ops.tests import own_platforms
from ops.tests.dump_backups import programs
from tests.api import client_of
from tests.people import make_person


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


# --- A platform of its own, which can be swapped --------------------------------------------------
@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory, django_db_setup, django_db_blocker):
    """The file of an empty platform."""
    folder = tmp_path_factory.mktemp("sqlite")
    if connection.vendor != "sqlite":
        return own_platforms.make_sqlite(folder)
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(folder / "empty.sqlite3")])
    return folder / "empty.sqlite3"


@pytest.fixture
def vendor():
    """Most is the same on either database, and quicker on SQLite."""
    return "sqlite"


@pytest.fixture
def platform(vendor, request, tmp_path, settings, monkeypatch):
    """A platform of its own, with a person and a picture."""
    settings.BACKUP_DIR = tmp_path / "backups"
    settings.PG_TOOLS_DIR = str(programs())
    monkeypatch.setattr(maintenance, "SEEN_BY_ALL_AFTER", 0)
    if vendor == "sqlite":
        template = request.getfixturevalue("empty_sqlite")
        live = own_platforms.on_sqlite(template, tmp_path)
    else:
        live = own_platforms.on_postgresql()
    with live as name:
        make_person(phone="13800138000")
        files.store(content=b"a picture", purpose=FilePurpose.RECEIPT, media_type="image/png")
        yield name
    maintenance.forget()
