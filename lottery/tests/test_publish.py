"""What a draft must be to be published, and what a version is from then on."""

from decimal import Decimal

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import translation

from catalog.models import ProductKind
from catalog.tests.factories import make_product
from lottery.errors import NotPublishable
from lottery.models import Prize, PrizeType, Wheel, WheelStatus, WheelVersion
from lottery.services import wheels
from lottery.services.draws import draw
from lottery.services.publishing import publish
from lottery.tests.factories import (
    THANKS,
    goods_prize,
    make_draft,
    make_prize,
    make_wheel,
    points_prize,
    prize_at,
)
from lottery.tests.tables import everything
from ops.errors import NotFound
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


def refused_unchanged(wheel):
    """Why publishing is refused; it leaves everything as it was."""
    before = everything()
    with pytest.raises(NotPublishable) as refused:
        publish(wheel_id=wheel.pk)
    assert everything() == before
    assert refused.value.data == {"reasons": refused.value.facts["reasons"]}
    return refused.value.facts["reasons"]


def test_a_version_is_the_draft_as_it_stood():
    author, product = make_person(), make_product()
    wheel = make_draft(
        points_prize("50", probability="0.25", is_activity=True, color="#AbCdEf", quantity=7),
        goods_prize(product, probability="0.1", daily_cap=3, special_effect="fireworks"),
        {"is_pity_prize": True, "probability": "0.0001"},
        daily_limit=20,
        pity_threshold=10,
        organiser="老王川菜馆",
    )

    version = publish(wheel_id=wheel.pk, author_id=author.pk)

    assert (version.number, version.published_by_id, version.organiser) == (
        1,
        author.pk,
        "老王川菜馆",
    )
    assert (version.cost_points, version.daily_limit, version.pity_threshold) == (100, 20, 10)
    sheet = version.sheet
    assert [prize.angle for prize in sheet.prizes] == list(range(0, 360, 45))
    assert [prize.weight for prize in sheet.prizes] == [2500, 1000, 1, 0, 0, 0, 0, 6499]
    first, second, third, *_others, last = sheet.prizes
    assert (first.name, first.type, first.value) == ("Prize at 0", "points", Decimal(50))
    assert (first.is_activity, first.color, first.quantity) == (True, "#AbCdEf", 7)
    assert first.probability == Decimal("0.25")
    assert (second.product_id, second.daily_cap, second.special_effect) == (
        product.pk,
        3,
        "fireworks",
    )
    assert [prize.prize_id for prize in sheet.pity_prizes()] == [third.prize_id]
    assert sheet.fallback_prize_id == last.prize_id
    with pytest.raises(KeyError):
        sheet.prize(0)
    stored = prize_at(wheel, 0)
    assert (stored.published_quantity, stored.published_daily_cap) == (7, None)
    assert prize_at(wheel, 45).published_daily_cap == 3


def test_versions_count_from_one_and_the_newest_is_in_force():
    wheel = make_wheel()
    second = publish(wheel_id=wheel.pk)
    assert (second.number, wheels.version_in_force(wheel.pk).pk) == (2, second.pk)
    other = make_wheel()
    assert wheels.version_in_force(other.pk).number == 1


def test_a_version_brings_its_sheet(django_assert_num_queries):
    wheel = make_wheel()
    with django_assert_num_queries(1):
        version = wheels.version_in_force(wheel.pk)
        assert version.sheet is version.sheet


@pytest.mark.parametrize("change", [{"name": "Other"}, {"prizes": []}])
def test_a_version_never_changes(change):
    version = wheels.version_in_force(make_wheel().pk)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        WheelVersion.objects.filter(pk=version.pk).update(**change)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        WheelVersion.objects.filter(pk=version.pk).delete()


# --- What is refused --------------------------------------------------------------------------
def test_a_wheel_that_is_not_there_is_not_published():
    with pytest.raises(NotFound):
        publish(wheel_id=0)


def test_eight_prizes_are_wanted():
    wheel = make_draft()
    prize_at(wheel, 45).delete()
    (reason,) = refused_unchanged(wheel)
    assert reason == "A wheel has eight prizes, at 0, 45, … 315 degrees; this one has 7."


def test_an_empty_wheel_is_told_everything_at_once():
    wheel = Wheel.objects.create(name="Empty", cost_points=1)
    assert len(refused_unchanged(wheel)) == 3


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        ("0.5", "add up to 1.5000 instead of 1.0000: +0.5000"),
        ("0.0001", "add up to 1.0001 instead of 1.0000: +0.0001"),
    ],
)
def test_too_much_probability_is_refused(probability, text):
    wheel = make_draft()
    Prize.objects.filter(wheel=wheel, angle=0).update(probability=Decimal(probability))
    (reason,) = refused_unchanged(wheel)
    assert text in reason


