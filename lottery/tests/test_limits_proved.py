"""Daily limits, quantities and caps are proved from the draws, by the version in force then."""

from datetime import timedelta

import pytest
from django.db.models import F

from lottery.models import Draw, Prize, Wheel, WheelVersion
from lottery.services import publishing
from lottery.services.draws import draw
from lottery.tests.factories import make_wheel, points_prize, prize_at
from lottery.tests.tables import findings
from tests.ledgers import without_triggers
from tests.people import make_person

pytestmark = pytest.mark.django_db


def drawn(wheel, count=3):
    return draw(person_id=make_person(points=1000).pk, wheel_id=wheel.pk, count=count).draws


def rewrite(version, **facts):
    """Make a version say that something else was allowed at its first prize."""
    first, *others = version.prizes
    with without_triggers(WheelVersion):
        WheelVersion.objects.filter(pk=version.pk).update(prizes=[{**first, **facts}, *others])


def test_a_limit_that_came_later_makes_earlier_draws_no_finding():
    wheel = make_wheel(points_prize("5", probability=1))
    drawn(wheel)
    Wheel.objects.update(daily_limit=2)
    publishing.publish(wheel_id=wheel.pk)
    assert findings() == []


def test_draws_above_the_limit_of_their_day_are_found():
    wheel = make_wheel(points_prize("5", probability=1))
    draws = drawn(wheel)
    with without_triggers(WheelVersion):
        WheelVersion.objects.update(daily_limit=2)
    assert findings() == [("limit", f"draw {draws[2].pk}")]


def test_the_limit_is_one_of_each_day_and_person():
    wheel = make_wheel(points_prize("5", probability=1), daily_limit=2)
    person = make_person(points=1000)
    draw(person_id=person.pk, wheel_id=wheel.pk, count=2)
    with without_triggers(Draw):  # a day goes by
        Draw.objects.update(created_at=F("created_at") - timedelta(days=1))
    draw(person_id=person.pk, wheel_id=wheel.pk, count=2)
    drawn(wheel, count=2)
    assert findings() == []


@pytest.mark.parametrize(
    ("before", "later"), [({"quantity": 9}, {"quantity": 3}), ({"daily_cap": 9}, {"daily_cap": 3})]
)
def test_a_quantity_or_cap_that_was_lowered_makes_earlier_draws_no_finding(before, later):
    wheel = make_wheel(points_prize("5", probability=1, **before))
    drawn(wheel)
    Prize.objects.filter(pk=prize_at(wheel, 0).pk).update(**later)
    publishing.publish(wheel_id=wheel.pk)
    assert findings() == []


@pytest.mark.parametrize("rule", ["quantity", "daily_cap"])
def test_a_prize_that_was_given_too_often_is_found(rule):
    wheel = make_wheel(points_prize("5", probability=1, **{rule: 9}))
    draws = drawn(wheel)
    rewrite(WheelVersion.objects.get(), **{rule: 2})
    prize = prize_at(wheel, 0)
    Prize.objects.filter(pk=prize.pk).update(**{"given": 2, f"published_{rule}": 2})
    assert set(findings()) == {(rule, f"draw {draws[2].pk}"), ("given", f"prize {prize.pk}")}


def test_a_draw_that_met_a_newer_version_may_go_by_its_cap():
    """It read its version, waited for the prize, and found the newer cap in force."""
    wheel = make_wheel(points_prize("5", probability=1, daily_cap=2))
    old = WheelVersion.objects.get()
    Prize.objects.filter(pk=prize_at(wheel, 0).pk).update(daily_cap=9)
    publishing.publish(wheel_id=wheel.pk)
    draws = drawn(wheel)
    with without_triggers(Draw):
        Draw.objects.filter(pk=draws[2].pk).update(version=old)
    assert findings() == []
