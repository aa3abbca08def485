"""GET /api/user/statistics."""

import pytest

from accounts.tests.factories import sign_in
from catalog.services import orders
from catalog.tests.factories import make_order, make_prize_order, make_product
from lottery.services.draws import draw
from lottery.tests.factories import goods_prize, make_wheel, points_prize
from reviews.tests.factories import make_receipt
from tests.api import data_of
from tests.people import give, make_person
from tests.refusals import refused

pytestmark = pytest.mark.django_db
STATISTICS = "/api/user/statistics"


def test_who_did_nothing_yet_has_zeros(api):
    sign_in(api)
    assert data_of(api.get(STATISTICS)) == {
        "draws": 0, "wins": 0, "exchanges": 0, "uploads": 0, "points_earned": 0, "points_spent": 0,
    }  # fmt: skip


def test_each_is_counted_of_the_person_alone(api):
    person, other = sign_in(api).person, make_person()
    for whose in (person, other):
        make_receipt(person=whose)
    make_receipt(person=person)
    give(person, 1000)
    draws = draw(
        person_id=person.pk, wheel_id=make_wheel(points_prize("50", probability=1)).pk, count=2
    )
    nothing = make_wheel(cost_points=5)
    draw(person_id=person.pk, wheel_id=nothing.pk, count=3)
    goods = make_wheel(goods_prize(make_product(stock=5), probability=1), cost_points=0)
    draw(person_id=person.pk, wheel_id=goods.pk, count=1)
    person.refresh_from_db()

    counted = data_of(api.get(STATISTICS))

    assert counted["draws"] == 6
    assert counted["wins"] == 3
    assert counted["uploads"] == 2
    assert counted["exchanges"] == 0, "a prize is no exchange"
    assert counted["points_earned"] == 1000 + 100
    assert counted["points_spent"] == draws.cost_points + 15
    assert counted["points_earned"] - counted["points_spent"] == person.total_points


def test_an_exchange_that_was_taken_back_is_none(api):
    person = sign_in(api).person
    give(person, 1000)
    kept = make_order(person=person)
    gone = make_order(person=person)
    make_prize_order(person=person)
    before = data_of(api.get(STATISTICS))
    assert before["exchanges"] == 2
    orders.cancel(person_id=person.pk, order_id=gone.pk)
    after = data_of(api.get(STATISTICS))
    assert after["exchanges"] == 1
    assert after["points_spent"] == kept.total_points + gone.total_points
    assert after["points_earned"] == before["points_earned"] + gone.total_points


def test_a_stranger_has_none(api):
    refused(api.get(STATISTICS), 1006)