def test_too_little_probability_is_refused():
    wheel = make_draft()
    Prize.objects.filter(wheel=wheel, angle=THANKS).update(probability=Decimal("0.9999"))
    (reason,) = refused_unchanged(wheel)
    assert "add up to 0.9999 instead of 1.0000: -0.0001" in reason


def test_the_fallback_is_a_prize_of_this_wheel():
    wheel, other = make_draft(), make_draft()
    for wrong in (other.fallback_prize, None):
        Wheel.objects.filter(pk=wheel.pk).update(fallback_prize=wrong)
        (reason,) = refused_unchanged(wheel)
        assert reason == "The fallback prize has to be one of the prizes of this wheel."


@pytest.mark.parametrize("scarcity", [{"quantity": 5}, {"daily_cap": 5}, {"is_pity_prize": True}])
def test_the_fallback_never_runs_out_and_is_no_pity_prize(scarcity):
    wheel = make_draft()
    Prize.objects.filter(pk=wheel.fallback_prize_id).update(**scarcity)
    (reason,) = refused_unchanged(wheel)
    assert reason.startswith("The fallback prize has no product")


def test_the_fallback_has_no_product():
    product = make_product()
    wheel = make_draft(goods_prize(product))
    Wheel.objects.filter(pk=wheel.pk).update(fallback_prize=prize_at(wheel, 0))
    (reason,) = refused_unchanged(wheel)
    assert reason.startswith("The fallback prize has no product")


@pytest.mark.parametrize(
    "pity",
    [
        {"is_pity_prize": False, "probability": "0.1"},
        {"is_pity_prize": True, "probability": "0"},
        {"is_pity_prize": True, "probability": "0.1", "quantity": 5},
        {"is_pity_prize": True, "probability": "0.1", "daily_cap": 5},
    ],
)
def test_pity_needs_a_prize_that_never_runs_out(pity):
    (reason,) = refused_unchanged(make_draft(points_prize(**pity), pity_threshold=10))
    assert reason.startswith("A wheel with pity has a pity prize")


def test_a_product_is_no_sure_pity_prize():
    product = make_product()
    (reason,) = refused_unchanged(
        make_draft(goods_prize(product, is_pity_prize=True, probability=1), pity_threshold=10)
    )
    assert reason.startswith("A wheel with pity has a pity prize")


@pytest.mark.parametrize(("market_price", "is_refused"), [("50000.00", False), ("50000.01", True)])
def test_no_prize_is_worth_more_than_50000_yuan(market_price, is_refused):
    wheel = make_draft(goods_prize(make_product(market_price=Decimal(market_price)), value=1))
    if is_refused:
        assert refused_unchanged(wheel) == ["Prize at 0: a prize may be worth at most 50,000 yuan."]
    else:
        assert publish(wheel_id=wheel.pk).number == 1


@pytest.mark.parametrize("value", ["0", "0.5", "12.50"])
def test_points_are_whole(value):
    assert refused_unchanged(make_draft(points_prize(value))) == [
        "Prize at 0: the value is a whole number of points from 1 on."
    ]


def test_many_points_are_no_money():
    assert publish(wheel_id=make_draft(points_prize("60000")).pk).number == 1


def test_a_virtual_prize_names_its_product():
    assert refused_unchanged(make_draft({"type": PrizeType.VIRTUAL})) == [
        "Prize at 0: a virtual prize names the product whose codes it gives."
    ]
    assert publish(wheel_id=make_draft(goods_prize(make_product(codes=["A"]))).pk).number == 1


def test_a_prize_and_its_product_are_of_one_kind():
    product = make_product(kind=ProductKind.COUPON)
    assert refused_unchanged(make_draft(goods_prize(product, type=PrizeType.VIRTUAL))) == [
        "Prize at 0: its product is of another kind."
    ]


def test_a_quantity_is_not_less_than_what_was_given():
    wheel, person = make_wheel(points_prize(quantity=5, probability=1)), make_person(points=500)
    draw(person_id=person.pk, wheel_id=wheel.pk, count=3)
    Prize.objects.filter(wheel=wheel, angle=0).update(quantity=2)
    (reason,) = refused_unchanged(wheel)
    assert reason == "Prize at 0: it was given 3 times already, more than its quantity."
    Prize.objects.filter(wheel=wheel, angle=0).update(quantity=3)
    publish(wheel_id=wheel.pk)
    drawn = draw(person_id=person.pk, wheel_id=wheel.pk, count=1)
    assert drawn.draws[0].stock_out == [prize_at(wheel, 0).pk]


