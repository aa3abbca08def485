"""/health, /api/health and /api/ready."""

import os
import re
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from ops import health_checks, life_signs
from ops.metrics import STORAGE_UP
from ops.models import ProcessBeat
from ops.registry import Registry
from ops.services import health, machine, processes, storage_probe
from ops.tests.databases import other_parameters, wait_until
from ops.tests.test_machine import other

STRANGER = {"REMOTE_ADDR": "203.0.113.9"}
# Each check asks the database from a thread of its own: a transaction of the test hides nothing,
# but a table locked by it would; SQLite in memory has one connection alone.
pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("all_at_work", "clock"),
]
HAS_TO_ANSWER_WITHIN = 2
TO_ASK = 0.5  # of it, seconds to begin the checks and to write the answer
PLENTY = 60


class Clock:
    """What health reads: it moves by what is waited for checks that hang, and none is waited for.

    Those that do not hang have plenty of time, on whatever machine.
    """

    def __init__(self):
        self.now = 1000.0
        self.hanging: set[str] = set()

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock, join = Clock(), threading.Thread.join

    def wait(thread, timeout=None):
        name = thread.name.removesuffix(" check")
        if name in clock.hanging:
            clock.now += timeout
        else:
            join(thread, timeout if thread.name == name else PLENTY)

    monkeypatch.setattr(health, "monotonic", clock)
    monkeypatch.setattr(threading.Thread, "join", wait)
    return clock


@pytest.fixture
def in_time(clock):
    """Let checks hang in this block, which waits for them no longer than an answer may take."""

    @contextmanager
    def block(*hanging):
        clock.hanging = set(hanging)
        began = clock()
        yield
        assert clock() - began <= HAS_TO_ANSWER_WITHIN - TO_ASK
        clock.hanging = set()

    return block


@pytest.fixture
def only(monkeypatch):
    """Let these checks be all there are."""

    def use(**checks):
        only = Registry[health.Check]()
        for name, check in checks.items():
            only.register(name, check)
        monkeypatch.setattr(health, "checks", only)
        monkeypatch.setattr(health, "operation_checks", Registry[health.Check]())

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


def test_checks_that_hang_do_not_hang_the_answer(client, only, clock, in_time):
    """However many there are: each is waited for from when all of them began."""
    released = threading.Event()
    only(**{name: lambda: released.wait(PLENTY) and None for name in ("database", "other")})
    began = clock()
    try:
        with in_time("database", "other"):
            response = client.get("/health")
        assert clock() - began >= 1, "one that is slow has a second"
    finally:
        released.set()
    assert response.status_code == 503
    hanging = {"status": "failed", "detail": "no answer in time", "milliseconds": None}
    assert response.json()["checks"] == {"database": hanging, "other": hanging}


def test_a_check_that_hangs_is_asked_by_one_thread(client, only, clock, in_time):
    released, asked = threading.Event(), []

    def hang():
        asked.append(1)
        released.wait(PLENTY)

    only(database=hang, other=health_checks.database_answers)
    try:
        with in_time("database"):
            client.get("/health")
        clock.now += 10
        for _request in range(5):
            began = clock()
            with in_time("database"):
                response = client.get("/health")
            assert clock() == began, "it had its time already"
        assert response.status_code == 503
        answer = response.json()["checks"]
        assert answer["database"]["detail"] == "still waiting for an answer, for 12 s"
        assert answer["other"]["status"] == "ok"
        assert asked == [1]
    finally:
        released.set()
    wait_until(lambda: client.get("/health").status_code == 200, PLENTY)
    client.get("/health")  # the one before may have heard the old answer
    assert len(asked) > 1, "it is asked anew once it has answered"


def test_who_asks_at_the_same_time_is_told_the_same(only):
    released, at_work = threading.Event(), threading.Event()
    asked = []

    def slow():
        asked.append(1)
        at_work.set()
        released.wait(PLENTY)

    only(slow=slow)
    reports = []
    asking = [threading.Thread(target=lambda: reports.append(health.report())) for _ in range(3)]
    for thread in asking:
        thread.start()
    assert at_work.wait(PLENTY)
    released.set()
    for thread in asking:
        thread.join(PLENTY)
    assert [report.is_healthy for report in reports] == [True] * 3


