"""A whole database of a test's own, which is the default one of this thread: it can be swapped."""

import os
import secrets
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from ops.tests.dump_backups import drop, named, run, server

# As parameters of `vendor`.
BOTH = [pytest.param("postgresql", marks=pytest.mark.postgresql), "sqlite"]
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA recursive_triggers=ON;",
}


@contextmanager
def on_postgresql():
    """A database like that of the suite, with nobody in it; what has its name goes afterwards."""
    real: Any = connections["default"]
    name = f"own_{secrets.token_hex(6)}"
    # Nobody may be in a database that another one is made like.
    real.close()
    real.close_pool()
    of_suite = real.settings_dict["NAME"]
    ours: Any = connections.create_connection("default")
    # Without a pool, which is kept by the name of the connection.
    options = {name: one for name, one in real.settings_dict["OPTIONS"].items() if name != "pool"}
    ours.settings_dict = {**real.settings_dict, "NAME": name, "OPTIONS": options}
    try:
        run(server(), f'CREATE DATABASE {name} TEMPLATE "{of_suite}"')
        connections["default"] = ours
        yield name
    finally:
        connections["default"] = real
        ours.close()
        drop(named(name))


@contextmanager
def on_sqlite(template, folder):
    """A copy of an empty platform's file."""
    path = folder / "live" / "db.sqlite3"
    path.parent.mkdir()
    shutil.copyfile(template, path)
    real: Any = connections["default"]
    ours: Any = DatabaseWrapper(
        {
            **real.settings_dict,
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(path),
            "OPTIONS": SQLITE_OPTIONS,
        },
        "default",
    )
    connections["default"] = ours
    try:
        yield str(path)
    finally:
        connections["default"] = real
        ours.close()


def make_sqlite(folder):
    """Make the file of an empty platform; returns its path."""
    path = folder / "empty.sqlite3"
    environment = {
        **os.environ,
        "DATABASE_URL": "",
        "DATABASE_URL_FILE": "",
        "REDIS_URL": "",
        "SQLITE_FILE": str(path),
        "DATA_DIR": str(folder / "data"),
    }
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "migrate", "-v0"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    subprocess.run([sys.executable, "-c", _ONE_FILE, str(path)], check=True, capture_output=True)
    return path


_ONE_FILE = (
    "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA journal_mode=DELETE')"
)
