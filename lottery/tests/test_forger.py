"""Whatever is forged, check_integrity names it by its id; nothing that is written stops it."""

import re
from decimal import Decimal

import pytest
from django.db import connection, transaction

from catalog.models import Order
from catalog.tests.factories import make_product
from lottery import draw_sql, integrity
from lottery.altered import readable_versions, server_seed_of, stock_out_of
from lottery.models import Draw, PityCounter, Prize, SeedPair, WheelVersion
from lottery.services import publishing, seeds
from lottery.services.draws import draw
from lottery.tests.factories import fix_seeds, goods_prize, make_wheel, points_prize
from lottery.tests.forger import (
    EXTREMES,
    NO_FIELDS,
    NO_PRIZES,
    NO_SEEDS,
    NO_STOCK_OUT,
    Forger,
    forge_draw,
    forge_version,
    write_json,
)
from lottery.tests.tables import findings
from ops.services.encryption import encrypt
from tests.ledgers import past_the_triggers
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def wheels():
    """One with pity and scarce prizes that run out, in two versions, and one without pity."""
    prizes = (
        points_prize("50", probability="0.2", quantity=3, is_activity=True),
        goods_prize(make_product(stock=5), probability="0.2"),
        points_prize("1", probability="0.1", is_pity_prize=True),
        points_prize("500", probability="0.1", is_pity_prize=True, quantity=2),
    )
    wheels = [make_wheel(*prizes, pity_threshold=4, cost_points=10), make_wheel(*prizes[::2])]
    publishing.publish(wheel_id=wheels[0].pk)
    return wheels


@pytest.fixture
def draws(wheels):
    """Of four people, some of whom changed their seeds; each time on either wheel."""
    made = []
    for number in range(4):
        person = make_person(points=10_000)
        fix_seeds(person) if number == 0 else seeds.pairs_of(person.pk)
        for wheel in wheels:
            made += draw(person_id=person.pk, wheel_id=wheel.pk, count=10).draws
        if number % 2:
            seeds.rotate(person_id=person.pk)
            made += draw(person_id=person.pk, wheel_id=wheels[0].pk, count=5).draws
    return made


def named():
    return {object_id for _rule, object_id in findings()}


def test_honest_draws_hide_nothing_from_the_forgers_tests(draws):
    """Tests below would be worth little without draws of every kind."""
    assert findings() == []
    assert {one.is_pity for one in draws} == {one.near_miss for one in draws} == {True, False}
    assert any(one.stock_out for one in draws if one.is_pity)
    assert any(one.stock_out for one in draws if not one.is_pity)
    assert any(one.order_id for one in draws)


def test_what_is_wrong_is_said_in_chinese(draws):
    pair = draws[0].seed_pair
    forge_draw(draws[5], nonce=99, pity_before=99, wheel=draws[10].wheel_id)
    forge_draw(draws[15], order=None, version=draws[0].version_id)
    SeedPair.objects.filter(pk=pair.pk).update(server_seed_hash="ab" * 32, next_nonce=5)
    SeedPair.objects.filter(pk=draws[-1].seed_pair_id).update(server_seed_encrypted="broken")
    PityCounter.objects.filter(person=draws[-1].person_id).delete()
    write_json(WheelVersion, "prizes", "null", pk=draws[0].version_id)
    found = list(integrity.draws_recompute())
    assert {one.rule for one in found} >= {"proof", "nonces", "pity", "seed"}
    assert [one for one in found if not re.search("[一-鿿]", one.problem)] == []


# --- Draws ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("column", "value"), [(name, value) for name in EXTREMES for value in EXTREMES[name]]
)
def test_a_number_at_the_end_of_its_range_is_found(draws, column, value):
    forge_draw(draws[5], **{column: value})
    assert f"draw {draws[5].pk}" in named()


@pytest.mark.parametrize("text", NO_STOCK_OUT)
def test_what_is_no_list_of_ids_is_found(draws, text):
    write_json(Draw, "stock_out", text, pk=draws[5].pk)
    assert ("proof", f"draw {draws[5].pk}") in findings()


def test_the_same_number_written_otherwise_is_no_forgery(draws):
    victim = next(one for one in draws if len(one.stock_out) == 1)
    write_json(Draw, "stock_out", f"[{victim.stock_out[0]}.0]", pk=victim.pk)
    assert findings() == []


def test_a_list_that_never_ends_is_no_list():
    assert stock_out_of("[" * 100_000) is None


def test_draws_that_exchanged_their_orders_are_found(draws):
    one, other = [found for found in draws if found.order_id][:2]
    forge_draw(one, order=None)
    forge_draw(other, order=one.order_id)
    forge_draw(one, order=other.order_id)
    assert {f"draw {one.pk}", f"draw {other.pk}"} <= named()


@pytest.mark.parametrize("column", ["person", "product", "related_id"])
def test_an_order_that_tells_of_another_draw_is_found(draws, column):
    victim = next(one for one in draws if one.order and one.order.product)
    other = {"person": make_person(), "product": make_product(), "related_id": "another"}
    Order.objects.filter(pk=victim.order_id).update(**{column: other[column]})
    assert ("order", f"draw {victim.pk}") in findings()


