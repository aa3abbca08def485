from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import PointsEntry, PointsSource
from catalog.errors import NotCancellable, OrderNotFound
from catalog.models import Order, OrderStatus, Product, StockEntry, StockOperation
from catalog.services import orders
from catalog.tests.factories import (
    make_member,
    make_order,
    make_prize_order,
    make_product,
    refused_unchanged,
)
from ops.models import AuditEntry, FailedRow
from tests.people import make_person

pytestmark = pytest.mark.django_db


def test_points_and_stock_return():
    person, product = make_person(points=1000), make_product(stock=5, points_price=300)
    order = make_order(person=person, product=product, quantity=2)

    cancelled = orders.cancel(person_id=person.pk, order_id=order.pk)

    assert cancelled.status == OrderStatus.CANCELLED
    assert cancelled.returned_at is not None
    person.refresh_from_db()
    product.refresh_from_db()
    assert person.total_points == 1000
    assert (product.stock, product.sales_count) == (5, 0)
    returned = PointsEntry.objects.get(source=PointsSource.CANCEL)
    assert (returned.points, returned.related_id) == (600, str(order.pk))
    assert StockEntry.objects.get(operation=StockOperation.CANCEL).quantity == 2


def test_an_order_is_cancelled_once():
    order = make_order()
    orders.cancel(person_id=order.person_id, order_id=order.pk)

    with refused_unchanged(NotCancellable) as refused:
        orders.cancel(person_id=order.person_id, order_id=order.pk)

    assert refused.value.data == {"status": "cancelled"}


def test_staff_cancel_for_a_customer_what_the_customer_could():
    order = make_order()
    cancelled = orders.cancel_for_customer(order_id=order.pk, author_id=make_person().pk)
    assert (cancelled.pk, cancelled.status) == (order.pk, OrderStatus.CANCELLED)
    order.person.refresh_from_db()
    assert order.person.total_points == 10_000


def test_staff_cancel_nothing_that_the_customer_could_not():
    prize, cancelled = make_prize_order(), make_order()
    orders.cancel(person_id=cancelled.person_id, order_id=cancelled.pk)
    before = AuditEntry.objects.count()
    for order in (prize, cancelled):
        with refused_unchanged(NotCancellable):
            orders.cancel_for_customer(order_id=order.pk, author_id=1)
    for unknown in (None, 999_999):
        with refused_unchanged(OrderNotFound):
            orders.cancel_for_customer(order_id=unknown, author_id=1)
    assert AuditEntry.objects.count() == before


def test_what_was_redeemed_stays_redeemed():
    order = make_order()
    orders.redeem(cashier=make_member(shop=order.shop), exchange_code=order.exchange_code)

    with refused_unchanged(NotCancellable) as refused:
        orders.cancel(person_id=order.person_id, order_id=order.pk)

    assert refused.value.data == {"status": "redeemed"}


def test_a_prize_cannot_be_cancelled():
    order = make_prize_order(product=make_product())

    with refused_unchanged(NotCancellable) as refused:
        orders.cancel(person_id=order.person_id, order_id=order.pk)

    assert refused.value.data == {"status": "pending"}


def test_delivered_codes_cannot_be_given_back():
    order = make_order(product=make_product(codes=["A-1"]))

    with refused_unchanged(NotCancellable) as refused:
        orders.cancel(person_id=order.person_id, order_id=order.pk)

    assert refused.value.data == {"status": "delivered"}


def test_somebody_elses_order_does_not_exist():
    order, person = make_order(), make_person()

    for order_id in (order.pk, 999_999, None):
        with refused_unchanged(OrderNotFound):
            orders.cancel(person_id=person.pk, order_id=order_id)


# --- Expiry -----------------------------------------------------------------------------------
def expire_in_an_hour(*some):
    Order.objects.filter(pk__in=[order.pk for order in some]).update(
        expires_at=timezone.now() + timedelta(hours=1)
    )


def test_expiry_returns_stock_and_the_points_that_were_paid():
    person, product = make_person(points=1000), make_product(stock=5)
    bought = make_order(person=person, product=product)
    won = make_prize_order(person=person, product=product)
    won_elsewhere = make_prize_order(person=person)
    fresh = make_order(person=person, product=product)
    expire_in_an_hour(bought, won, won_elsewhere)
    later = timezone.now() + timedelta(hours=2)

    assert orders.expire_orders(now=later) == 3
    assert orders.expire_orders(now=later) == 0

    statuses = dict(Order.objects.values_list("pk", "status"))
    assert statuses == {
        bought.pk: "expired",
        won.pk: "expired",
        won_elsewhere.pk: "expired",
        fresh.pk: "pending",
    }
    person.refresh_from_db()
    product.refresh_from_db()
    assert person.total_points == 900
    assert (product.stock, product.sales_count) == (4, 1)
    assert PointsEntry.objects.filter(source=PointsSource.CANCEL).count() == 1


def test_an_order_whose_time_has_not_come_stays():
    order = make_order()

    assert orders.expire_orders(now=timezone.now()) == 0

    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING


def test_an_order_that_cannot_be_returned_stops_no_other(caplog):
    broken, fine = make_order(), make_order()
    later = timezone.now() + timedelta(days=31)
    # Its ledger cannot go on: the next number is taken.
    Product.objects.filter(pk=broken.product_id).update(stock_version=0)

    assert orders.expire_orders(now=later) == 1

    broken.refresh_from_db()
    fine.refresh_from_db()
    assert (broken.status, fine.status) == (OrderStatus.PENDING, OrderStatus.EXPIRED)
    failed = FailedRow.objects.get()
    assert (failed.job, failed.row_id) == ("expire orders", str(broken.pk))
    assert "failed at row" in caplog.text