def test_a_forked_child_asks_for_itself(only, in_time):
    released = threading.Event()
    only(hangs=lambda: released.wait(PLENTY))
    with in_time("hangs"):
        health.report()
    child = os.fork()
    if child == 0:
        os._exit(len(health._under_way.asking))
    _pid, status = os.waitpid(child, 0)
    released.set()
    assert os.waitstatus_to_exitcode(status) == 0


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


def test_a_database_that_is_away_is_found(client, in_time):
    """Whoever asks it waits, and other checks that ask it as well."""
    with other_parameters(port=1, timeout=PLENTY):
        with in_time("database", "worker", "scheduler"):
            response = client.get("/health")
        assert response.json()["checks"]["database"]["status"] == "failed"
    # Whoever still waits for the one that was away says so until it gives up.
    wait_until(lambda: client.get("/health").status_code == 200, PLENTY)


# --- What the platform as a whole needs -----------------------------------------------------------
def failed(client, path="/health"):
    """The checks that fail, by name, with why; the status of the answer agrees."""
    response = client.get(path)
    checks = response.json()["checks"]
    found = {name: one["detail"] for name, one in checks.items() if one["status"] != "ok"}
    assert response.status_code == (503 if found else 200)
    return found


def test_it_names_storage_disk_worker_and_scheduler(client):
    names = set(client.get("/health").json()["checks"])
    assert names == {
        "database", "cache", "channel_layer", "storage", "disk", "worker", "scheduler"
    }  # fmt: skip


def test_a_storage_that_takes_nothing_is_found_by_the_beat_and_told_by_the_answer(
    client, monkeypatch
):
    def refuse(*_arguments, **_options):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "_save", refuse)
        assert failed(client) == {}, "the answer itself asks no storage"
        with pytest.raises(OSError, match="No space"):
            storage_probe.probe()
        assert failed(client) == {"storage": "StorageUnproven: OSError: No space left on device"}
    storage_probe.probe()
    assert failed(client) == {}


def test_a_storage_that_gives_something_else_back_is_found(monkeypatch):
    real = FileSystemStorage._save  # type: ignore[attr-defined]
    monkeypatch.setattr(
        FileSystemStorage,
        "_save",
        lambda storage, name, _content: real(storage, name, ContentFile(b"rotten")),
    )
    with pytest.raises(storage_probe.StorageUnproven, match="something else"):
        storage_probe.probe()


def test_a_storage_that_hangs_is_told_when_its_last_answer_is_too_old(client, monkeypatch):
    """The probe hangs in its beat; the answer looks at the last one alone, and waits for none."""
    released = threading.Event()

    real = FileSystemStorage._save  # type: ignore[attr-defined]

    def hang(*arguments):
        released.wait(PLENTY)
        return real(*arguments)

    monkeypatch.setattr(FileSystemStorage, "_save", hang)
    hanging = threading.Thread(target=storage_probe.probe)
    hanging.start()
    try:
        assert failed(client) == {}, "not yet"
        monkeypatch.setattr(storage_probe, "TOO_OLD", 0)
        (found,) = failed(client).items()
        assert found[0] == "storage"
        assert "has not answered for" in found[1]
        assert hanging.is_alive()
    finally:
        released.set()
        hanging.join()


def test_a_storage_that_was_never_asked_is_not_proven(client):
    storage_probe.forget()
    assert failed(client)["storage"] == "StorageUnproven: the storage was not asked yet"


