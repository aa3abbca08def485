"""What a process hears of changes: at the first question after their commit, and never too late."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.http import HttpRequest
from django.utils import timezone
from psycopg import ClientCursor

from catalog.models import Shop
from catalog.tests.factories import make_shop
from lottery.models import Wheel
from ops.models import ChangeMark
from ops.request_context import serving
from ops.services import freshness
from ops.tests.databases import elsewhere, on_sqlite, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def execute(database, statement):
    with database.cursor() as cursor:
        cursor.execute(statement)


def value(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0]


def answer_to(asked):
    return value(f"SELECT {asked.sql}", *asked.params)


def change_shops(database=connection):
    execute(database, "UPDATE catalog_shop SET address = address || '.'")


@contextmanager
def request_at_hand():
    with serving(HttpRequest()):
        yield


@pytest.fixture(autouse=True)
def shop():
    return make_shop()


# --- What changed ---------------------------------------------------------------------------------
def test_as_long_as_nothing_changes_a_generation_stays():
    generation = freshness.current("catalog")
    assert generation is not None
    assert freshness.current("catalog") == generation


@pytest.mark.parametrize(
    "change",
    [
        make_shop,
        lambda: Shop.objects.update(name="X"),
        lambda: Shop.objects.all().delete(),
    ],
    ids=["insert", "update", "delete"],
)
def test_a_change_of_whatever_kind_is_heard_of_once(change):
    before, other = freshness.current("catalog"), freshness.current("lottery")
    change()
    after = freshness.current("catalog")
    assert after is not None
    assert after != before
    assert freshness.current("catalog") == after
    assert freshness.current("lottery") == other


def test_a_change_that_is_rolled_back_is_none():
    before = freshness.current("catalog")
    with transaction.atomic():
        change_shops()
        transaction.set_rollback(True)
    assert freshness.current("catalog") == before


def test_what_is_no_topic_is_asked_for_by_nobody():
    with pytest.raises(KeyError):
        freshness.current("catalogue")


@pytest.mark.postgresql
def test_a_transaction_that_began_first_and_commits_last_is_heard_of():
    """What the highest number of all would miss: it is the other transaction's already."""
    highest = "SELECT max(number) FROM ops_changemark WHERE topic = 'catalog'"
    with elsewhere(autocommit=False) as early:
        change_shops(early)
        make_shop()
        before, highest_before = freshness.current("catalog"), value(highest)
        assert freshness.current("catalog") == before
        early.commit()
        assert value(highest) == highest_before
        after = freshness.current("catalog")
        assert after != before
        assert freshness.current("catalog") == after


@pytest.mark.postgresql
def test_of_several_open_transactions_each_is_heard_of_at_its_commit():
    make_shop()
    numbers = [freshness.current("catalog")]
    with elsewhere(autocommit=False) as one, elsewhere(autocommit=False) as two:
        execute(
            one,
            "UPDATE catalog_shop SET name = 'one' WHERE id = (SELECT min(id) FROM catalog_shop)",
        )
        execute(
            two,
            "UPDATE catalog_shop SET name = 'two' WHERE id = (SELECT max(id) FROM catalog_shop)",
        )
        numbers.append(freshness.current("catalog"))
        two.commit()
        numbers.append(freshness.current("catalog"))
        one.commit()
        numbers.append(freshness.current("catalog"))
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 3


@pytest.mark.postgresql
def test_no_change_waits_for_another():
    """No two transactions write the same row of marks."""
    make_shop()
    with elsewhere(autocommit=False) as one:
        execute(
            one,
            "UPDATE catalog_shop SET name = 'one' WHERE id = (SELECT min(id) FROM catalog_shop)",
        )
        execute(
            connection,
            "SET lock_timeout = '1s'; UPDATE catalog_shop SET name = 'two' "
            "WHERE id = (SELECT max(id) FROM catalog_shop); RESET lock_timeout",
        )
        one.commit()
    assert ChangeMark.objects.filter(topic="catalog").count() >= 2


