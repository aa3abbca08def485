"""Many at once want what there is once. Each promise has a twin that takes its guard away."""

from functools import partial
from threading import Barrier

import pytest
from django.db import IntegrityError, OperationalError, transaction

from accounts.models import PointsEntry, PointsSource, User
from catalog.models import Order, Product
from catalog.tests.factories import make_product
from lottery.errors import DailyLimitReached, NotEnoughPointsToDraw
from lottery.models import Draw, Prize, SeedPair
from lottery.models.pity_counters import PityCounterQuerySet
from lottery.models.prizes import PrizeQuerySet
from lottery.models.seeds import SeedPairQuerySet
from lottery.services import seeds
from lottery.services.draws import Drawn, draw
from lottery.services.seeds import Rotation
from lottery.tests.factories import goods_prize, make_wheel, points_prize, prize_at
from lottery.tests.tables import findings
from ops.models import IdempotencyRecord
from tests.api import client_of
from tests.people import make_person
from tests.races import RACERS, kinds, race, take_lock_away, without_constraint

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

FEW = 8  # twins: all of them hold a connection of the pool at the same time


def drawing(person, wheel, count=1):
    return partial(draw, person_id=person.pk, wheel_id=wheel.pk, count=count)


def with_seeds(*people):
    """People who looked at the wheel before: their seeds are there, and can be locked."""
    for person in people:
        seeds.pairs_of(person.pk)
    return people


# --- One balance ------------------------------------------------------------------------------
def test_one_balance_pays_for_one_draw_of_many():
    person, wheel = make_person(points=199), make_wheel()

    outcomes = race([drawing(person, wheel)] * RACERS)

    assert kinds(outcomes) == {Drawn: 1, NotEnoughPointsToDraw: RACERS - 1}
    person.refresh_from_db()
    assert person.total_points == 99
    assert PointsEntry.objects.filter(source=PointsSource.LOTTERY).count() == 1
    assert [one.nonce for one in Draw.objects.all()] == [0]
    assert findings() == []


def test_without_the_lock_many_read_the_same_balance():
    """The decisive query without its lock: eight draws would be given and one of them paid."""
    person = make_person(points=199)
    together = Barrier(FEW)

    def spend_without_lock():
        with transaction.atomic():
            balance = User.objects.get(pk=person.pk).total_points
            together.wait(30)
            assert balance >= 100
            User.objects.filter(pk=person.pk).update(total_points=balance - 100)

    assert kinds(race([spend_without_lock] * FEW)) == {type(None): FEW}
    person.refresh_from_db()
    assert person.total_points == 99


# --- One nonce after another ------------------------------------------------------------------
def test_draws_of_one_person_use_every_nonce_once():
    person, wheel = make_person(points=100_000), make_wheel(points_prize("3", probability="0.5"))

    outcomes = race([drawing(person, wheel, 2)] * RACERS)

    assert kinds(outcomes) == {Drawn: RACERS}
    assert sorted(one.nonce for one in Draw.objects.all()) == list(range(2 * RACERS))
    assert findings() == []


def test_without_the_lock_draws_want_the_same_nonce(monkeypatch):
    person, wheel = make_person(points=100_000), make_wheel()
    with_seeds(person)
    take_lock_away(monkeypatch, SeedPairQuerySet, FEW)

    outcomes = race([drawing(person, wheel)] * FEW)

    assert kinds(outcomes) == {Drawn: 1, IntegrityError: FEW - 1}


