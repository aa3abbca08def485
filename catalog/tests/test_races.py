"""Many at once want what there is once. Each promise has a twin that takes its guard away."""

import threading
from functools import partial

import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.errors import NotEnoughPoints
from accounts.models import PointsEntry, PointsSource
from accounts.models.people import UserQuerySet
from catalog import integrity
from catalog.errors import AlreadyRedeemed, LimitReached, NotCancellable, NotEnoughStock
from catalog.models import Order, OrderStatus, StockEntry, StockOperation, VirtualCode
from catalog.models.products import ProductQuerySet
from catalog.models.virtual_codes import VirtualCodeQuerySet
from catalog.services import orders
from catalog.services.virtual_codes import codes_of
from catalog.tests.factories import make_member, make_order, make_product
from ops.models import IdempotencyRecord
from tests.api import answer_of, client_of
from tests.people import make_person
from tests.races import kinds, race, take_lock_away, without_constraint

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

MANY = 50
FEW = 8  # twins: all of them hold a connection of the pool at the same time


def buying(person, product, quantity=1):
    return partial(orders.exchange, person_id=person.pk, product_id=product.pk, quantity=quantity)


def nothing_is_wrong():
    return not [*integrity.stock_adds_up(), *integrity.orders_are_settled()]


# --- The last item ----------------------------------------------------------------------------
def test_the_last_item_goes_to_one_of_many():
    product = make_product(stock=1, points_price=100)
    people = [make_person(points=150) for _ in range(MANY)]

    outcomes = race([buying(person, product) for person in people])

    assert kinds(outcomes) == {Order: 1, NotEnoughStock: MANY - 1}
    product.refresh_from_db()
    assert (product.stock, product.sales_count) == (0, 1)
    for person in people:
        person.refresh_from_db()
    assert sorted(person.total_points for person in people) == [50] + [150] * (MANY - 1)
    assert StockEntry.objects.filter(operation=StockOperation.PURCHASE).count() == 1
    assert PointsEntry.objects.filter(source=PointsSource.EXCHANGE).count() == 1
    assert nothing_is_wrong()


def test_without_the_lock_many_see_the_last_item(monkeypatch):
    """Everybody passes the friendly check; the constraints alone stop the others."""
    product = make_product(stock=1)
    people = [make_person(points=100) for _ in range(FEW)]
    take_lock_away(monkeypatch, ProductQuerySet, FEW)

    outcomes = race([buying(person, product) for person in people])

    assert kinds(outcomes) == {Order: 1, IntegrityError: FEW - 1}
    assert nothing_is_wrong()


# --- One balance ------------------------------------------------------------------------------
def test_one_balance_is_spent_once():
    person = make_person(points=350)
    # Products of their own: the lock on a product must not be what keeps the threads apart.
    products = [make_product(stock=5, points_price=100) for _ in range(MANY)]

    outcomes = race([buying(person, product) for product in products])

    assert kinds(outcomes) == {Order: 3, NotEnoughPoints: MANY - 3}
    person.refresh_from_db()
    assert person.total_points == 50
    assert nothing_is_wrong()


def test_without_the_lock_one_balance_is_seen_by_many(monkeypatch):
    person = make_person(points=100)
    products = [make_product(stock=5, points_price=100) for _ in range(FEW)]
    take_lock_away(monkeypatch, UserQuerySet, FEW)

    outcomes = race([buying(person, product) for product in products])

    assert kinds(outcomes) == {Order: 1, IntegrityError: FEW - 1}
    assert nothing_is_wrong()


# --- The limit per person ---------------------------------------------------------------------
def test_the_limit_holds_against_one_person_in_many_places():
    person, product = make_person(points=10_000), make_product(stock=99, limit_per_person=3)

    outcomes = race([buying(person, product) for _ in range(20)])

    assert kinds(outcomes) == {Order: 3, LimitReached: 17}
    assert nothing_is_wrong()


def test_without_the_products_lock_the_limit_does_not_hold(monkeypatch):
    """No constraint knows the limit: were it not for the ledger's, all would get through."""
    person, product = make_person(points=10_000), make_product(stock=99, limit_per_person=1)
    take_lock_away(monkeypatch, ProductQuerySet, FEW)

    with without_constraint(StockEntry, "stockentry_one_sequence"):
        outcomes = race([buying(person, product) for _ in range(FEW)])

        assert kinds(outcomes) == {Order: FEW}


# --- One Idempotency-Key ----------------------------------------------------------------------
def submit_with_one_key(person, product):
    response = client_of(person).post(
        "/api/exchange/submit",
        {"product_id": product.pk},
        headers={"Idempotency-Key": "one-key"},
    )
    return answer_of(response)


