"""Connections to PostgreSQL, as the settings have them."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from config.postgresql import CONNECTION, pooled

ROOT = Path(__file__).resolve().parent.parent.parent
SIZES: dict[str, Any] = {
    "size": 20, "min_size": 1, "overflow": 5, "timeout": 10.0, "recycle": 1800.0, "max_idle": 60.0
}  # fmt: skip


def test_a_pool_may_grow_for_a_burst():
    pool = pooled({"NAME": "points"}, **SIZES)["OPTIONS"]["pool"]
    assert (pool["min_size"], pool["max_size"], pool["max_idle"]) == (1, 25, 60.0)


def test_more_that_stay_open_than_there_may_be_are_refused():
    with pytest.raises(ImproperlyConfigured, match=r"DB_POOL_MIN_SIZE is 21: .*\(20\)"):
        pooled({}, **{**SIZES, "min_size": 21})


def test_the_address_has_the_last_word_about_a_connection():
    options = pooled({"OPTIONS": {"connect_timeout": "3", "sslmode": "require"}}, **SIZES)[
        "OPTIONS"
    ]
    assert (options["connect_timeout"], options["sslmode"]) == ("3", "require")
    assert options["keepalives_idle"] == CONNECTION["keepalives_idle"]


def test_a_server_that_takes_connections_and_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(
                host=host, port=port, dbname="x", **{**CONNECTION, "connect_timeout": 2}
            )


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_dead_server_is_noticed_by_its_silence():
    with connection.cursor():
        said = connection.connection.info.get_parameters()
    assert {name: said.get(name) for name in CONNECTION} == {
        name: str(value) for name, value in CONNECTION.items()
    }


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("start", "limit"), [("manage.py shell -c", "1h"), ("-c", "30s")], ids=["command", "server"]
)
def test_a_command_is_given_more_time_than_a_request(tmp_path, start, limit):
    """What no manage.py starts is a server of production, by config.wsgi or config.asgi."""
    program = (
        "import django, os; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings'); "
        "django.setup(); from django.db import connection; cursor = connection.cursor(); "
        "print(cursor.execute('SHOW statement_timeout').fetchone()[0])"
    )
    done = subprocess.run(
        [sys.executable, *start.split(), program],
        cwd=ROOT,
        env={**os.environ, "DATA_DIR": str(tmp_path), "DEBUG": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split()[-1] == limit
