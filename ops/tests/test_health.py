"""/health, /api/health and /api/ready."""

import threading
import time

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from ops import health_checks
from ops.registry import Registry
from ops.services import health
from ops.tests.databases import other_parameters

STRANGER = {"REMOTE_ADDR": "203.0.113.9"}
# Each check asks the database from a thread of its own: a transaction of the test hides nothing,
# but a table locked by it would; SQLite in memory has one connection alone.
pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def only(monkeypatch):
    """Let these checks be all there are."""

    def use(**checks):
        only = Registry[health.Check]()
        for name, check in checks.items():
            only.register(name, check)
        monkeypatch.setattr(health, "checks", only)

    return use


def fail():
    raise ConnectionError("refused, password=hunter2")


@pytest.mark.parametrize(
    ("path", "word"), [("/health", "healthy"), ("/api/health", "healthy"), ("/api/ready", "ready")]
)
def test_all_is_well(client, path, word):
    response = client.get(path)
    answer = response.json()
    assert response.status_code == 200, answer
    assert answer["status"] == word
    assert set(answer["checks"]) >= {"database", "cache", "channel_layer"}
    assert all(check["status"] == "ok" for check in answer["checks"].values())
    assert response["Cache-Control"] == "no-store"
    assert "Retry-After" not in response


def test_the_schema_matters_for_readiness_alone(client):
    assert "migrations" not in client.get("/health").json()["checks"]
    assert "migrations" in client.get("/api/ready").json()["checks"]


def test_a_migration_that_is_not_applied_makes_it_not_ready(client):
    recorder = MigrationRecorder(connection)
    ((app, newest),) = MigrationLoader(None).graph.leaf_nodes("accounts")
    recorder.record_unapplied(app, newest)
    try:
        response = client.get("/api/ready")
        assert response.status_code == 503
        assert response.json()["status"] == "not ready"
        assert "run migrate" in response.json()["checks"]["migrations"]["detail"]
        assert response["Retry-After"] == "5"
        assert client.get("/health").status_code == 200
    finally:
        recorder.record_applied(app, newest)


def test_one_failure_is_unhealthy_and_named(client, only):
    only(database=health_checks.database_answers, storage=fail)
    response = client.get("/health")
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    answer = response.json()
    assert answer["status"] == "unhealthy"
    assert answer["checks"]["database"]["status"] == "ok"
    assert answer["checks"]["storage"]["status"] == "failed"
    assert "refused" in answer["checks"]["storage"]["detail"]


def test_a_check_that_hangs_does_not_hang_the_answer(client, only):
    released = threading.Event()
    only(database=lambda: released.wait(30) and None, other=lambda: released.wait(30) and None)
    try:
        started = time.monotonic()
        response = client.get("/health")
        assert time.monotonic() - started < 2
    finally:
        released.set()
    assert response.status_code == 503
    hanging = {"status": "failed", "detail": "no answer in time", "milliseconds": None}
    assert response.json()["checks"] == {"database": hanging, "other": hanging}


def test_a_stranger_is_told_the_status_alone(client, only):
    assert client.get("/health", **STRANGER).json() == {"status": "healthy"}
    only(database=health_checks.database_answers, storage=fail)
    response = client.get("/health", **STRANGER)
    assert response.status_code == 503
    assert response.json() == {"status": "unhealthy"}


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"])
@pytest.mark.parametrize("value", ["203.0.113.9", "127.0.0.1", "unknown", "1.1 proxy", ""])
@pytest.mark.parametrize("trusted", [0, 1])
def test_a_stranger_behind_a_proxy_is_a_stranger(client, settings, name, value, trusted):
    settings.TRUSTED_PROXIES = trusted
    assert client.get("/health", headers={name: value}).json() == {"status": "healthy"}


def test_without_an_address_one_is_a_stranger(client):
    assert client.get("/health", REMOTE_ADDR="").json() == {"status": "healthy"}


@pytest.mark.parametrize(
    ("role", "is_told"),
    [("customer", False), ("owner", False), ("staff", True), ("auditor", False)],
)
def test_staff_are_told_everything_wherever_they_are(client, only, cast, role, is_told):
    only(database=health_checks.database_answers, storage=fail)
    client.force_login(getattr(cast, role))
    assert ("checks" in client.get("/health", **STRANGER).json()) is is_told
    # Who it is cannot be asked of a database that is away: the answer comes all the same.
    only(database=fail)
    assert client.get("/health", **STRANGER).json() == {"status": "unhealthy"}


def test_a_cache_that_forgets_is_found(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    with pytest.raises(RuntimeError, match="forgot"):
        health_checks.cache_keeps()


def test_a_database_that_is_away_is_found(client):
    with other_parameters(port=1, timeout=20):
        started = time.monotonic()
        response = client.get("/health")
        assert time.monotonic() - started < 2
        assert response.json()["checks"]["database"]["status"] == "failed"
    assert client.get("/health").status_code == 200
