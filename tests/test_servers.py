"""The harness itself: servers answer, are private, and are gone afterwards however it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connection

from tests.servers import Servers, running_servers
from tests.workers import WORKER

PATIENCE = 30.0
SAY_ENVIRONMENT = (
    "import json, os; "
    "print(json.dumps({'database_url': os.environ['DATABASE_URL'], "
    "'redis_urls': list(filter(None, os.environ['WORKER_REDIS_URLS'].split(','))), "
    "'data_dir': os.environ['DATA_DIR']}), flush=True)"
)
SOMEBODY_ELSES = {
    "DATABASE_URL": "postgres://somebody:else@192.0.2.1:5432/shop",
    "REDIS_URL": "redis://192.0.2.1:6379/0",
}


def listens(url):
    address = urlsplit(url)
    with suppress(OSError), socket.create_connection((address.hostname, address.port), timeout=1):
        return True
    return False


def traces(servers):
    """What of the servers is still there."""
    left = [url for url in (servers.database_url, *servers.redis_urls) if url and listens(url)]
    return left + [folder for folder in [servers.data_dir] if Path(folder).exists()]


@pytest.fixture
def start_harness(tmp_path):
    """Start `python -m tests.servers`, in an environment that points at somebody else's data."""
    started = []

    def start(*options, then):
        harness = subprocess.Popen(
            [sys.executable, "-m", "tests.servers", *options, "--", sys.executable, "-c",
             f"{SAY_ENVIRONMENT}; {then}"],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, **SOMEBODY_ELSES, "DATA_DIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        started.append(harness)
        assert harness.stdout is not None
        return harness, Servers(**json.loads(harness.stdout.readline()))

    yield start
    for harness in started:
        with harness:  # closes the pipes, which ends a command that reads them, and waits
            assert harness.stdin is not None
            harness.stdin.close()


def test_servers_answer_and_are_gone_afterwards():
    with running_servers() as servers:
        with psycopg.connect(servers.database_url) as postgresql:
            assert postgresql.info.server_version // 10_000 == 18
            assert postgresql.execute("SHOW max_connections").fetchone() == ("300",)
            assert postgresql.execute("SHOW fsync").fetchone() == ("off",)
        with redis.Redis.from_url(servers.redis_url) as client:
            assert client.ping()
            assert client.dbsize() == 0
        assert list(Path(servers.data_dir).iterdir()) == []
    assert traces(servers) == []


def test_a_killed_harness_leaves_nothing_behind(start_harness, tmp_path):
    harness, servers = start_harness("--workers", "2", then="input()")
    assert listens(servers.database_url)
    assert [listens(url) for url in servers.redis_urls] == [True, True]

    harness.kill()

    deadline = time.monotonic() + PATIENCE
    while traces(servers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert traces(servers) == []
    assert list(tmp_path.iterdir()) == []


def test_the_embedded_set_up_has_no_servers_and_the_commands_exit_status(start_harness, tmp_path):
    harness, servers = start_harness("--embedded", then="raise SystemExit(7)")

    assert harness.wait(PATIENCE) == 7
    assert (servers.database_url, servers.redis_url) == ("", "")
    assert Path(servers.data_dir) != tmp_path
    assert traces(servers) == []


def test_sigterm_reaches_the_command(start_harness):
    harness, servers = start_harness("--embedded", then="input()")

    harness.send_signal(signal.SIGTERM)

    assert harness.wait(PATIENCE) == 128 + signal.SIGTERM
    assert traces(servers) == []


def test_a_command_is_required():
    answer = subprocess.run(
        [sys.executable, "-m", "tests.servers"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 2
    assert "say which command to run" in answer.stderr


@pytest.mark.postgresql
def test_make_test_runs_on_these_servers():
    assert os.environ["REQUIRE_POSTGRESQL"] == "1"


@pytest.mark.postgresql
@pytest.mark.django_db
def test_each_worker_has_a_database_a_redis_and_a_folder_of_its_own():
    number = int(WORKER.removeprefix("gw")) if WORKER else 0

    name = connection.settings_dict["NAME"]
    assert name == (f"test_postgres_{WORKER}" if WORKER else "test_postgres")
    assert os.environ["WORKER_REDIS_URLS"].split(",")[number] == settings.REDIS_URL
    assert Path(os.environ["DATA_DIR"]).name == (WORKER or "data")