@pytest.mark.postgresql
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
def test_a_question_reads_no_mark_that_was_seen(plan):
    """By a prepared statement, whatever its parameters."""
    execute(
        connection,
        "INSERT INTO ops_changemark (topic, number) SELECT 'catalog', generate_series(-20000, -1)",
    )
    # Else the plan would hang on what the server found out by itself, and when.
    execute(connection, "ANALYZE ops_changemark")
    freshness.current("catalog")
    asked = freshness.question()
    sql = asked.sql.replace("%s", "$1", 1).replace("%s", "$2", 1)
    with connection.cursor() as cursor:
        cursor.execute(f"SET plan_cache_mode = {plan}")
        cursor.execute(f"PREPARE ask (text, text) AS SELECT {sql}")
        # Of a utility statement the server binds no parameters.
        with ClientCursor(cursor.connection) as by_text:
            by_text.execute("EXPLAIN EXECUTE ask (%s, %s)", asked.params)
            plan_made = "\n".join(line for (line,) in by_text.fetchall())
        cursor.execute("DEALLOCATE ask")
        cursor.execute("RESET plan_cache_mode")
    assert "Seq Scan" not in plan_made, plan_made
    assert plan_made.count("Index Scan on changemark_once") == 2


# --- What a request hears -------------------------------------------------------------------------
def test_a_request_asks_once(django_assert_num_queries):
    with request_at_hand(), django_assert_num_queries(1):
        generation = freshness.current("catalog")
        assert freshness.current("catalog") == generation
        assert freshness.current("lottery") is not None


def test_a_question_may_ride_on_another_statement(django_assert_num_queries):
    with request_at_hand():
        asked = freshness.question()
        answer = value(f"SELECT {asked.sql}, 1", *asked.params)
        freshness.heard(asked, answer)
        with django_assert_num_queries(0):
            generation = freshness.current("catalog")
    assert freshness.current("catalog") == generation
    change_shops()
    assert freshness.current("catalog") != generation


def test_the_next_request_asks_anew():
    with request_at_hand():
        before = freshness.current("catalog")
    change_shops()
    with request_at_hand():
        assert freshness.current("catalog") != before


def test_who_hears_of_a_change_at_the_same_time_takes_nothing_from_memory():
    before, other = freshness.current("catalog"), freshness.current("lottery")
    first, second = freshness.question(), freshness.question()
    change_shops()
    answers = answer_to(first), answer_to(second)
    with request_at_hand():
        freshness.heard(first, answers[0])
        after = freshness.current("catalog")
        assert after not in (None, before)
    with request_at_hand():
        freshness.heard(second, answers[1])
        assert freshness.current("catalog") is None
        assert freshness.current("lottery") == other
    assert freshness.current("catalog") == after


def test_who_heard_that_nothing_changed_goes_on_although_somebody_heard_of_a_change():
    before = freshness.current("catalog")
    early = freshness.question()
    answer = answer_to(early)
    change_shops()
    after = freshness.current("catalog")
    with request_at_hand():
        freshness.heard(early, answer)
        assert freshness.current("catalog") == before
    assert freshness.current("catalog") == after != before


def test_an_answer_that_comes_late_takes_nothing_back():
    early = freshness.question()
    answer = answer_to(early)
    change_shops()
    known = freshness.current("catalog")
    with request_at_hand():
        freshness.heard(early, answer)
    assert freshness.current("catalog") == known


# --- Inside of a transaction ----------------------------------------------------------------------
def test_inside_of_a_transaction_nothing_is_asked_nor_heard(django_assert_num_queries):
    with request_at_hand(), transaction.atomic():
        with django_assert_num_queries(0):
            assert freshness.current("catalog") is None
        asked = freshness.question()
        freshness.heard(asked, answer_to(asked))
        assert freshness.current("catalog") is None


def test_what_a_request_heard_before_holds_inside_of_a_transaction():
    with request_at_hand():
        before = freshness.current("catalog")
        with transaction.atomic():
            assert freshness.current("catalog") == before
            assert freshness.is_unchanged("catalog")


