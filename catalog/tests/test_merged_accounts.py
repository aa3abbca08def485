"""What becomes of orders when two accounts are merged: they stay, and go on as the survivor's."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import PointsEntry, User
from accounts.services import profile
from accounts.tests.factories import merge_into
from catalog.errors import LimitReached, OrderNotFound
from catalog.models import Order, OrderStatus, ShopRole
from catalog.services import members, orders
from catalog.tests.factories import make_member, make_order, make_prize_order, make_product
from ops.errors import NotAllowed
from ops.services import integrity
from tests.api import client_of, data_of
from tests.console import refused_unchanged
from tests.people import make_person

pytestmark = pytest.mark.django_db
ORDERS = "/api/exchange/orders"


@pytest.fixture
def survivor():
    return make_person(points=1000)


@pytest.fixture
def merged():
    return make_person(points=5000)


def nothing_is_wrong():
    names = ("points", "merges", "orders", "stock")
    return [list(integrity.run(name)) for name in names] == [[]] * len(names)


def test_orders_are_shown_as_ones_own_with_their_codes_and_never_move(survivor, merged):
    product = make_product(codes=["SECRET-1", "SECRET-2"])
    delivered, pending = make_order(person=merged, product=product), make_order(person=merged)
    rows = list(Order.objects.order_by("pk").values())
    merge_into(survivor, merged)

    client = client_of(survivor)
    told = {one["exchange_id"]: one for one in data_of(client.get(ORDERS))["items"]}
    assert set(told) == {delivered.pk, pending.pk}
    assert told[delivered.pk]["delivered"] == ["SECRET-1"]
    assert data_of(client.get(f"{ORDERS}/{delivered.pk}"))["delivered"] == ["SECRET-1"]
    assert told[pending.pk]["exchange_code"] == pending.exchange_code
    assert profile.statistics(survivor)["exchanges"] == 2
    assert list(Order.objects.order_by("pk").values()) == rows
    assert nothing_is_wrong()


def test_they_are_nobody_elses(survivor, merged):
    order = make_order(person=merged)
    merge_into(survivor, merged)
    stranger = make_person()
    assert data_of(client_of(stranger).get(ORDERS))["items"] == []
    for act in (orders.own_order, orders.cancel):
        with refused_unchanged(), pytest.raises(OrderNotFound):
            act(person_id=stranger.pk, order_id=order.pk)


def test_a_code_stays_good_at_the_counter(survivor, merged):
    order = make_order(person=merged)
    cashier = make_member(shop=order.shop)
    merge_into(survivor, merged)
    assert orders.redeem(cashier=cashier, exchange_code=order.exchange_code) == order
    assert nothing_is_wrong()


def test_a_cashier_hands_nothing_over_to_their_own_merged_account(survivor, merged):
    order = make_order(person=merged)
    merge_into(survivor, merged)
    members.join(shop_id=order.shop_id, person=survivor, role=ShopRole.CASHIER)
    with refused_unchanged(), pytest.raises(NotAllowed):
        orders.redeem(cashier=survivor, exchange_code=order.exchange_code)


def how_it_returns(order, survivor, how):
    if how == "cancel":
        orders.cancel(person_id=survivor.pk, order_id=order.pk)
    elif how == "by staff":
        orders.cancel_for_customer(order_id=order.pk)
    else:
        Order.objects.filter(pk=order.pk).update(expires_at=timezone.now() - timedelta(days=1))
        assert orders.expire_orders(now=timezone.now()) == 1


@pytest.mark.parametrize("how", ["cancel", "by staff", "expiry"])
def test_points_return_to_the_account_that_goes_on(survivor, merged, how):
    order = make_order(person=merged)
    paid = order.total_points
    merge_into(survivor, merged)
    assert survivor.total_points == 6000 - paid

    how_it_returns(order, survivor, how)

    order.refresh_from_db()
    assert (order.person, order.returned_to) == (merged, survivor)
    assert User.objects.get(pk=survivor.pk).total_points == 6000
    assert User.objects.get(pk=merged.pk).total_points == 0
    entry = PointsEntry.objects.get(source="cancel")
    assert (entry.user_id, entry.related_id) == (survivor.pk, str(order.pk))
    assert nothing_is_wrong()


def test_points_that_returned_before_move_with_the_others(survivor, merged):
    order = make_order(person=merged)
    orders.cancel(person_id=merged.pk, order_id=order.pk)
    merge_into(survivor, merged)
    order.refresh_from_db()
    assert (order.returned_to, survivor.total_points) == (None, 6000)
    assert nothing_is_wrong()


def test_points_follow_through_two_merges(survivor, merged):
    first, second = make_order(person=merged), make_order(person=merged)
    last = make_person()
    merge_into(survivor, merged)
    orders.cancel(person_id=survivor.pk, order_id=first.pk)
    merge_into(last, survivor)
    orders.cancel(person_id=last.pk, order_id=second.pk)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.returned_to, second.returned_to) == (survivor, last)
    assert User.objects.get(pk=last.pk).total_points == 6000
    assert nothing_is_wrong()


def test_a_prize_stays_good_and_has_no_points_to_return(survivor, merged):
    order = make_prize_order(person=merged)
    merge_into(survivor, merged)
    how_it_returns(order, survivor, "expiry")
    order.refresh_from_db()
    assert (order.status, order.returned_to) == (OrderStatus.EXPIRED, None)


def test_the_limit_per_person_counts_both_accounts(survivor, merged):
    product = make_product(limit_per_person=2, points_price=10)
    make_order(person=merged, product=product)
    make_order(person=survivor, product=product)
    merge_into(survivor, merged)
    with refused_unchanged(), pytest.raises(LimitReached):
        make_order(person=survivor, product=product)