def test_one_key_buys_once():
    person, product = make_person(points=10_000), make_product(stock=99, points_price=100)

    first, *others = race([partial(submit_with_one_key, person, product)] * MANY)

    assert (first.status, first.code) == (200, 0)
    assert others == [first] * (MANY - 1)
    assert Order.objects.count() == 1
    person.refresh_from_db()
    assert person.total_points == 9900
    assert nothing_is_wrong()


def test_without_the_constraint_one_key_buys_often():
    person, product = make_person(points=10_000), make_product(stock=99, points_price=100)

    with without_constraint(IdempotencyRecord, "idempotencyrecord_one_effect"):
        race([partial(submit_with_one_key, person, product)] * FEW)

    assert Order.objects.count() > 1


# --- At the counter ---------------------------------------------------------------------------
def test_a_code_is_redeemed_once_by_many_counters():
    order = make_order()
    cashiers = [make_member(shop=order.shop) for _ in range(20)]

    outcomes = race(
        [
            partial(orders.redeem, cashier=cashier, exchange_code=order.exchange_code)
            for cashier in cashiers
        ]
    )

    assert kinds(outcomes) == {Order: 1, AlreadyRedeemed: 19}
    order.refresh_from_db()
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Order)]
    assert order.redeemed_by == winner.redeemed_by


def test_looking_first_and_writing_then_redeems_often():
    """The twin of the conditional UPDATE: the status is read, and the row written regardless."""
    order = make_order()
    cashiers = [make_member(shop=order.shop) for _ in range(FEW)]
    together = threading.Barrier(FEW)

    def redeem(cashier):
        found = Order.objects.get(exchange_code=order.exchange_code)
        is_pending = found.status == OrderStatus.PENDING
        together.wait(30)
        return is_pending and Order.objects.filter(pk=found.pk).update(
            status=OrderStatus.REDEEMED, redeemed_at=timezone.now(), redeemed_by=cashier
        )

    assert race([partial(redeem, cashier) for cashier in cashiers]) == [1] * FEW


def test_an_order_is_taken_back_once_or_redeemed():
    order = make_order()
    before = order.person.total_points
    cashiers = [make_member(shop=order.shop) for _ in range(10)]
    cancelling = partial(orders.cancel, person_id=order.person_id, order_id=order.pk)

    outcomes = race(
        [cancelling] * 10
        + [
            partial(orders.redeem, cashier=cashier, exchange_code=order.exchange_code)
            for cashier in cashiers
        ]
    )

    assert kinds(outcomes)[Order] == 1
    order.refresh_from_db()
    order.person.refresh_from_db()
    is_cancelled = order.status == OrderStatus.CANCELLED
    assert order.person.total_points == before + (order.total_points if is_cancelled else 0)
    if is_cancelled:
        assert kinds(outcomes)[NotCancellable] == 9
    assert nothing_is_wrong()


# --- Codes ------------------------------------------------------------------------------------
def test_no_code_is_delivered_twice():
    codes = [f"CODE-{number}" for number in range(30)]
    product = make_product(codes=codes, points_price=1)
    people = [make_person(points=10) for _ in range(MANY)]

    outcomes = race([buying(person, product) for person in people])

    assert kinds(outcomes) == {Order: 30, NotEnoughStock: MANY - 30}
    delivered = [code for order in Order.objects.all() for code in codes_of(order)]
    assert sorted(delivered) == sorted(codes)
    assert nothing_is_wrong()


def test_without_any_lock_one_code_is_meant_for_many(monkeypatch):
    """The locks on product and code gone, everybody reads the same first code.

    The conditional UPDATE (`free()`) still gives it to one; the others find none left.
    """
    product = make_product(codes=[f"CODE-{number}" for number in range(FEW)], points_price=1)
    people = [make_person(points=10) for _ in range(FEW)]
    take_lock_away(monkeypatch, ProductQuerySet, FEW)
    take_lock_away(monkeypatch, VirtualCodeQuerySet, FEW)

    outcomes = race([buying(person, product) for person in people])

    assert kinds(outcomes) == {Order: 1, NotEnoughStock: FEW - 1}
    assert VirtualCode.objects.free().count() == FEW - 1


def test_writing_regardless_delivers_one_code_to_many():
    """The twin of the conditional UPDATE: the last order to write takes the code from the first."""
    product = make_product(codes=["CODE-1"])
    orders_of_others = [make_order(product=make_product(codes=["X"])) for _ in range(FEW)]
    together = threading.Barrier(FEW)

    def deliver(order):
        code = VirtualCode.objects.free().get(product=product)
        together.wait(30)
        VirtualCode.objects.filter(pk=code.pk).update(order=order, delivered_at=timezone.now())
        return code.pk

    delivered = race([partial(deliver, order) for order in orders_of_others])

    assert len(delivered) == FEW
    assert len(set(delivered)) == 1
