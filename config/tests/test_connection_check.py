"""Whether a pooled connection is asked before it is lent."""

import select
import time
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg_pool import ConnectionPool

from config.connection_check import UNCHECKED_FOR, check_unless_just_used
from config.postgresql import RECONNECT_SECONDS

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def passes(seconds):
        now[0] += seconds

    return passes


@pytest.fixture
def pooled():
    """A connection of one's own, to be lent as the pool does."""
    settings = connection.settings_dict
    with psycopg.connect(
        host=settings["HOST"],
        port=settings["PORT"],
        user=settings["USER"],
        password=settings["PASSWORD"],
        dbname=settings["NAME"],
        autocommit=True,
    ) as lent:
        yield lent


def end(lent):
    """End it as a restart of the server does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [lent.info.backend_pid])


def test_the_first_time_and_after_a_rest_it_is_asked(clock, pooled):
    check_unless_just_used(pooled)
    clock(UNCHECKED_FOR + 1)
    end(pooled)
    with pytest.raises(psycopg.OperationalError):
        check_unless_just_used(pooled)


def test_a_connection_that_was_just_used_is_not(clock, pooled, monkeypatch):
    check_unless_just_used(pooled)
    asked: list[Any] = []
    monkeypatch.setattr(ConnectionPool, "check_connection", asked.append)
    clock(UNCHECKED_FOR / 2)
    check_unless_just_used(pooled)
    assert asked == []
    clock(UNCHECKED_FOR + 1)
    check_unless_just_used(pooled)
    assert asked == [pooled]


def test_the_goodbye_of_a_server_is_heard_however_just_it_was_used(clock, pooled):
    check_unless_just_used(pooled)
    end(pooled)
    clock(UNCHECKED_FOR / 2)
    assert select.select([pooled], [], [], 30)[0], "it says so by itself"
    with pytest.raises(psycopg.OperationalError):
        check_unless_just_used(pooled)


@pytest.fixture
def pool(pooled):
    """A pool of six, as the settings have one."""
    with ConnectionPool(
        pooled.info.dsn,
        kwargs={"password": pooled.info.password, "autocommit": True},
        min_size=6,
        check=check_unless_just_used,
        timeout=30,
    ) as six:
        six.wait(30)
        yield six


def test_after_a_restart_all_are_replaced_at_once(pool, monkeypatch):
    """Else the pool waits longer after each dead one, up to the time limit of who asks."""
    lent = [pool.getconn() for _number in range(6)]
    for one in lent:
        pool.putconn(one)
    for one in lent:
        end(one)
    for one in lent:
        assert select.select([one], [], [], 30)[0]
    waited: list[float] = []
    monkeypatch.setattr("psycopg_pool.pool.sleep", waited.append)
    with pool.connection() as one:
        assert one.execute("SELECT 1").fetchone() == (1,)
    assert sum(waited) == 0
    assert one not in lent


def test_what_was_replaced_already_is_not_replaced_again(pool, monkeypatch):
    first, second = pool.getconn(), pool.getconn()
    for one in (first, second):
        end(one)
        assert select.select([one], [], [], 30)[0]
    drained = []
    monkeypatch.setattr(pool, "drain", lambda: drained.append(1))
    for one in (first, second):
        with pytest.raises(psycopg.OperationalError):
            check_unless_just_used(one)
    for one in (first, second):
        pool.putconn(one)
    assert drained == [1]


def test_a_pool_tries_again_soon_though_the_server_was_away_for_long():
    """It waits twice as long after each failure, until this time is over."""
    pooled: Any = connection
    assert pooled.pool.reconnect_timeout == RECONNECT_SECONDS
    assert pooled.pool.reconnect_timeout < pooled.pool.timeout


def test_the_pool_asks_this_way():
    pooled: Any = connection
    assert pooled.pool._check is check_unless_just_used
