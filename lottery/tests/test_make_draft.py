"""A wheel that is drawn up by a service: eight sectors, a fallback, and nobody draws on it yet."""

from decimal import Decimal
from typing import Any

import pytest

from catalog.tests.factories import make_shop
from lottery.models import Prize, PrizeType, Wheel
from lottery.odds import ANGLES
from lottery.services import publishing, wheels
from lottery.services.wheels import Sector
from ops.errors import NotFound

pytestmark = pytest.mark.django_db


def sectors(number=8, *, kind=PrizeType.EMPTY):
    facts: dict[str, Any] = {"type": PrizeType.POINTS, "value": Decimal(10), "color": "#c8261b"}
    value = Decimal(kind == PrizeType.POINTS)
    of_first = {**facts, "type": kind, "value": value}
    first = Sector(name="First", probability=Decimal("0.3"), **of_first)
    others = (
        Sector(name=f"S{at}", probability=Decimal("0.1"), is_pity_prize=at == 1, **facts)
        for at in range(1, number)
    )
    return [first, *others]


def draw_up(**facts):
    return wheels.make_draft(
        **{"name": "W", "sectors": sectors(), "cost_points": 100, "organiser": "W", **facts}
    )


def test_a_draft_has_its_prizes_in_their_sectors_and_a_fallback():
    shop = make_shop()
    wheel = draw_up(shop_id=shop.pk, daily_limit=3, pity_threshold=5)
    wheel.refresh_from_db()
    assert (wheel.shop, wheel.daily_limit, wheel.pity_threshold) == (shop, 3, 5)
    prizes = list(Prize.objects.filter(wheel=wheel).order_by("angle"))
    assert tuple(prize.angle for prize in prizes) == ANGLES
    assert [prize.name for prize in prizes[:2]] == ["First", "S1"]
    assert wheel.fallback_prize == prizes[0]
    assert prizes[1].is_pity_prize
    with pytest.raises(NotFound):
        wheels.version_in_force(wheel.pk)
    publishing.publish(wheel_id=wheel.pk)


def test_without_a_sector_of_nothing_there_is_no_fallback_yet():
    assert draw_up(sectors=sectors(kind=PrizeType.POINTS)).fallback_prize is None


@pytest.mark.parametrize("number", [7, 9])
def test_another_number_of_sectors_is_no_wheel(number):
    with pytest.raises(ValueError, match="zip"):
        draw_up(sectors=sectors(number))
    assert not Wheel.objects.exists()