def test_a_transaction_knows_what_it_changed_itself():
    with request_at_hand():
        freshness.current("catalog")
        with transaction.atomic():
            change_shops()
            assert not freshness.is_unchanged("catalog")
            assert freshness.is_unchanged("lottery")


def test_who_heard_nothing_does_not_know_what_is_unchanged():
    with request_at_hand():
        assert not freshness.is_unchanged("catalog")


# --- When everything counts as changed ------------------------------------------------------------
def both():
    return freshness.current("catalog"), freshness.current("lottery")


def test_after_a_long_silence_everything_counts_as_changed(monkeypatch):
    before = both()
    assert both() == before
    monkeypatch.setattr(freshness, "TRUSTED_FOR", -1)
    after = both()
    assert None not in after
    assert not {*before} & {*after}


def test_what_is_forgotten_counts_as_changed():
    before = both()
    freshness.forget()
    assert not {*before} & {*both()}


@pytest.mark.postgresql
@pytest.mark.parametrize("is_older", [True, False])
def test_in_another_database_everything_counts_as_changed(is_older):
    before = both()
    asked = freshness.question()
    database, snapshot, *_topics = answer_to(asked).split(" ")
    with request_at_hand():
        freshness.heard(asked, f"{database} 3:3:" if is_older else f"1/2 {snapshot}")
        assert not {*before} & {*both()}


def test_a_database_without_a_mark_is_known_as_well():
    ChangeMark.objects.all().delete()
    generation = freshness.current("catalog")
    assert freshness.current("catalog") == generation
    Wheel.objects.create(name="W", cost_points=1)
    assert freshness.current("catalog") == generation
    change_shops()
    assert freshness.current("catalog") != generation


# --- Old marks ------------------------------------------------------------------------------------
def all_marks_are_of_the_past():
    """Whether every transaction that was open when the newest mark was left has ended."""
    newest = ChangeMark.objects.order_by("number").values_list("number", flat=True).last()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return newest < cursor.fetchone()[0]


@pytest.mark.postgresql
def test_marks_go_that_everybody_has_seen_for_long():
    ChangeMark.objects.all().delete()
    now = timezone.now()
    with elsewhere(autocommit=False) as early:
        change_shops(early)
        execute(connection, "UPDATE lottery_wheel SET name = name")
        (seen,) = ChangeMark.objects.values_list("pk", flat=True)
        assert freshness.forget_old(now=now) == 0
        early.commit()
    Wheel.objects.create(name="W", cost_points=1)
    # A transaction of another database of this server holds the marks as well.
    wait_until(all_marks_are_of_the_past, seconds=120)
    assert freshness.forget_old(now=now + timedelta(seconds=59)) == 0
    assert freshness.forget_old(now=now + timedelta(minutes=14)) == 0
    # What was still open at the first moment may be news to somebody, however old it is.
    assert freshness.forget_old(now=now + timedelta(minutes=15)) == 0
    assert ChangeMark.objects.filter(pk=seen).exists()
    assert freshness.forget_old(now=now + timedelta(minutes=29)) == 3
    assert not ChangeMark.objects.exists()


@pytest.mark.postgresql
def test_marks_of_another_database_go():
    ChangeMark.objects.all().delete()
    foreign = ChangeMark.objects.create(topic="catalog", number=2**60)
    assert freshness.current("catalog") != freshness.current("catalog")
    now = timezone.now()
    assert freshness.forget_old(now=now) == 0  # it may be of now
    assert freshness.forget_old(now=now + timedelta(hours=2)) >= 1
    assert not ChangeMark.objects.filter(pk=foreign.pk).exists()
    assert freshness.current("catalog") == freshness.current("catalog")


def test_a_topic_of_sqlite_keeps_its_row():
    with on_sqlite(ChangeMark):
        ChangeMark.objects.create(topic="catalog", number=7)
        before = both()
        assert freshness.forget_old(now=timezone.now() + timedelta(days=1)) == 0
        assert both() == before
        ChangeMark.objects.update(number=8)
        assert [freshness.current("catalog") == before[0], both()[1]] == [False, before[1]]
