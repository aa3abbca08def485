from datetime import timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.errors import NotEnoughPoints
from accounts.models import PointsEntry, PointsSource
from catalog.errors import LimitReached, NotEnoughStock, NotOnSale, ProductNotFound
from catalog.models import (
    Order,
    OrderSource,
    OrderStatus,
    ProductStatus,
    StockEntry,
    StockOperation,
)
from catalog.services import orders
from catalog.services.virtual_codes import codes_of
from catalog.tests.factories import (
    make_order,
    make_prize_order,
    make_product,
    make_shop,
    refused_unchanged,
)
from tests.people import make_person

pytestmark = pytest.mark.django_db


def exchange(person, product, quantity=1):
    return orders.exchange(person_id=person.pk, product_id=product.pk, quantity=quantity)


def test_points_pay_for_units_of_the_stock():
    person, product = make_person(points=1000), make_product(stock=5, points_price=300)

    order = exchange(person, product, quantity=2)

    assert order.status == OrderStatus.PENDING
    assert order.source == OrderSource.EXCHANGE
    assert (order.unit_points, order.quantity, order.total_points) == (300, 2, 600)
    assert order.expires_at == order.created_at + settings.ORDER_LIFETIME
    person.refresh_from_db()
    product.refresh_from_db()
    assert person.total_points == 400
    assert (product.stock, product.stock_version, product.sales_count) == (3, 2, 2)
    paid = PointsEntry.objects.get(source=PointsSource.EXCHANGE)
    assert (paid.points, paid.related_id) == (-600, str(order.pk))
    taken = StockEntry.objects.get(operation=StockOperation.PURCHASE)
    assert (taken.quantity, taken.stock_after, taken.related_id) == (-2, 3, str(order.pk))


def test_an_order_keeps_the_deal_as_it_was():
    product = make_product(name="Tea", points_price=300)
    order = make_order(product=product)

    product.name, product.points_price = "Coffee", 999
    product.save(update_fields=["name", "points_price"])

    order.refresh_from_db()
    assert (order.product_name, order.unit_points, order.total_points) == ("Tea", 300, 300)


def test_a_virtual_product_delivers_its_codes_at_once():
    product = make_product(codes=["A-1", "A-2", "A-3"])

    first = make_order(product=product, quantity=2)
    second = make_order(product=product)

    assert first.status == second.status == OrderStatus.DELIVERED
    assert first.expires_at is None
    assert codes_of(first) == ["A-1", "A-2"]
    assert codes_of(second) == ["A-3"]
    product.refresh_from_db()
    assert product.stock == 0


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"status": ProductStatus.DRAFT}, ProductNotFound),
        ({"status": ProductStatus.INACTIVE}, ProductNotFound),
        ({"is_listed": False}, ProductNotFound),
        ({"on_sale_from": timezone.now() + timedelta(hours=1)}, NotOnSale),
        ({"on_sale_until": timezone.now() - timedelta(hours=1)}, NotOnSale),
    ],
)
def test_what_is_hidden_or_not_on_sale_cannot_be_had(fields, refusal):
    person, product = make_person(points=1000), make_product(**fields)

    with refused_unchanged(refusal):
        exchange(person, product)


def test_within_its_window_a_product_is_on_sale():
    now = timezone.now()
    window = {"on_sale_from": now - timedelta(hours=1), "on_sale_until": now + timedelta(hours=1)}

    assert make_order(product=make_product(**window)).pk


def test_a_closed_shop_sells_nothing():
    person, product = make_person(points=1000), make_product(shop=make_shop(is_open=False))

    with refused_unchanged(NotOnSale):
        exchange(person, product)


@pytest.mark.parametrize("product_id", [None, 999_999])
def test_what_is_not_there_cannot_be_had(product_id):
    with pytest.raises(ProductNotFound):
        orders.exchange(person_id=make_person().pk, product_id=product_id, quantity=1)