def test_draws_and_changes_of_seeds_do_not_meet():
    person, wheel = make_person(points=100_000), make_wheel()
    changing = partial(seeds.rotate, person_id=person.pk)

    outcomes = race([drawing(person, wheel), changing] * (RACERS // 2))

    assert kinds(outcomes) == {Drawn: RACERS // 2, Rotation: RACERS // 2}
    assert SeedPair.objects.filter(person=person).count() == RACERS // 2 + 2
    assert findings() == []


def test_whoever_comes_last_the_clients_seed_is_kept():
    person = make_person()
    keeping = partial(seeds.rotate, person_id=person.pk)
    sending = partial(keeping, client_seed="mine")

    outcomes = race([sending, *[keeping] * (RACERS - 1)])

    assert kinds(outcomes) == {Rotation: RACERS}
    active, _following = seeds.pairs_of(person.pk)
    assert (active.client_seed, active.client_seed_by) == ("mine", "client")
    assert SeedPair.objects.filter(person=person).count() == RACERS + 2


def test_without_the_lock_what_is_kept_is_what_the_client_replaced(monkeypatch):
    person = make_person()
    unlocked, _following = seeds.pairs_of(person.pk)
    seeds.rotate(person_id=person.pk, client_seed="mine")
    monkeypatch.setattr(seeds, "lock_active", lambda _person_id: unlocked)
    with pytest.raises(IntegrityError):
        seeds.rotate(person_id=person.pk)
    with without_constraint(SeedPair, "seedpair_one_active"):
        active = seeds.rotate(person_id=person.pk).active
        assert (active.client_seed, active.client_seed_by) == (unlocked.client_seed, "server")


def test_a_first_look_by_many_makes_one_pair():
    person = make_person()
    outcomes = race([partial(seeds.pairs_of, person.pk)] * RACERS)
    assert kinds(outcomes) == {tuple: RACERS}
    assert {tuple(pair.pk for pair in pairs) for pairs in outcomes} == {
        tuple(SeedPair.objects.order_by("pk").values_list("pk", flat=True))
    }


def test_without_the_constraint_a_first_look_makes_many():
    person = make_person()
    with (
        without_constraint(SeedPair, "seedpair_one_active"),
        without_constraint(SeedPair, "seedpair_one_next"),
    ):
        race([partial(seeds._make_missing, person.pk)] * FEW)  # all of them have looked
        assert SeedPair.objects.filter(state="active").count() == FEW


# --- The daily limit --------------------------------------------------------------------------
def test_the_daily_limit_holds_for_many_at_once():
    person, wheel = make_person(points=100_000), make_wheel(daily_limit=3)

    outcomes = race([drawing(person, wheel)] * RACERS)

    assert kinds(outcomes) == {Drawn: 3, DailyLimitReached: RACERS - 3}
    assert findings() == []


def test_without_the_lock_many_count_the_same_draws(monkeypatch):
    """With the nonces' constraint gone as well, nothing else keeps the limit."""
    person, wheel = make_person(points=100_000), make_wheel(daily_limit=2)
    draw(person_id=person.pk, wheel_id=wheel.pk, count=1)
    take_lock_away(monkeypatch, SeedPairQuerySet, FEW)
    # The counter is read after the count: nobody commits before everybody has counted.
    take_lock_away(monkeypatch, PityCounterQuerySet, FEW)
    with without_constraint(Draw, "draw_one_per_nonce"):
        assert kinds(race([drawing(person, wheel)] * FEW)) == {Drawn: FEW}


# --- The last unit ----------------------------------------------------------------------------
def test_the_last_unit_of_a_quantity_goes_to_one_of_many():
    people = [make_person(points=100) for _ in range(RACERS)]
    wheel = make_wheel(points_prize("500", probability=1, quantity=1))

    outcomes = race([drawing(person, wheel) for person in people])

    assert kinds(outcomes) == {Drawn: RACERS}
    prize = prize_at(wheel, 0)
    given = [drawn.draws[0].prize_id for drawn in outcomes]
    assert (given.count(prize.pk), given.count(wheel.fallback_prize_id)) == (1, RACERS - 1)
    assert prize.given == 1
    assert PointsEntry.objects.filter(source=PointsSource.PRIZE).count() == 1
    assert findings() == []


def test_without_the_lock_the_constraint_stops_the_others(monkeypatch):
    people = with_seeds(*[make_person(points=100) for _ in range(FEW)])
    wheel = make_wheel(points_prize("500", probability=1, quantity=1))
    take_lock_away(monkeypatch, PrizeQuerySet, FEW)

    outcomes = race([drawing(person, wheel) for person in people])

    assert kinds(outcomes) == {Drawn: 1, IntegrityError: FEW - 1}
    assert Draw.objects.count() == 1


def test_without_lock_and_constraint_the_last_unit_is_given_to_all(monkeypatch):
    people = with_seeds(*[make_person(points=100) for _ in range(FEW)])
    wheel = make_wheel(points_prize("500", probability=1, quantity=1))
    prize = prize_at(wheel, 0)
    take_lock_away(monkeypatch, PrizeQuerySet, FEW)
    with without_constraint(Prize, "prize_never_given_more_often"):
        outcomes = race([drawing(person, wheel) for person in people])
        prize.refresh_from_db()
        assert prize.given == FEW
        drawn = Draw.objects.order_by("created_at", "pk")
        too_many = {("quantity", f"draw {one.pk}") for one in drawn[1:]}
        assert set(findings()) == too_many
    assert kinds(outcomes) == {Drawn: FEW}


def test_the_last_unit_of_a_product_goes_to_one_of_many():
    people, product = [make_person(points=100) for _ in range(RACERS)], make_product(stock=1)
    wheel = make_wheel(goods_prize(product, probability=1))

    outcomes = race([drawing(person, wheel) for person in people])

    assert kinds(outcomes) == {Drawn: RACERS}
    assert sum(drawn.draws[0].order is not None for drawn in outcomes) == 1
    product.refresh_from_db()
    assert (product.stock, Order.objects.count()) == (0, 1)
    assert findings() == []


def test_without_the_lock_many_see_the_last_unit():
    """The decisive query without its lock: all of them would give the same unit."""
    product, together = make_product(stock=1), Barrier(FEW)

    def look():
        with transaction.atomic():
            stock = Product.objects.get(pk=product.pk).stock
            together.wait(30)
            Product.objects.filter(pk=product.pk).update(stock=stock - 1)
            return stock

    assert race([look] * FEW) == [1] * FEW


def test_a_daily_cap_holds_for_many_at_once():
    people = [make_person(points=100) for _ in range(20)]
    wheel = make_wheel(points_prize("5", probability=1, daily_cap=3))

    outcomes = race([drawing(person, wheel) for person in people])

    prize = prize_at(wheel, 0)
    assert [drawn.draws[0].prize_id for drawn in outcomes].count(prize.pk) == 3
    assert (prize.given, prize.given_that_day) == (3, 3)
    assert findings() == []


# --- Crossing rows ----------------------------------------------------------------------------
def test_rows_of_ten_with_crossing_prizes_do_not_wait_for_each_other():
    products = [make_product(stock=1000) for _ in range(4)]
    goods = [goods_prize(product, probability="0.2", daily_cap=1000) for product in products]
    wheel, mirrored = make_wheel(*goods), make_wheel(*goods[::-1])
    people = [make_person(points=20_000) for _ in range(10)]

    outcomes = race([drawing(person, one, 10) for person in people for one in (wheel, mirrored)])

    assert kinds(outcomes) == {Drawn: 20}
    assert findings() == []


def test_locks_taken_draw_by_draw_wait_for_each_other():
    """What would happen if each draw of a row locked its own product when its turn comes."""
    products = [make_product(), make_product()]
    together = Barrier(2)

    def row_of_draws(order):
        with transaction.atomic():
            for number, product in enumerate(order):
                list(Product.objects.filter(pk=product.pk).locked())
                if number == 0:
                    together.wait(30)

    outcomes = race([partial(row_of_draws, products), partial(row_of_draws, products[::-1])])

    assert kinds(outcomes) == {type(None): 1, OperationalError: 1}
    assert "deadlock" in str(next(one for one in outcomes if one))


# --- One Idempotency-Key ----------------------------------------------------------------------
def posting(person, wheel, key):
    client = client_of(person, headers={"Idempotency-Key": key})
    return partial(client.post, "/api/lottery/draw", {"wheel_id": wheel.pk, "count": 2})


def test_one_key_draws_once_and_answers_all():
    person, wheel = make_person(points=100_000), make_wheel()

    responses = race([posting(person, wheel, "one")] * RACERS)

    assert {response.status_code for response in responses} == {200}
    assert sum("Idempotent-Replay" not in response for response in responses) == 1
    assert len({response.content for response in responses}) == 1
    assert Draw.objects.count() == 2
    assert findings() == []


def test_without_the_constraint_one_key_draws_many_times():
    person, wheel = make_person(points=100_000), make_wheel()
    with without_constraint(IdempotencyRecord, "idempotencyrecord_one_effect"):
        race([posting(person, wheel, "one")] * FEW)
        assert Draw.objects.count() == 2 * FEW