def test_one_process_of_a_machine_asks_the_storage_and_tells_the_others(client, monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("it is asked by the other one")

    machine.let_go()
    with other() as one:
        assert one.says()[0]
        STORAGE_UP.set(1)
        with monkeypatch.context() as patch:
            patch.setattr(FileSystemStorage, "_save", refuse)
            storage_probe.probe()
        assert STORAGE_UP.values() == {}, "it is the other one's to say"
        assert failed(client) == {}, "what was found lies there for all"
        found = django_settings.METRICS_DIR / storage_probe.FILE
        found.write_bytes(orjson.dumps({"at": time.time() + 1, "problem": "OSError: away"}))
        assert failed(client) == {"storage": "StorageUnproven: OSError: away"}
        found.write_bytes(orjson.dumps({"at": time.time() - 46, "problem": ""}))
        storage_probe._own.clear()
        assert re.search(r"has not answered for (4[6-9]|[5-9]\d) s", failed(client)["storage"])
    storage_probe.probe()
    assert failed(client) == {}
    assert STORAGE_UP.values() == {(): 1}


def test_what_cannot_be_written_down_is_known_where_it_was_asked(client, monkeypatch, caplog):
    def full(*_arguments):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        storage_probe.probe()
    assert "could not be written down" in caplog.text
    (django_settings.METRICS_DIR / storage_probe.FILE).write_bytes(b"{")
    assert failed(client) == {}


def test_a_probe_leaves_nothing_behind(own_folder):
    storage_probe.probe()
    assert [path for path in (own_folder / "media").rglob("*") if path.is_file()] == []


def test_a_full_disk_is_found(client, settings):
    settings.LEAST_FREE_DISK_MB = 2**40
    (found,) = failed(client).items()
    assert found[0] == "disk"
    assert "MB are wanted" in found[1]


@pytest.mark.parametrize("name", ["disk", "worker", "scheduler"])
def test_whatever_hangs_the_answer_comes_in_time(client, monkeypatch, in_time, name):
    released = threading.Event()

    def hang():
        released.wait(PLENTY)

    checks = Registry[health.Check]()
    checks.register(name, hang)
    monkeypatch.setattr(health, "operation_checks", checks)
    try:
        with in_time(name):
            assert failed(client) == {name: "no answer in time"}
    finally:
        released.set()


@pytest.mark.parametrize("part", ["worker", "scheduler"])
def test_a_part_that_fell_silent_is_found_unless_another_machine_has_one(client, part):
    long_ago = timezone.now() - processes.SILENT_AFTER - timedelta(seconds=1)
    ProcessBeat.objects.update(**{f"{part}_seen_at": long_ago})
    (found,) = failed(client).items()
    assert found[0] == part
    assert f"the {part} was last at work at" in found[1]
    ProcessBeat.objects.create(
        name="another",
        pid=1,
        memory=1,
        cpu_seconds=1,
        started_at=long_ago,
        beat_at=timezone.now(),
        **{f"{part}_seen_at": timezone.now()},
    )
    assert failed(client) == {}


@pytest.mark.parametrize("part", ["worker", "scheduler"])
def test_without_any_it_is_unhealthy_after_a_while(client, monkeypatch, settings, part):
    ProcessBeat.objects.update(**{f"{part}_seen_at": None})
    assert list(failed(client)) == [part]
    settings.DEBUG = True
    assert failed(client) == {}, "in development there need be none"
    settings.DEBUG = False
    monkeypatch.setattr(life_signs, "uptime", lambda: 60.0)
    assert failed(client) == {}, "it may start after us"


def test_none_of_it_takes_a_process_from_the_load_balancer(client, settings):
    storage_probe.forget()
    settings.LEAST_FREE_DISK_MB = 2**40
    ProcessBeat.objects.all().delete()
    assert set(failed(client)) == {"storage", "disk", "worker", "scheduler"}
    assert failed(client, "/api/ready") == {}
    assert "worker" not in client.get("/api/ready").json()["checks"]


def test_a_forked_child_waits_for_no_thread_of_its_parent(client, monkeypatch):
    monkeypatch.setattr(health, "_under_way", health._under_way)
    client.get("/health")
    assert health._under_way.asking

    health._begin_anew()

    assert health._under_way.asking == {}
