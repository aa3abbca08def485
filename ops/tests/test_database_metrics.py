"""What the database's server tells of itself: connections, locks, long transactions, its size."""

from contextlib import suppress
from threading import Thread

import pytest
from django.db import DatabaseError, connection, transaction

from ops import metrics
from ops.measures import OTHER
from ops.tests.databases import elsewhere, wait_until, waiting_for_a_lock

ONLY_OF_A_SERVER = [
    metrics.SESSIONS,
    metrics.SESSIONS_ALLOWED,
    metrics.SESSIONS_USED,
    metrics.LOCK_WAITS,
    metrics.LONGEST_LOCK_WAIT,
    metrics.LONGEST_TRANSACTION,
    metrics.DEADLOCKS,
]


@pytest.mark.django_db
@pytest.mark.parametrize("gauge", ONLY_OF_A_SERVER, ids=str)
def test_sqlite_has_no_server_to_tell_of(gauge, monkeypatch):
    monkeypatch.setattr(connection, "vendor", "sqlite")
    assert gauge.values() == {}


@pytest.mark.django_db
def test_the_size_of_the_database_is_told_of_both():
    before = metrics.DATABASE_BYTES.values()[()]
    assert before > 0
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE probe_of_size AS SELECT 1 AS number")
        cursor.executemany("INSERT INTO probe_of_size VALUES (%s)", [(n,) for n in range(20_000)])
    assert metrics.DATABASE_BYTES.values()[()] > before


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_connections_are_told_by_what_they_do_and_of_how_many():
    before = metrics.SESSIONS.values()
    assert {("active",), ("idle",), ("idle_in_transaction",)} <= set(before)
    assert before["idle_in_transaction",] == 0
    with elsewhere(autocommit=False) as other, other.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert metrics.SESSIONS.values()["idle_in_transaction",] == 1
        # One whose statement failed waits for its ROLLBACK, and is open as well.
        with suppress(DatabaseError):
            cursor.execute("SELECT 1 / 0")
        assert metrics.SESSIONS.values()["idle_in_transaction",] == 1
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_connections")
        most = int(cursor.fetchone()[0])
        cursor.execute("SHOW superuser_reserved_connections")
        reserved = int(cursor.fetchone()[0])
    assert metrics.SESSIONS_ALLOWED.values() == {(): most - reserved}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_which_share_of_the_connections_is_taken_is_told_whoever_has_them():
    with elsewhere() as one, elsewhere() as another, transaction.atomic():
        for open_one in (one, another):
            open_one.ensure_connection()
        # Within one transaction the server says of its sessions what it said first.
        taken = sum(metrics.SESSIONS.values().values())
        allowed = metrics.SESSIONS_ALLOWED.values()[()]
        share = metrics.SESSIONS_USED.values()[()]
    assert taken >= 3
    assert share == pytest.approx(taken / allowed)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_what_another_role_does_is_hidden_and_counted_all_the_same():
    mine = {"active", "idle", "idle_in_transaction"}
    before = metrics.SESSIONS.values()
    with connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS looks_at_metrics")
        cursor.execute("CREATE ROLE looks_at_metrics")
        try:
            cursor.execute("SET ROLE looks_at_metrics")
            hidden = metrics.SESSIONS.values()
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute("DROP ROLE looks_at_metrics")
    assert sum(before[state,] for state in mine) > sum(hidden[state,] for state in mine)
    assert hidden[OTHER,] >= 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_who_waits_for_a_lock_and_how_long_a_transaction_is_open():
    assert metrics.LOCK_WAITS.values() == {(): 0}
    assert metrics.LONGEST_LOCK_WAIT.values() == {(): 0}
    assert metrics.DEADLOCKS.values()[()] >= 0

    def want_the_lock():
        with elsewhere() as waiter, waiter.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(4711)")

    with elsewhere(autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(4711)")
        waiting = Thread(target=want_the_lock)
        waiting.start()
        try:
            wait_until(waiting_for_a_lock)
            assert metrics.LOCK_WAITS.values() == {(): 1}
            waited = metrics.LONGEST_LOCK_WAIT.values()[()]
            assert 0 < waited < metrics.LONGEST_TRANSACTION.values()[()]
            wait_until(lambda: metrics.LONGEST_LOCK_WAIT.values()[()] > waited)
        finally:
            holder.rollback()
            waiting.join()
    assert metrics.LOCK_WAITS.values() == {(): 0}
