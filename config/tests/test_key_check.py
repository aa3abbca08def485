"""Every way to start the platform asks whether rows need a key that is not there."""

import subprocess
import sys

import pytest

from config.tests.test_settings import ROOT, SECURE
from tests.live import own_database

KEEP = (
    "from ops.models import IdempotencyRecord as R; from ops.services.encryption import encrypt; "
    "R.objects.create(owner_id=1, path='/', key='k', fingerprint='x', answer=encrypt('x'))"
)
IN_AN_EVENT_LOOP = """
import asyncio
async def main():
    from config.asgi import application
asyncio.run(main())
"""
LEAVES_NOTHING_OPEN = """
import config.wsgi, threading
from django.db import connection
assert connection.connection is None and not getattr(connection, "_connection_pools", None)
assert threading.active_count() == 1, threading.enumerate()
"""
IN_A_WORKER_OF_ITS_SERVER = """
import multiprocessing, threading
def load():
    import config.wsgi
    assert [one for one in threading.enumerate() if one.name == "beat heartbeat"]
worker = multiprocessing.get_context("fork").Process(target=load)
worker.start()
worker.join()
assert worker.exitcode == 0, worker.exitcode
assert threading.active_count() == 1
"""
WSGI = ("-c", "import config.wsgi")
STARTS = [
    ("manage.py", "serve"),
    ("manage.py", "worker"),
    ("manage.py", "migrate", "-v0"),
    ("manage.py", "check", "--database", "default"),
    WSGI,
    ("-c", IN_AN_EVENT_LOOP),
]
NAMES = ["serve", "worker", "migrate", "check", "wsgi", "asgi"]
DROPPED = {"FIELD_ENCRYPTION_KEYS": "z" * 60}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Production with a row that needs the field key, on the database that the tests run on."""
    with own_database() as database:
        folder = str(tmp_path_factory.mktemp("keys"))
        variables = {
            "DATA_DIR": folder,
            "STATIC_ROOT": folder,
            "DATABASE_URL": "",
            "REDIS_URL": "",
            **SECURE,
            **database,
        }
        for arguments in (("migrate", "-v0"), ("shell", "--no-imports", "-c", KEEP)):
            finished = python(variables, "manage.py", *arguments)
            assert finished.returncode == 0, finished.stderr
        yield variables


def python(environment, *arguments, **changes):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **environment, **changes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", STARTS, ids=NAMES)
def test_a_key_dropped_too_early_stops_every_start(environment, arguments):
    finished = python(environment, *arguments, **DROPPED)
    assert finished.returncode == 1
    assert "ops.IdempotencyRecord.answer (1)" in finished.stderr
    assert finished.stdout == ""
    if arguments[-1] in {"serve", "worker"}:
        assert finished.stderr.startswith("FIELD_ENCRYPTION_KEYS")
        assert len(finished.stderr.splitlines()) == 1
    assert "y" * 60 not in finished.stderr
    assert "z" * 60 not in finished.stderr


@pytest.mark.parametrize("arguments", STARTS[2:], ids=NAMES[2:])
def test_the_key_put_back_lets_it_start(environment, arguments):
    finished = python(environment, *arguments, FIELD_ENCRYPTION_KEYS=f"{'z' * 60},{'y' * 60}")
    assert finished.returncode == 0, finished.stderr


def test_the_question_leaves_no_connection_to_a_fork(environment):
    finished = python(environment, "-c", LEAVES_NOTHING_OPEN)
    assert finished.returncode == 0, finished.stderr


def test_the_pulse_begins_at_once_in_a_process_that_its_server_made(environment):
    finished = python(environment, "-c", IN_A_WORKER_OF_ITS_SERVER)
    assert finished.returncode == 0, finished.stderr


def test_what_needs_no_database_does_not_ask(environment):
    finished = python(environment, "manage.py", "check", **DROPPED)
    assert finished.returncode == 0, finished.stderr


def test_an_empty_database_is_migrated_with_any_keys(tmp_path):
    with own_database() as database:
        variables = {"DATA_DIR": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": ""}
        variables |= SECURE | database
        for arguments in (WSGI, ("manage.py", "migrate", "-v0"), WSGI):
            finished = python(variables, *arguments)
            assert finished.returncode == 0, finished.stderr


def test_a_database_that_is_away_is_logged_and_the_start_goes_on(environment):
    away = {"DATABASE_URL": "postgres://a:b@127.0.0.1:1/c", "DB_POOL_TIMEOUT": "1"}
    finished = python(environment, *WSGI, **away)
    assert finished.returncode == 0, finished.stderr
    assert "The keys could not be compared" in finished.stderr