def test_a_draw_that_was_moved_to_another_wheel_is_found():
    """Where a pity prize was given each time, no counter tells of it."""
    person = make_person(points=10_000)
    fix_seeds(person)
    sure = points_prize(probability="0.9999", is_pity_prize=True)
    one, other = (make_wheel(sure, pity_threshold=2) for _number in range(2))
    moved = draw(person_id=person.pk, wheel_id=one.pk, count=1).draws[0]
    draw(person_id=person.pk, wheel_id=other.pk, count=1)
    forge_draw(moved, wheel=other)
    assert findings() == [("proof", f"draw {moved.pk}")]


@pytest.mark.parametrize("limit", [3, 9])
def test_a_draw_beyond_the_limit_of_its_day_is_found(limit):
    person = make_person(points=10_000)
    wheel = make_wheel(daily_limit=10)
    made = draw(person_id=person.pk, wheel_id=wheel.pk, count=10).draws
    draw(person_id=make_person(points=1_000).pk, wheel_id=wheel.pk, count=limit)
    assert findings() == []
    forge_version(wheel.versions.get(), daily_limit=limit)
    assert findings() == [("limit", f"draw {one.pk}") for one in made[limit:]]


def test_a_prize_that_was_given_beyond_its_number_is_found(draws, wheels):
    """By draws that were slipped in, whatever the count of the prize says."""
    scarce = wheels[0].prizes.get(angle=0)
    given = Draw.objects.filter(prize_id=scarce.pk).order_by("created_at", "pk")
    pks = list(given.values_list("pk", flat=True))
    for version in wheels[0].versions.all():
        first, *others = version.prizes
        forge_version(version, prizes=[{**first, "quantity": 1, "daily_cap": 2}, *others])
    rules = {object_id: rule for rule, object_id in findings() if rule in {"quantity", "daily_cap"}}
    assert {one for one in rules if one.startswith("draw")} == {f"draw {pk}" for pk in pks[1:]}


@pytest.mark.postgresql
@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("-1.50")])
def test_a_value_that_is_no_amount_is_found(draws, value):
    with connection.cursor() as cursor, past_the_triggers(cursor):
        sql = "UPDATE lottery_draw SET value_given = %s WHERE id = %s"
        cursor.execute(sql, [value, draws[5].pk])
    assert ("proof", f"draw {draws[5].pk}") in findings()


@pytest.mark.postgresql
@pytest.mark.parametrize("moment", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
def test_times_that_python_does_not_know_hide_nothing(draws, moment):
    """They are no proof of anything, and do not stop the search for what is."""
    with connection.cursor() as cursor, past_the_triggers(cursor):
        cursor.execute("UPDATE lottery_draw SET created_at = %s", [moment])
        cursor.execute("UPDATE lottery_wheelversion SET published_at = %s", [moment])
        cursor.execute("UPDATE lottery_prize SET given_on = 'infinity'")
        cursor.execute("UPDATE lottery_seedpair SET created_at = %s", [moment])
        cursor.execute("UPDATE catalog_order SET created_at = %s", [moment])
    forge_draw(draws[5], near_miss=not draws[5].near_miss)
    SeedPair.objects.filter(state="next").update(server_seed_encrypted="")
    assert ("proof", f"draw {draws[5].pk}") in findings()


@pytest.mark.postgresql
@pytest.mark.parametrize("column", ["version_id", "wheel_id", "order_id", "person_id"])
def test_a_draw_that_names_what_is_not_there_is_found(draws, column):
    with connection.cursor() as cursor, past_the_triggers(cursor):
        sql = f"UPDATE lottery_draw SET {column} = %s WHERE id = %s"  # noqa: S608
        cursor.execute(sql, [2**62, draws[5].pk])
    # To whom a draw belongs is told by its pair, by its place in it, and by the ledger.
    concerned = {f"draw {draws[5].pk}", f"seed pair {draws[5].seed_pair_id}"}
    assert concerned & named()
    assert (f"draw {draws[5].pk}" in named()) or column == "person_id"


# --- Seeds and counters -------------------------------------------------------------------------
@pytest.mark.parametrize("text", NO_SEEDS)
def test_what_is_no_seed_is_found(draws, text):
    pairs = SeedPair.objects.filter(pk=draws[5].seed_pair_id)
    pairs.update(server_seed_encrypted=encrypt(text))
    assert ("seed", f"seed pair {draws[5].seed_pair_id}") in findings()


def test_a_seed_is_read_only_when_it_is_one():
    assert server_seed_of(encrypt("ab" * 32)) == "ab" * 32


@pytest.mark.postgresql
def test_a_pair_that_is_not_there_is_found(draws):
    with connection.cursor() as cursor, past_the_triggers(cursor):
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("DELETE FROM lottery_seedpair WHERE id = %s", [draws[5].seed_pair_id])
    assert ("seed", f"seed pair {draws[5].seed_pair_id}") in findings()


@pytest.mark.postgresql
def test_a_nonce_that_was_used_twice_is_found():
    """A ticket for two wheels, after the constraint against it: number, first and last fit."""
    person = make_person(points=10_000)
    wheels = [make_wheel(), make_wheel()]
    first, second, _third = (
        draw(person_id=person.pk, wheel_id=wheel.pk, count=1).draws[0]
        for wheel in (*wheels, wheels[0])
    )
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE lottery_draw DROP CONSTRAINT draw_one_per_nonce")
    forge_draw(second, nonce=0, ticket=first.ticket)
    assert {rule for rule, _object_id in findings()} == {"nonces"}


def test_a_pity_counter_of_nobody_is_found(wheels):
    person = make_person()
    PityCounter.objects.create(person=person, wheel=wheels[0], current=2**31 - 1)
    assert findings() == [("pity", f"pity counter of user {person.pk}, wheel {wheels[0].pk}")]


# --- Versions ---------------------------------------------------------------------------------
@pytest.mark.parametrize("text", NO_PRIZES)
def test_what_is_no_list_of_prizes_is_found(draws, text):
    write_json(WheelVersion, "prizes", text, pk=draws[5].version_id)
    assert {f"version {draws[5].version_id}", f"draw {draws[5].pk}"} <= named()


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in NO_FIELDS for value in NO_FIELDS[name]]
)
def test_a_prize_that_nobody_could_publish_is_found(draws, name, value):
    version = draws[5].version
    first, *others = version.prizes
    forge_version(version, prizes=[{**first, name: value}, *others])
    assert {f"version {version.pk}", f"draw {draws[5].pk}"} <= named()


