"""The database from other sides: another machine's connection, another pool, another database."""

import secrets
import time
from contextlib import contextmanager
from typing import Any

from django.db import connection, connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from django_tasks_db.models import DBTaskResult


@contextmanager
def elsewhere(*, autocommit=True):
    """A connection of its own, as another machine has one; what it did not commit is undone."""
    other: Any = connections.create_connection("default")
    try:
        other.set_autocommit(autocommit)
        yield other
    finally:
        if not autocommit:
            other.rollback()
        other.close()
        other.close_pool()


def waiting_for_a_lock():
    """How many statements wait for a lock right now."""
    with connection.cursor() as cursor:
        # Inside of a transaction the server would say again what it said first.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return cursor.fetchone()[0]


def wait_until(condition, seconds=30):
    """Look again and again until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.01)


@contextmanager
def other_parameters(*, port=None, **pool):
    """Let this process reach the database by another port or with another pool."""
    real: Any = connections["default"]
    parameters = real.settings_dict
    before = parameters["PORT"], dict(parameters["OPTIONS"]["pool"])

    def use(port, pool):
        real.close()
        real.close_pool()
        parameters["PORT"] = port
        parameters["OPTIONS"]["pool"].update(pool)

    use(before[0] if port is None else port, pool)
    try:
        yield
    finally:
        use(*before)


@contextmanager
def as_a_plain_role():
    """Let the default connection of this thread be one of a role that may read all tables alone.

    As platforms are run: the role of the suite is a superuser, and no session hides from it.
    """
    real: Any = connections["default"]
    role, password = f"plain_{secrets.token_hex(6)}", secrets.token_hex(16)
    plain: Any = connections.create_connection("default")
    # Not from the pool, whose connections are of the other role.
    options = {name: one for name, one in real.settings_dict["OPTIONS"].items() if name != "pool"}
    plain.settings_dict = {
        **real.settings_dict,
        "USER": role,
        "PASSWORD": password,
        "OPTIONS": options,
    }
    with real.cursor() as cursor:
        # To read, and to see what others do, are two things: pg_monitor would show both.
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}' IN ROLE pg_read_all_data")
    connections["default"] = plain
    try:
        yield plain
    finally:
        connections["default"] = real
        plain.close()
        with real.cursor() as cursor:
            cursor.execute(f"DROP ROLE {role}")


@contextmanager
def on_sqlite(*models, name=":memory:"):
    """Let the default connection of this thread be an empty SQLite with these models' tables.

    Its branches are tried for real while the suite runs on PostgreSQL.
    """
    real = connections["default"]
    settings = {
        **real.settings_dict,
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
    sqlite: Any = DatabaseWrapper(settings, "default")
    connections["default"] = sqlite
    try:
        with sqlite.schema_editor() as editor:
            for model in models:
                editor.create_model(model)
        yield sqlite
    finally:
        sqlite.connection.close()  # Django's own close spares those in memory
        connections["default"] = real


@contextmanager
def without_the_queues_table():
    table, away = DBTaskResult._meta.db_table, "queue_that_is_away"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {away}")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE {away} RENAME TO {table}")
