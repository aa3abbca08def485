"""Statements are counted for each request, and slow ones told by their form alone."""

import json
import logging
import threading

import pytest
from django.db import connection

from accounts.models import User
from ops.logs import queries
from ops.logs.counts import counts
from ops.tests.test_log_lines import Keeping
from tests.people import make_person


@pytest.fixture
def told():
    handler = Keeping()
    logging.getLogger("queries").addHandler(handler)
    yield handler.lines
    logging.getLogger("queries").removeHandler(handler)


@pytest.mark.django_db
def test_a_slow_statement_is_told_without_its_values_and_counted(told, settings):
    make_person(nickname="O'Hara of the shop", phone="13700000001")
    before = counts()["slow_queries"]
    settings.SLOW_QUERY_SECONDS = 0.0
    assert User.objects.filter(phone="13700000001", pk__in=[1, 2, 3]).count() <= 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'O''Hara of the shop', 4711")
    settings.SLOW_QUERY_SECONDS = 10.0
    first, second = told
    assert counts()["slow_queries"] == before + 2
    assert second["message"].endswith("s, SELECT ?, ?")
    assert second["query"] == queries.fingerprint("SELECT ?, ?")
    assert (first["level"], first["logger"]) == ("WARNING", "queries.slow")
    assert "IN (…)" in first["message"]
    for value in ("Hara", "13700000001", "4711"):
        assert value not in json.dumps(told)


@pytest.mark.django_db
def test_one_that_fails_is_told_as_well(told, settings):
    settings.SLOW_QUERY_SECONDS = 0.0
    with pytest.raises(Exception, match="no_such_table"), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM no_such_table WHERE a = %s", ["secret"])
    assert told[0]["message"].endswith("SELECT ? FROM no_such_table WHERE a = ?")


@pytest.mark.django_db
def test_a_quick_one_is_counted_and_not_told(told):
    begun = queries.begin()
    make_person()
    User.objects.count()
    assert queries.end(begun) == 2
    assert told == []


def test_what_is_counted_inside_is_not_counted_outside():
    outer = queries.begin()
    inner = queries.begin()
    assert queries.end(inner) == 0
    assert queries.end(outer) == 0


@pytest.mark.django_db
def test_each_connection_is_watched_once_however_often_it_is_opened():
    for _time in range(2):
        queries.watch_connection(connection)
    assert connection.execute_wrappers.count(queries.watch) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_of_another_thread_is_watched_as_well():
    seen = []

    def ask():
        User.objects.count()
        seen.append(queries.watch in connection.execute_wrappers)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert seen == [True]


@pytest.mark.parametrize(
    ("sql", "form"),
    [
        ("SELECT  a\nFROM b WHERE c = %s", "SELECT a FROM b WHERE c = ?"),
        ("SELECT 1, -2.5e3, 'it''s', E'a\\'b'", "SELECT ?, ?, ?, ?"),
        ("SELECT $tag$any 'text'$tag$, $$x$$", "SELECT ?, ?"),
        ("WHERE a IN (%s, %s,%s) LIMIT 21", "WHERE a IN (…) LIMIT ?"),
        ("VALUES (%s, 1), (%s, 2)", "VALUES (…)"),
        ('"t1"."column2" = t3.c4 AND x = $2', '"t1"."column2" = t3.c4 AND x = ?'),
        ("SELECT a -- 13800138001\n/* 13900139002 */ FROM b", "SELECT a FROM b"),
        ('SAVEPOINT "s139_x12"', "SAVEPOINT savepoint"),
        ("a = %(name)s AND b = ?", "a = ? AND b = ?"),
        ("WHERE a->>'phone' = '13800138001'", "WHERE a->>? = ?"),
    ],
)
def test_the_form_has_no_values(sql, form):
    assert queries.form_of(sql) == form
    assert queries.form_of(form) == form


def test_a_form_is_short():
    assert len(queries.form_of("SELECT " + "a, " * 10_000)) == queries.LONGEST_FORM
