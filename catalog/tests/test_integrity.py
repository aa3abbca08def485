from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import F

from accounts.models import PointsSource
from accounts.services.points import change_points
from catalog import integrity
from catalog.models import Order, Product, StockEntry, StockOperation, VirtualCode
from catalog.services import orders
from catalog.services.stock import Change, change_stock, write_entries
from catalog.tests.factories import (
    make_member,
    make_order,
    make_prize_order,
    make_product,
)
from ops.chain import GENESIS_HASH
from tests.ledgers import without_triggers
from tests.people import make_person

pytestmark = pytest.mark.django_db


def stock_findings():
    return [(found.rule, found.object_id) for found in integrity.stock_adds_up()]


def order_findings():
    return {(found.rule, found.object_id) for found in integrity.orders_are_settled()}


def let_entries_be_altered():
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("DROP FUNCTION catalog_stockentry_append_only CASCADE")
        else:
            cursor.execute("DROP TRIGGER catalog_stockentry_no_update")
            cursor.execute("DROP TRIGGER catalog_stockentry_no_delete")


def test_a_sound_database_is_found_sound():
    person, product = make_person(points=1000), make_product()
    redeemed = make_order(person=person, product=product)
    orders.redeem(cashier=make_member(shop=product.shop), exchange_code=redeemed.exchange_code)
    cancelled = make_order(person=person, product=product)
    orders.cancel(person_id=person.pk, order_id=cancelled.pk)
    make_order(product=make_product(codes=["A-1", "A-2"]), quantity=2)
    won = make_prize_order(product=product)
    make_prize_order()
    orders.expire_orders(now=won.expires_at)

    assert stock_findings() == []
    assert order_findings() == set()


def test_stock_that_differs_from_its_ledger_is_found():
    product = make_product(stock=5)
    Product.objects.update(stock=6)

    assert stock_findings() == [("balance", f"product {product.pk}")]


def test_stock_without_any_entry_is_found():
    product = make_product(stock=0)
    Product.objects.update(stock=1)

    assert stock_findings() == [("balance", f"product {product.pk}")]


def test_an_altered_ledger_and_its_missing_trigger_are_found():
    product = make_product(stock=5)
    let_entries_be_altered()
    StockEntry.objects.update(quantity=4)

    assert set(stock_findings()) == {
        ("append-only", "catalog_stockentry"),
        ("balance", f"stock entry {product.pk}/1"),
        ("hash", f"stock entry {product.pk}/1"),
    }


def test_an_entry_that_was_taken_out_is_missed():
    product = make_product(stock=5)
    make_order(product=product)
    make_order(product=product)
    let_entries_be_altered()
    StockEntry.objects.filter(sequence=2).delete()

    assert ("sequence", f"stock entry {product.pk}/3") in stock_findings()
    assert ("chain", f"stock entry {product.pk}/3") in stock_findings()


def test_codes_that_differ_from_the_stock_are_found():
    product = make_product(codes=["A-1", "A-2"])
    VirtualCode.objects.earliest("pk").delete()

    assert stock_findings() == [("codes", f"product {product.pk}")]


def test_an_order_that_was_not_paid_as_it_says_is_found():
    order = make_order()
    Order.objects.update(unit_points=F("unit_points") + 1, total_points=F("total_points") + 1)

    entry = f"entry {order.person_id}/2"
    assert order_findings() == {("cause", f"order {order.pk}"), ("cause", entry)}


def test_an_order_that_took_another_quantity_is_found():
    order = make_order()
    Order.objects.update(quantity=2, unit_points=50)

    assert order_findings() == set()
    assert set(stock_findings()) == {
        ("cause", f"order {order.pk}"),
        ("cause", f"stock entry {order.product_id}/2"),
        ("sales", f"product {order.product_id}"),
    }


def test_an_order_that_was_marked_cancelled_by_hand_is_found():
    order = make_order()
    Order.objects.update(status="cancelled", returned_at=order.created_at)

    assert order_findings() == {("cause", f"order {order.pk}")}
    assert set(stock_findings()) == {
        ("cause", f"order {order.pk}"),
        ("sales", f"product {order.product_id}"),
    }


def test_an_order_without_its_code_is_found():
    order = make_order(product=make_product(codes=["A-1"]))
    VirtualCode.objects.update(order=None, delivered_at=None)

    assert order_findings() == {("codes", f"order {order.pk}")}


@pytest.mark.parametrize("related_id", ["999999", "nothing"])
def test_a_payment_for_no_order_is_found(related_id):
    person = make_person(points=100)
    change_points(
        person_id=person.pk, points=-10, source=PointsSource.EXCHANGE, related_id=related_id
    )

    assert order_findings() == {("cause", f"entry {person.pk}/2")}


@pytest.mark.postgresql
def test_a_code_that_opens_two_orders_is_found():
    """Only a database that lost its constraint can come to this."""
    first, second = make_order(), make_order()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'u' "
            "AND conrelid = 'catalog_order'::regclass AND conname LIKE '%%exchange_code%%'"
        )
        cursor.execute(f"ALTER TABLE catalog_order DROP CONSTRAINT {cursor.fetchone()[0]}")
    Order.objects.filter(pk=second.pk).update(exchange_code=first.exchange_code)

    assert order_findings() == {("exchange code", first.exchange_code)}


