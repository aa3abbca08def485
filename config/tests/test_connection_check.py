"""Whether a pooled connection is asked before it is lent."""

import time
from typing import Any

import psycopg
import pytest
from django.db import connection

from config.connection_check import UNCHECKED_FOR, check_unless_just_used

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


def test_a_connection_that_was_just_used_is_not(clock, pooled):
    check_unless_just_used(pooled)
    end(pooled)
    clock(UNCHECKED_FOR / 2)
    check_unless_just_used(pooled)  # it is found out by whoever uses it
    with pytest.raises(psycopg.OperationalError):
        pooled.execute("SELECT 1")


def test_the_pool_asks_this_way():
    pooled: Any = connection
    assert pooled.pool._check is check_unless_just_used