def test_the_limit_counts_what_a_person_kept_of_a_product():
    person, product = make_person(points=10_000), make_product(stock=10, limit_per_person=3)
    make_order(person=person, product=make_product())
    make_order(product=product)
    make_prize_order(person=person, product=product)
    cancelled = exchange(person, product, quantity=2)
    orders.cancel(person_id=person.pk, order_id=cancelled.pk)
    exchange(person, product, quantity=2)

    with refused_unchanged(LimitReached) as refused:
        exchange(person, product, quantity=2)

    assert refused.value.data == {"limit": 3, "used": 2}
    assert exchange(person, product).pk


def test_more_than_the_stock_cannot_be_had():
    person, product = make_person(points=1000), make_product(stock=1)

    with refused_unchanged(NotEnoughStock) as refused:
        exchange(person, product, quantity=2)

    assert refused.value.data == {"available_stock": 1}


def test_more_than_the_points_cannot_be_spent():
    person, product = make_person(points=50), make_product(codes=["A-1"], points_price=80)

    with refused_unchanged(NotEnoughPoints) as refused:
        exchange(person, product)

    assert refused.value.data == {"required": 80, "current": 50, "shortage": 30}


def test_refusals_come_in_the_order_of_the_contract():
    """Limit before stock, stock before points."""
    person = make_person(points=0)
    product = make_product(stock=1, limit_per_person=1)

    with pytest.raises(LimitReached):
        exchange(person, product, quantity=2)
    product.limit_per_person = None
    product.save(update_fields=["limit_per_person"])
    with pytest.raises(NotEnoughStock):
        exchange(person, product, quantity=2)
    with pytest.raises(NotEnoughPoints):
        exchange(person, product)


def test_a_missing_code_stops_the_deal():
    """Stock and codes differ only when somebody wrote past the services; nothing is taken then."""
    person, product = make_person(points=1000), make_product(codes=["A-1"])
    product.codes.all().delete()

    with refused_unchanged(NotEnoughStock) as refused:
        exchange(person, product)

    assert refused.value.data == {"available_stock": 0}


# --- Prizes -----------------------------------------------------------------------------------
def test_a_prize_takes_stock_and_costs_nothing():
    product = make_product(stock=2, is_listed=False)

    order = make_prize_order(product=product, draw_id="d1")

    assert (order.source, order.total_points, order.related_id) == (OrderSource.LOTTERY, 0, "d1")
    assert (order.shop_id, order.kind, order.product_name) == (
        product.shop_id,
        product.kind,
        "Free dessert",
    )
    product.refresh_from_db()
    assert (product.stock, product.sales_count) == (1, 0)
    taken = StockEntry.objects.get(operation=StockOperation.PRIZE)
    assert (taken.quantity, taken.related_id) == (-1, "d1")


def test_a_virtual_prize_delivers_its_code_at_once():
    order = make_prize_order(product=make_product(codes=["A-1"]))

    assert order.status == OrderStatus.DELIVERED
    assert codes_of(order) == ["A-1"]


@pytest.mark.parametrize("kind", ["physical", "coupon", "virtual"])
def test_a_prize_without_a_product_waits_at_the_counter(kind):
    shop = make_shop()

    order = make_prize_order(kind=kind, shop_id=shop.pk)

    assert (order.status, order.product_id, order.shop_id) == (OrderStatus.PENDING, None, shop.pk)


def test_a_prize_that_is_sold_out_opens_no_order():
    person, product = make_person(), make_product(stock=0)

    with refused_unchanged(NotEnoughStock):
        make_prize_order(person=person, product=product)


def test_one_draw_opens_one_order():
    make_prize_order(draw_id="d1")

    with pytest.raises(IntegrityError), transaction.atomic():
        make_prize_order(draw_id="d1")

    assert Order.objects.count() == 1


def test_a_price_that_nobody_can_pay_is_too_few_points():
    """99 units at this price are more than 31 bits hold."""
    product = make_product(stock=99, points_price=2**31 - 1)

    person = make_person(points=5)

    with refused_unchanged(NotEnoughPoints):
        make_order(person=person, product=product, quantity=99)