# --- Entries, causes, sums ----------------------------------------------------------------------
def test_the_ledger_of_the_version_before_is_chained_by_the_migration():
    product, other = make_product(stock=5), make_product(stock=3)
    make_order(product=product)
    change_stock(
        product_id=product.pk,
        quantity=-1,
        operation=StockOperation.ADMIN_ADJUST,
        author_id=make_person().pk,
        reason='broken "glass" 玻璃',
    )
    hashes = list(StockEntry.objects.order_by("pk").values_list("entry_hash", flat=True))
    migration = import_module("catalog.migrations.0005_hash_stock_ledger")
    with without_triggers(StockEntry):
        StockEntry.objects.update(previous_hash="", entry_hash="")
        Product.objects.update(stock_hash=GENESIS_HASH)
        migration.hash_ledger(apps, None)
    assert stock_findings() == []
    again = StockEntry.objects.order_by("pk").values_list("entry_hash", flat=True)
    assert list(again) == hashes
    assert Product.objects.get(pk=other.pk).stock_hash != GENESIS_HASH


@pytest.mark.parametrize(
    ("operation", "quantity", "related_id"),
    [
        ("purchase", -1, "999999"),
        ("purchase", -1, "nothing"),
        ("cancel", 1, "999999"),
        ("prize", -1, "no draw"),
        ("restock", -1, ""),
        ("restock", 1, "order 1"),
        ("admin_adjust", 1, "order 1"),
    ],
)
def test_stock_that_nothing_accounts_for_is_found(operation, quantity, related_id):
    product = make_product(stock=5)
    change = Change(
        product=product,
        quantity=quantity,
        operation=StockOperation(operation),
        related_id=related_id,
    )
    write_entries([change])
    assert stock_findings() == [("cause", f"stock entry {product.pk}/2")]


def test_stock_that_was_taken_for_another_product_is_found():
    order, other = make_order(), make_product()
    Order.objects.filter(pk=order.pk).update(product=other)
    assert set(stock_findings()) == {
        ("cause", f"order {order.pk}"),
        ("cause", f"stock entry {order.product_id}/2"),
        ("sales", f"product {order.product_id}"),
        ("sales", f"product {other.pk}"),
    }


def test_sales_that_were_altered_are_found():
    product = make_product()
    make_order(product=product)
    Product.objects.update(sales_count=2)
    assert stock_findings() == [("sales", f"product {product.pk}")]


def test_an_order_keeps_the_limit_that_was_in_force():
    product = make_product(limit_per_person=2)
    order = make_order(product=product)
    Product.objects.update(limit_per_person=1)
    order.refresh_from_db()
    assert order.limit_per_person == 2


def test_orders_within_their_limits_are_sound_whatever_came_before_and_after():
    person, product = make_person(points=5000), make_product(stock=20)
    for limit, quantity in ((None, 3), (5, 2)):
        Product.objects.update(limit_per_person=limit)
        make_order(person=person, product=product, quantity=quantity)
    for _again in range(3):  # over the limit together, never at one time
        returned = Order.objects.latest("pk")
        orders.cancel(person_id=person.pk, order_id=returned.pk)
        make_order(person=person, product=product, quantity=2)
    Product.objects.update(limit_per_person=1)
    make_order(product=product)
    assert order_findings() == set()


def test_an_order_above_its_limit_is_found():
    person, product = make_person(points=5000), make_product(limit_per_person=3)
    make_order(person=person, product=product, quantity=2)
    over = make_order(person=person, product=product)
    Order.objects.filter(pk=over.pk).update(limit_per_person=2)
    assert order_findings() == {("limit", f"order {over.pk}")}


@pytest.mark.parametrize("wrong", ["product", "order"])
def test_a_code_that_was_given_to_another_order_is_found(wrong):
    order = make_order(product=make_product(codes=["A-1", "A-2"]))
    code = VirtualCode.objects.get(order=order)
    if wrong == "product":
        VirtualCode.objects.filter(pk=code.pk).update(product=make_product(codes=["B-1"]))
    else:
        waiting = make_order()
        VirtualCode.objects.filter(pk=code.pk).update(order=waiting)
    assert ("codes", f"code {code.pk}") in order_findings()


@pytest.mark.parametrize("wrong", [{"code_hash": "0" * 64}, {"code_encrypted": "garbage"}])
def test_a_code_that_was_altered_is_found(wrong):
    make_product(codes=["A-1"])
    VirtualCode.objects.update(**wrong)
    assert order_findings() == {("codes", f"code {VirtualCode.objects.get().pk}")}


def test_however_many_orders_a_few_queries_compare_them(django_assert_num_queries):
    product = make_product(stock=20, limit_per_person=3)
    for _order in range(5):
        make_order(product=product)
    with django_assert_num_queries(8):
        assert order_findings() == set()
