"""check_integrity finds what somebody with the database's password might do to draws."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from accounts.models import PointsEntry, PointsSource
from accounts.services.points import change_points
from catalog.models import Order
from catalog.tests.factories import make_prize_order, make_product
from lottery.models import Draw, PityCounter, Prize, SeedPair, WheelVersion
from lottery.services import seeds
from lottery.services.draws import draw
from lottery.tests.factories import (
    draw_once,
    fix_seeds,
    goods_prize,
    make_wheel,
    points_prize,
    prize_at,
)
from lottery.tests.tables import findings
from ops.services.encryption import encrypt
from tests.ledgers import without_triggers
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def wheel():
    return make_wheel(
        points_prize("50", probability="0.3", quantity=100),
        goods_prize(make_product(stock=50), probability="0.3"),
        points_prize("1", probability="0.1", is_pity_prize=True),
        pity_threshold=5,
    )


@pytest.fixture
def draws(wheel):
    person = make_person(points=10_000)
    fix_seeds(person)
    first = draw(person_id=person.pk, wheel_id=wheel.pk, count=10).draws
    seeds.rotate(person_id=person.pk, client_seed="fixed")
    return first + draw(person_id=person.pk, wheel_id=wheel.pk, count=10).draws


def rules():
    return {rule for rule, _object_id in findings()}


def test_nothing_is_found_in_honest_draws(draws):
    other = make_person(points=300)
    draw(person_id=other.pk, wheel_id=make_wheel().pk, count=3)
    seeds.pairs_of(make_person().pk)
    assert findings() == []


def test_draws_are_append_only(draws):
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        Draw.objects.update(ticket=0)
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        Draw.objects.filter(pk=draws[0].pk).delete()


@pytest.mark.parametrize("model", [Draw, WheelVersion])
def test_a_missing_trigger_is_found(draws, model):
    with without_triggers(model):
        assert ("append-only", model._meta.db_table) in findings()
    assert findings() == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ticket": 1}, "proof"),
        ({"landed_prize_id": 0}, "proof"),
        ({"prize_id": 0}, "proof"),
        ({"is_pity": True}, "proof"),
        ({"near_miss": True}, "proof"),
        ({"stock_out": [0]}, "proof"),
        ({"value_given": Decimal("9.99")}, "proof"),
        ({"cost_points": 1}, "proof"),
        ({"cost_points": 1}, "cause"),
        ({"cost_points": 0}, "proof"),
        ({"pity_before": 90}, "pity"),
        ({"nonce": 99}, "nonces"),
    ],
)
def test_a_draw_that_was_altered_is_found(draws, change, rule):
    with without_triggers(Draw):
        Draw.objects.filter(pk=draws[10].pk).update(**change)
    assert all(getattr(draws[10], name) != value for name, value in change.items())
    assert (rule, f"draw {draws[10].pk}") in findings()


def test_a_prize_that_cannot_run_out_and_is_said_to_be_gone_is_found(draws, wheel):
    """Instead of it the fallback is given, and here the fallback was what the ticket led to."""
    victim = next(
        one
        for one in draws
        if one.landed_prize_id == wheel.fallback_prize_id and not (one.is_pity or one.stock_out)
    )
    with without_triggers(Draw):
        Draw.objects.filter(pk=victim.pk).update(stock_out=[wheel.fallback_prize_id])
    assert findings() == [("proof", f"draw {victim.pk}")]


def test_a_draw_that_was_deleted_is_found(draws):
    victim = next(one for one in draws[1:9] if one.order is None)
    with without_triggers(Draw):
        Draw.objects.filter(pk=victim.pk).delete()
    assert {"nonces", "cause"} <= rules()


def test_the_last_draw_that_was_deleted_is_found(draws):
    with without_triggers(Draw):
        Draw.objects.filter(pk=draws[-1].pk).delete()
    assert ("nonces", f"seed pair {draws[-1].seed_pair_id}") in findings()


def test_it_is_found_that_all_draws_were_deleted(draws):
    with without_triggers(Draw):
        Draw.objects.all().delete()
    PityCounter.objects.update(current=1)
    assert {"nonces", "pity", "cause", "order"} <= rules()


@pytest.mark.parametrize("person_differs", [True, False])
def test_an_order_that_belongs_to_another_draw_is_found(draws, person_differs):
    without_order = next(one for one in draws if one.order is None)
    order = make_prize_order(person=make_person() if person_differs else without_order.person)
    with without_triggers(Draw):
        Draw.objects.filter(pk=without_order.pk).update(order=order)
    assert ("order", f"draw {without_order.pk}") in findings()


@pytest.mark.parametrize(
    "wrong", [{"quantity": 99}, {"product_name": "A better one"}, {"kind": "physical"}]
)
def test_an_order_that_says_something_else_than_its_prize_is_found(wrong):
    wheel = make_wheel({"type": "coupon", "value": Decimal(5), "probability": 1})
    drawn = draw_once(make_person(points=100), wheel)
    assert findings() == []
    Order.objects.filter(pk=drawn.order_id).update(**wrong)
    assert ("order", f"draw {drawn.pk}") in findings()


def test_an_order_of_no_draw_is_found():
    order = make_prize_order()
    assert findings() == [("order", f"order {order.pk}")]


def test_an_order_that_was_taken_from_its_draw_is_found(draws):
    with_order = next(one for one in draws if one.order is not None)
    with without_triggers(Draw):
        Draw.objects.filter(pk=with_order.pk).update(order=None)
    assert ("order", f"draw {with_order.pk}") in findings()
    assert ("order", f"order {with_order.order.pk}") in findings()


def test_points_that_no_draw_accounts_for_are_found(draws):
    person = make_person()
    for related_id in ("no id at all", "00000000-0000-7000-8000-000000000000"):
        change_points(
            person_id=person.pk, points=5, source=PointsSource.PRIZE, related_id=related_id
        )
    assert sorted(findings()) == [("cause", f"entry {person.pk}/{number}") for number in (1, 2)]


def test_a_cost_that_was_not_booked_is_found(draws):
    with without_triggers(PointsEntry):
        PointsEntry.objects.filter(related_id=str(draws[3].pk), points__lt=0).delete()
    assert findings() == [("cause", f"draw {draws[3].pk}")]


def test_seeds_that_were_exchanged_are_found(draws):
    server_seed = "ab" * 32
    pair = draws[0].seed_pair
    SeedPair.objects.filter(pk=pair.pk).update(server_seed_encrypted=encrypt(server_seed))
    assert ("seed", f"seed pair {pair.pk}") in findings()
    assert "proof" in rules()


def test_a_client_seed_that_was_exchanged_is_found(draws):
    SeedPair.objects.filter(pk=draws[0].seed_pair_id).update(client_seed="another")
    assert rules() == {"proof"}


def test_a_seed_that_cannot_be_read_is_found(draws):
    pair = draws[0].seed_pair
    SeedPair.objects.filter(pk=pair.pk).update(server_seed_encrypted="broken")
    assert findings() == [("seed", f"seed pair {pair.pk}")]


def test_seeds_of_somebody_else_are_found(draws):
    pair = draws[0].seed_pair
    SeedPair.objects.filter(pk=pair.pk).update(person=make_person())
    assert findings() == [("seed", f"seed pair {pair.pk}")]


def test_a_nonce_that_was_wound_back_is_found(draws):
    pair = draws[-1].seed_pair
    SeedPair.objects.filter(pk=pair.pk).update(next_nonce=9)
    assert findings() == [("nonces", f"seed pair {pair.pk}")]


def test_pity_that_was_moved_is_found(draws, wheel):
    person_id = draws[0].person_id
    name = f"pity counter of user {person_id}, wheel {wheel.pk}"
    PityCounter.objects.update(current=90)
    assert findings() == [("pity", name)]
    PityCounter.objects.all().delete()
    assert findings() == [("pity", name)]


def test_counts_that_were_altered_are_found(draws, wheel):
    prize = prize_at(wheel, 0)
    assert prize.given > 1
    Prize.objects.filter(pk=prize.pk).update(given=prize.given - 1)
    assert findings() == [("given", f"prize {prize.pk}")]
    Prize.objects.filter(pk=prize.pk).update(given=0, published_quantity=1)
    assert findings() == [("given", f"prize {prize.pk}"), ("quantity", f"prize {prize.pk}")]


@pytest.mark.parametrize("wrong", [{"given_that_day": 0}, {"given_on": date(2026, 1, 1)}])
def test_the_count_of_a_day_that_was_altered_is_found(draws, wheel, wrong):
    prize = prize_at(wheel, 0)
    Prize.objects.filter(pk=prize.pk).update(**wrong)
    assert findings() == [("given", f"prize {prize.pk}")]


@pytest.mark.parametrize("name", ["published_quantity", "published_daily_cap"])
def test_a_prize_that_allows_itself_more_than_was_published_is_found(draws, wheel, name):
    prize = prize_at(wheel, 0)
    Prize.objects.filter(pk=prize.pk).update(**{name: 10_000})
    assert findings() == [("quantity", f"prize {prize.pk}")]


def test_a_version_that_was_altered_is_found(draws, wheel):
    version = WheelVersion.objects.get(wheel=wheel)
    prizes = [{**prize, "weight": 10_000 * (prize["angle"] == 45)} for prize in version.prizes]
    with without_triggers(WheelVersion):
        # A later process reads it anew; here another time stands for it.
        WheelVersion.objects.filter(pk=version.pk).update(
            prizes=prizes, published_at=datetime(2026, 1, 1, tzinfo=UTC)
        )
    assert "proof" in rules()


def test_a_kind_of_prize_that_does_not_exist_is_found(draws):
    version = draws[0].version
    forged = [{**prize, "type": "gold"} for prize in version.prizes]
    with without_triggers(WheelVersion):
        WheelVersion.objects.filter(pk=version.pk).update(prizes=forged)

    assert ("proof", f"version {version.pk}") in findings()


def test_an_order_belongs_to_one_draw(draws):
    order = next(one.order for one in draws if one.order)
    with pytest.raises(IntegrityError), without_triggers(Draw), transaction.atomic():
        Draw.objects.exclude(order=order).update(order=order)
    assert Order.objects.filter(pk=order.pk).count() == 1
