"""The draw by its service: what it costs and what it gives."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.models import PointsEntry, PointsSource, User
from catalog.models import OrderStatus, ProductKind, StockEntry, StockOperation
from catalog.tests.factories import make_product, make_shop
from lottery.models import Draw, PityCounter, Prize, PrizeType, SeedPair
from lottery.models.draws import new_draw_id
from lottery.services import publishing
from lottery.services.draws import draw
from lottery.tests.factories import (
    THANKS,
    draw_once,
    fix_seeds,
    goods_prize,
    make_wheel,
    points_prize,
    prize_at,
)
from lottery.tests.tables import findings
from tests.ledgers import without_triggers
from tests.people import make_person

pytestmark = pytest.mark.django_db


def angles(wheel, draws):
    by_id = dict(Prize.objects.filter(wheel=wheel).values_list("pk", "angle"))
    return [by_id[one.prize_id] for one in draws]


# --- Cost and prize ---------------------------------------------------------------------------
def test_a_draw_costs_its_points_and_nothing_else():
    person, wheel = make_person(points=150), make_wheel()

    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=1)

    entry = PointsEntry.objects.get(source=PointsSource.LOTTERY)
    assert (entry.user_id, entry.points, entry.related_id) == (
        person.pk,
        -100,
        str(drawn.draws[0].pk),
    )
    assert (drawn.cost_points, drawn.total_points, drawn.points_version) == (100, 50, 2)
    assert (drawn.remaining_today, drawn.pity_current) == (None, 1)
    (stored,) = Draw.objects.all()
    assert (stored.prize_id, stored.order, stored.nonce) == (wheel.fallback_prize_id, None, 0)
    assert (stored.cost_points, stored.value_given) == (100, Decimal(0))
    assert not PointsEntry.objects.filter(source=PointsSource.PRIZE).exists()
    assert findings() == []


def test_a_prize_of_points_is_credited_with_an_entry_of_its_own():
    person = make_person(points=300)
    wheel = make_wheel(points_prize("250", probability=1))

    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=3)

    entries = PointsEntry.objects.exclude(source=PointsSource.REGISTER).order_by("sequence")
    assert [(entry.source, entry.points) for entry in entries] == [
        (PointsSource.LOTTERY, -100),
        (PointsSource.PRIZE, 250),
    ] * 3
    ids = [str(one.pk) for one in drawn.draws for _twice in range(2)]
    assert [entry.related_id for entry in entries] == ids
    assert (drawn.total_points, drawn.points_version) == (750, 7)
    assert User.objects.get(pk=person.pk).total_points == 750
    assert findings() == []


def test_a_free_draw_writes_no_cost():
    person, wheel = make_person(), make_wheel(cost_points=0)

    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=10)

    assert (drawn.cost_points, drawn.total_points, drawn.points_version) == (0, 0, 0)
    assert not PointsEntry.objects.exists()
    assert findings() == []


def test_a_prize_with_a_product_takes_its_stock_and_opens_an_order():
    person, product = make_person(points=100), make_product(stock=3, is_listed=False)
    wheel = make_wheel(goods_prize(product, probability=1, name="Dumplings"))

    one = draw_once(person, wheel)

    product.refresh_from_db()
    assert product.stock == 2
    entry = StockEntry.objects.get(operation=StockOperation.PRIZE)
    assert (entry.product_id, entry.quantity, entry.related_id) == (product.pk, -1, str(one.pk))
    assert (one.order.person_id, one.order.product_id) == (person.pk, product.pk)
    assert (one.order.product_name, one.order.shop_id) == ("Dumplings", product.shop_id)
    assert Draw.objects.get().order_id == one.order.pk
    assert findings() == []


def test_a_virtual_prize_delivers_its_code():
    person, product = make_person(points=100), make_product(codes=["A-1", "A-2"])
    wheel = make_wheel(goods_prize(product, probability=1))

    one = draw_once(person, wheel)

    assert one.order.status == OrderStatus.DELIVERED
    assert one.order.codes.count() == 1
    assert findings() == []


def test_a_prize_without_a_product_is_collected_at_the_wheels_shop():
    person, shop = make_person(points=100), make_shop()
    wheel = make_wheel({"type": PrizeType.COUPON, "value": "5", "probability": 1}, shop=shop)

    order = draw_once(person, wheel).order

    assert (order.shop_id, order.product_id, order.kind) == (shop.pk, None, ProductKind.COUPON)
    assert order.status == OrderStatus.PENDING
    assert findings() == []


def test_what_the_draw_was_is_kept_and_later_edits_change_nothing():
    person = make_person(points=1000)
    wheel = make_wheel(points_prize("50", probability=1), organiser="Before")
    one = draw_once(person, wheel)
    prize = prize_at(wheel, 0)
    prize.value, prize.name = Decimal(70), "Renamed"
    prize.save()
    wheel.cost_points = 1
    wheel.save()

    still = draw_once(person, wheel)

    assert (still.version_id, still.cost_points, still.value_given) == (one.version_id, 100, 50)
    version = publishing.publish(wheel_id=wheel.pk)
    new = draw_once(person, wheel)
    assert (new.version_id, new.cost_points, new.value_given) == (version.pk, 1, 70)
    assert one.version.sheet.prize(prize.pk).name == "Prize at 0"
    assert findings() == []


def test_the_default_wheel_is_meant_when_none_is_named():
    person, wheel = make_person(points=100), make_wheel(is_default=True)
    make_wheel()
    assert draw(person_id=person.pk, default_wheel=True, count=1).version.wheel_id == wheel.pk


# --- Nonces and ids ---------------------------------------------------------------------------
def test_every_draw_takes_the_next_nonce_whatever_its_wheel():
    person = make_person(points=10_000)
    for count in (1, 10, 3):
        draw(person_id=person.pk, wheel_id=make_wheel().pk, count=count)
    nonces = Draw.objects.order_by("id").values_list("nonce", flat=True)
    assert list(nonces) == list(range(14))
    assert SeedPair.objects.get(person=person, state="active").next_nonce == 14
    assert findings() == []


def test_ids_are_version_7_and_sort_by_time():
    ids = [new_draw_id() for _ in range(500)]
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert all(earlier.int >> 64 <= later.int >> 64 for earlier, later in pairwise(ids))
    assert abs((ids[0].int >> 80) / 1000 - datetime.now(UTC).timestamp()) < 60
    assert len(set(ids)) == 500


# --- One draw after another -------------------------------------------------------------------
def test_the_next_draw_starts_from_the_quantity_the_one_before_left():
    person = make_person(points=1000)
    wheel = make_wheel(points_prize("1", probability=1, quantity=3))

    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=5)

    prize = prize_at(wheel, 0)
    assert angles(wheel, drawn.draws) == [0, 0, 0, THANKS, THANKS]
    assert [one.stock_out for one in drawn.draws] == [[], [], [], [prize.pk], [prize.pk]]
    assert {one.landed_prize_id for one in drawn.draws} == {prize.pk}
    assert (prize.given, prize.given_that_day) == (3, 3)
    assert draw_once(person, wheel).stock_out == [prize.pk]
    assert findings() == []


def test_the_next_draw_starts_from_the_stock_the_one_before_left():
    person, product = make_person(points=1000), make_product(stock=2)
    wheel = make_wheel(
        goods_prize(product, probability="0.5"), goods_prize(product, probability="0.5")
    )

    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=6)

    assert [bool(one.order) for one in drawn.draws] == [True] * 2 + [False] * 4
    assert angles(wheel, drawn.draws)[2:] == [THANKS] * 4
    product.refresh_from_db()
    assert product.stock == 0
    assert findings() == []


def test_a_daily_cap_holds_for_the_day_and_no_longer():
    person = make_person(points=1000)
    wheel = make_wheel(points_prize("1", probability=1, daily_cap=2))

    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=3)
    assert angles(wheel, drawn.draws) == [0, 0, THANKS]

    prize = prize_at(wheel, 0)
    with without_triggers(Draw):  # a day goes by
        Draw.objects.update(created_at=F("created_at") - timedelta(days=1))
        Prize.objects.update(given_on=prize.given_on - timedelta(days=1))
    assert angles(wheel, [draw_once(person, wheel)]) == [0]
    prize.refresh_from_db()
    assert (prize.given, prize.given_that_day) == (3, 1)
    assert prize.given_on == timezone.localdate()
    assert findings() == []


def test_quantity_and_cap_limit_together():
    person = make_person(points=1000)
    wheel = make_wheel(points_prize("1", probability=1, daily_cap=5, quantity=2))
    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=3)
    assert angles(wheel, drawn.draws) == [0, 0, THANKS]


def test_a_product_and_a_cap_limit_together():
    person, product = make_person(points=1000), make_product(stock=5)
    wheel = make_wheel(goods_prize(product, probability=1, daily_cap=2))
    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=3)
    assert angles(wheel, drawn.draws) == [0, 0, THANKS]
    assert findings() == []


def test_a_counted_prize_that_was_taken_off_the_draft_is_given_no_more():
    person = make_person(points=1000)
    wheel = make_wheel(points_prize("1", probability=1, quantity=3))
    prize = prize_at(wheel, 0)
    gone_id = prize.pk
    prize.delete()
    one = draw_once(person, wheel)
    assert (angles(wheel, [one]), one.stock_out) == ([THANKS], [gone_id])


def test_lifting_a_quantity_takes_effect_with_the_next_version():
    person = make_person(points=1000)
    wheel = make_wheel(points_prize("1", probability=1, quantity=1))
    draw_once(person, wheel)
    Prize.objects.filter(wheel=wheel, angle=0).update(quantity=None)
    assert angles(wheel, [draw_once(person, wheel)]) == [THANKS]
    publishing.publish(wheel_id=wheel.pk)
    assert angles(wheel, [draw_once(person, wheel)]) == [0]
    assert findings() == []


def test_a_draw_that_still_reads_the_version_before_meets_no_limit_that_was_lifted():
    """The row decides, not the sheet: it was published between reading and locking."""
    person = make_person(points=1000)
    wheel = make_wheel(points_prize("1", probability=1, quantity=0))
    Prize.objects.filter(wheel=wheel, angle=0).update(published_quantity=None)
    assert angles(wheel, [draw_once(person, wheel)]) == [0]


# --- Pity -------------------------------------------------------------------------------------
def test_the_threshold_draw_gives_the_pity_prize_and_the_counter_returns():
    person = make_person(points=5000)
    fix_seeds(person)
    wheel = make_wheel(
        {}, {}, points_prize("1", probability="0.0001", is_pity_prize=True), pity_threshold=4
    )

    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=10)
    more = draw(person_id=person.pk, wheel_id=wheel.pk, count=2)

    draws = [*drawn.draws, *more.draws]
    assert [one.is_pity for one in draws] == [False, False, False, True] * 3
    assert [one.pity_before for one in draws] == [0, 1, 2, 3] * 3
    assert [angle == 90 for angle in angles(wheel, draws)] == [False, False, False, True] * 3
    assert (drawn.pity_current, more.pity_current) == (2, 0)
    assert PityCounter.objects.get().current == 0
    assert findings() == []


def test_pity_prizes_run_out_within_a_row_and_the_sure_one_stays():
    person, product = make_person(points=5000), make_product(stock=2)
    fix_seeds(person)
    wheel = make_wheel(
        goods_prize(product, probability="0.5", is_pity_prize=True),
        points_prize("1", probability="0.0001", is_pity_prize=True),
        pity_threshold=1,
    )

    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=10)

    assert all(one.is_pity for one in drawn.draws)
    assert sum(one.order is not None for one in drawn.draws) == 2
    scarce = prize_at(wheel, 0).pk
    assert drawn.draws[-1].stock_out == [scarce]
    assert findings() == []


def test_a_pity_draw_reaches_scarce_prizes_that_no_ticket_landed_on():
    person, product = make_person(points=5000), make_product(stock=2)
    fix_seeds(person)
    wheel = make_wheel(
        goods_prize(product, probability="0.0002", is_pity_prize=True),
        points_prize("1", probability="0.0001", is_pity_prize=True, quantity=2),
        points_prize("1", probability="0.0001", is_pity_prize=True),
        pity_threshold=3,
    )

    draws = draw(person_id=person.pk, wheel_id=wheel.pk, count=3).draws  # the last one is lucky
    for _again in range(2):
        draws += draw(person_id=person.pk, wheel_id=wheel.pk, count=9).draws

    assert {one.landed_prize_id for one in draws} == {wheel.fallback_prize_id}
    lucky = [one for one in draws if one.is_pity]
    assert len(lucky) == 7
    assert sum(one.order is not None for one in draws) == 2
    assert lucky[0].stock_out == []
    assert findings() == []


def test_every_person_and_wheel_has_a_counter_of_its_own():
    first, second = make_person(points=1000), make_person(points=1000)
    one, other = make_wheel(), make_wheel()
    draw(person_id=first.pk, wheel_id=one.pk, count=2)
    draw(person_id=first.pk, wheel_id=other.pk, count=3)
    draw(person_id=second.pk, wheel_id=one.pk, count=4)
    counters = {(row.person_id, row.wheel_id): row.current for row in PityCounter.objects.all()}
    assert counters == {
        (first.pk, one.pk): 2,
        (first.pk, other.pk): 3,
        (second.pk, one.pk): 4,
    }
    assert findings() == []


def test_near_miss_is_kept():
    person = make_person(points=1000)
    wheel = make_wheel({"is_activity": True})
    assert draw_once(person, wheel).near_miss is True
    assert draw_once(person, make_wheel({}, {"is_activity": True})).near_miss is False