@pytest.mark.parametrize("gone", ["value", "weight", "color"])
def test_a_prize_that_lacks_something_is_found(draws, gone):
    version = draws[5].version
    first, *others = version.prizes
    first = {name: value for name, value in first.items() if name != gone}
    forge_version(version, prizes=[first, *others])
    assert f"version {version.pk}" in named()


def test_a_wheel_that_does_not_add_up_is_found(draws):
    version = draws[5].version
    forge_version(version, prizes=version.prizes[:7])
    assert f"version {version.pk}" in named()


def test_a_fallback_that_is_not_on_the_wheel_is_found(draws):
    forge_version(draws[5].version, fallback_prize_id=-1)
    assert f"version {draws[5].version_id}" in named()


def test_a_version_that_cannot_be_read_says_nothing_of_its_prizes(draws, wheels):
    """What an earlier version allowed is not what is in force."""
    newest = wheels[0].versions.latest("number")
    Prize.objects.filter(wheel=wheels[0]).update(published_quantity=77)
    write_json(WheelVersion, "prizes", "null", pk=newest.pk)
    assert not {one for one in integrity.prizes_are_counted() if one.rule == "quantity"}


# --- The database and the draws one by one ------------------------------------------------------
def both_ways():
    """What the check finds, and what it would find without the database's help."""
    versions = readable_versions()
    return (
        list(integrity.recompute_all(versions)),
        list(integrity.recompute(Draw.objects.all(), versions)),
    )


@pytest.mark.postgresql
def test_the_database_suspects_nobody_who_is_honest(draws, monkeypatch):
    rewritten = next(one for one in draws if len(one.stock_out) == 1)
    write_json(Draw, "stock_out", f"[{rewritten.stock_out[0]}.0]", pk=rewritten.pk)
    for draws_at_once in (draw_sql.DRAWS_AT_ONCE, 1, 30):
        monkeypatch.setattr(draw_sql, "DRAWS_AT_ONCE", draws_at_once)
        assert not [person for part in draw_sql.suspects(readable_versions()) for person in part]


@pytest.mark.postgresql
@pytest.mark.parametrize("seed", range(12))
def test_the_database_misses_nothing(draws, seed, monkeypatch):
    """One forgery by itself, time and again, and all of them together: nothing hides anything."""
    monkeypatch.setattr(draw_sql, "DRAWS_AT_ONCE", 30)
    for number in range(24):
        with transaction.atomic():
            forger = Forger(seed * 1000 + number)
            forger.forge()
            quickly, slowly = both_ways()
            assert quickly == slowly, forger.done
            transaction.set_rollback(True)
    forger = Forger(seed)
    for _number in range(6):
        forger.forge()
    quickly, slowly = both_ways()
    assert quickly == slowly, forger.done
    findings()  # whatever else it looks at stops for nothing


@pytest.mark.postgresql
def test_a_pity_draw_that_is_said_to_be_none_is_found_by_the_database():
    """Also where the ticket would have led to the same prize, and nothing else is different."""
    person = make_person(points=10_000)
    fix_seeds(person)
    wheel = make_wheel(points_prize(probability="0.5", is_pity_prize=True), pity_threshold=2)
    draws = draw(person_id=person.pk, wheel_id=wheel.pk, count=10).draws
    victim = next(one for one in draws if one.is_pity and one.prize_id == one.landed_prize_id)
    forge_draw(victim, is_pity=False)
    quickly, slowly = both_ways()
    assert [one.object_id for one in quickly] == [f"draw {victim.pk}"]
    assert quickly == slowly
