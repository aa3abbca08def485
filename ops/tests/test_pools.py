"""Connections that are opened and lost, and whether the server has room for all."""

import logging
from threading import Thread

import pytest
from django.db import OperationalError, connection, connections

from ops import beats, life_signs, pools
from ops.logs.queries import echo, watch, watch_connection
from ops.metrics import POOL_CHANGES
from ops.models import ProcessBeat
from ops.services import connection_room
from ops.tests.databases import wait_until


# --- What the pools tell --------------------------------------------------------------------------
@pytest.mark.django_db
def test_without_a_pool_there_is_nothing_to_tell(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    monkeypatch.setattr(type(connections["default"]), "_connection_pools", {}, raising=False)
    assert pools.open_connections() == {}
    assert (pools.waiting(), pools.most()) == (0, 0)
    assert pools.changes() == {"made": 0, "failed": 0, "lost": 0}


def in_a_thread(act):
    """Run it with a connection of its own, lent by the pool and given back."""

    def run():
        try:
            act()
        finally:
            connection.close()

    thread = Thread(target=run)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def lose_a_connection():
    """Have the server end it, as a restart does."""
    with pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_is_counted_and_the_next_one_works():
    beats.live()
    lost = POOL_CHANGES.series().get(("lost",), 0)
    in_a_thread(lose_a_connection)
    wait_until(lambda: pools.changes()["lost"])  # the pool looks at what it gets back by itself
    beats.live()
    assert POOL_CHANGES.series()["lost",] == lost + 1
    assert POOL_CHANGES.series()["made",] >= 1
    in_a_thread(lambda: connection.cursor().execute("SELECT 1"))


@pytest.mark.django_db
def test_a_pool_that_begins_anew_takes_back_nothing(monkeypatch):
    before = dict(POOL_CHANGES.series())
    monkeypatch.setitem(beats._connections_told, "made", 10**9)
    beats.count_connections()
    assert POOL_CHANGES.series().get(("made",), 0) >= before.get(("made",), 0)


# --- Room for all ---------------------------------------------------------------------------------
@pytest.fixture
def pool_of(monkeypatch):
    """Let a process have so many connections at most."""

    def have(most):
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", {"max_size": most})

    return have


def first_beat(caplog):
    """What a process says in the log that begins."""
    ProcessBeat.objects.all().delete()
    with caplog.at_level(logging.WARNING, logger=connection_room.logger.name):
        beats.live()
    return caplog.messages


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_process_with_which_the_room_ends_says_so_when_it_begins(pool_of, caplog, monkeypatch):
    monkeypatch.setattr(life_signs, "_kind", ["web"])
    room = connection_room.room()
    assert room is not None
    allowed = room.allowed
    pool_of(allowed + 1)
    (said,) = first_beat(caplog)
    assert said == (
        f"1 processes with up to {allowed + 1} connections each may want {allowed + 1}, and the "
        f"database server allows {allowed}: lower DB_POOL_SIZE or raise max_connections"
    )
    caplog.clear()
    beats.live()
    assert caplog.messages == [], "once"
    pool_of(allowed)
    assert first_beat(caplog) == []


@pytest.mark.django_db
def test_sqlite_has_room_for_all(caplog, monkeypatch):
    monkeypatch.setattr(connection, "vendor", "sqlite")
    assert connection_room.room() is None
    connection_room.warn_without_room()
    assert caplog.messages == []


# --- DB_ECHO --------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_statements_are_logged_without_their_values_where_somebody_wants_to_see_them(
    settings, caplog
):
    before = list(connection.execute_wrappers)
    try:
        watch_connection(connection)
        assert connection.execute_wrappers == before, "nobody wants to"
        settings.DB_ECHO = True
        watch_connection(connection)
        watch_connection(connection)
        assert connection.execute_wrappers == [echo, watch]
        with caplog.at_level(logging.INFO, logger="queries"), connection.cursor() as cursor:
            cursor.execute("SELECT %s, '13800138002'", ["13800138001"])
    finally:
        connection.execute_wrappers[:] = before
    (line,) = [one.getMessage() for one in caplog.records if one.name == "queries"]
    assert line.endswith(" ms SELECT ?, ?")