@pytest.mark.parametrize("limit", [{"quantity": 5}, {"daily_cap": 5}])
def test_what_was_given_uncounted_is_not_limited_later(limit):
    """Draws are under way while this is published: their prizes would be missing in the count."""
    wheel = make_wheel(points_prize(probability="0.1"))
    Prize.objects.filter(wheel=wheel, angle=0).update(**limit)
    (reason,) = refused_unchanged(wheel)
    assert reason.startswith("Prize at 0 was given without being counted.")
    prize_at(wheel, 0).delete()
    make_prize(wheel=wheel, angle=0, **points_prize(probability=Decimal("0.1"), **limit))
    assert publish(wheel_id=wheel.pk).number == 2


# --- Constraints ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("prize_type_known", {"type": "car"}),
        ("prize_angle_of_a_sector", {"angle": 30}),
        ("prize_angle_of_a_sector", {"angle": 360}),
        ("prize_color_is_rrggbb", {"color": "red"}),
        ("prize_color_is_rrggbb", {"color": "#12345g"}),
        ("prize_probability_in_range", {"probability": "1.0001"}),
        ("prize_probability_in_range", {"probability": "-0.1"}),
        ("prize_value_not_negative", {"type": "points", "value": "-1"}),
        ("prize_value_within_the_law", {"type": "coupon", "value": "50000.01"}),
        ("prize_nothing_is_worth_nothing", {"type": "empty", "value": "1"}),
        ("prize_daily_cap_at_least_one", {"daily_cap": 0}),
        ("prize_never_given_more_often", {"published_quantity": 1, "given": 2}),
    ],
)
def test_the_database_keeps_the_rules_of_a_prize(name, fields):
    wheel = Wheel.objects.create(name="Wheel", cost_points=1)
    with pytest.raises(IntegrityError, match=name):
        make_prize(**{"wheel": wheel, "angle": 0, **fields})


def test_the_database_keeps_the_rules_of_a_prize_with_a_product():
    wheel, product = Wheel.objects.create(name="Wheel", cost_points=1), make_product()
    with pytest.raises(IntegrityError, match="prize_stock_in_one_place"), transaction.atomic():
        make_prize(wheel=wheel, angle=0, **goods_prize(product, quantity=1))
    with pytest.raises(IntegrityError, match="prize_product_only_of_goods"), transaction.atomic():
        make_prize(wheel=wheel, angle=0, product=product)
    make_prize(wheel=wheel, angle=0)
    with pytest.raises(IntegrityError, match="angle"):
        make_prize(wheel=wheel, angle=0)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("wheel_status_known", {"status": "broken"}),
        ("cost", {"cost_points": -1}),
        ("wheel_daily_limit_at_least_one", {"daily_limit": 0}),
        ("wheel_pity_threshold_at_least_one", {"pity_threshold": 0}),
        (
            "wheel_opens_before_it_closes",
            {"opens_at": "2026-02-01T00:00Z", "closes_at": "2026-02-01T00:00Z"},
        ),
    ],
)
def test_the_database_keeps_the_rules_of_a_wheel(name, fields):
    with pytest.raises(IntegrityError, match=name):
        Wheel.objects.create(**{"name": "Wheel", "cost_points": 1, **fields})


# --- Status and default -----------------------------------------------------------------------
def test_only_one_wheel_is_the_default():
    first, second = make_wheel(is_default=True), make_wheel()
    wheels.make_default(wheel_id=second.pk)
    assert wheels.version_in_force(default_wheel=True).wheel_id == second.pk
    wheels.make_default(wheel_id=second.pk)
    assert list(Wheel.objects.filter(is_default=True)) == [second]
    with pytest.raises(NotFound):
        wheels.make_default(wheel_id=0)
    with pytest.raises(IntegrityError):
        Wheel.objects.filter(pk=first.pk).update(is_default=True)


def test_a_wheel_is_paused_and_one_that_is_not_there_is_not_found():
    wheel = make_wheel()
    wheels.change_status(wheel_id=wheel.pk, status=WheelStatus.PAUSED)
    wheel.refresh_from_db()
    assert (wheel.status, str(wheel)) == (WheelStatus.PAUSED, wheel.name)
    with pytest.raises(NotFound):
        wheels.change_status(wheel_id=0, status=WheelStatus.PAUSED)


def test_versions_wheels_and_prizes_say_what_they_are():
    wheel = make_wheel()
    assert str(wheels.version_in_force(wheel.pk)) == f"{wheel.name} 1"
    assert str(prize_at(wheel, 0)) == "Prize at 0"
