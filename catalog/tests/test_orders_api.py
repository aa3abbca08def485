import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import Order, Product, ProductStatus
from catalog.services import orders
from catalog.services.pictures import add_picture
from catalog.tests.factories import (
    everything,
    make_member,
    make_order,
    make_png,
    make_prize_order,
    make_product,
    make_shop,
)
from ops.models import IdempotencyRecord
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person

pytestmark = pytest.mark.django_db

SUBMIT = "/api/exchange/submit"
ORDERS = "/api/exchange/orders"
REDEEM = "/api/merchant/redeem"
FIELDS = {
    "exchange_id",
    "exchange_code",
    "product",
    "quantity",
    "total_points",
    "status",
    "source",
    "delivered",
    "expires_at",
    "redeemed_at",
    "created_at",
}


def post(person, path, body=None, **headers):
    return client_of(person).post(path, body, headers=headers)


# --- Exchange ---------------------------------------------------------------------------------
def test_an_exchange_answers_with_the_order():
    person, product = make_person(points=1000), make_product(name="Tea", points_price=150)

    data = data_of(post(person, SUBMIT, {"product_id": product.pk, "quantity": 2}))

    order = Order.objects.get()
    assert data["exchange_id"] == order.pk
    assert data["exchange_code"] == order.exchange_code
    assert (data["remaining_points"], data["points_version"]) == (700, 2)
    shown = data["order"]
    assert set(shown) == FIELDS
    assert set(shown["product"]) >= {"commodity_id", "name", "kind", "image"}
    assert (shown["product"]["commodity_id"], shown["product"]["name"]) == (product.pk, "Tea")
    assert (shown["quantity"], shown["total_points"]) == (2, 300)
    assert (shown["status"], shown["source"]) == ("pending", "exchange")
    assert (shown["delivered"], shown["redeemed_at"]) == (None, None)
    assert shown["expires_at"].endswith("+08:00")


def test_one_unit_is_the_default():
    person = make_person(points=1000)

    data = data_of(post(person, SUBMIT, {"product_id": make_product().pk}))

    assert data["order"]["quantity"] == 1


def test_a_virtual_product_is_delivered_in_the_answer():
    person, product = make_person(points=1000), make_product(codes=["A-1", "A-2"])

    data = data_of(post(person, SUBMIT, {"product_id": product.pk, "quantity": 2}))

    shown = data["order"]
    assert (shown["status"], shown["delivered"]) == ("delivered", ["A-1", "A-2"])
    assert shown["expires_at"] is None


@pytest.mark.parametrize("quantity", [0, 100, -1, "1", 1.0, True, None, [1]])
def test_a_quantity_is_a_whole_number_from_1_to_99(quantity):
    person, product = make_person(points=1000), make_product()
    before = everything()

    response = post(person, SUBMIT, {"product_id": product.pk, "quantity": quantity})

    assert refusal_of(response) == (400, 4003, None)
    assert everything() == before


@pytest.mark.parametrize("product_id", [None, "1", 1.0, True, 0, -1, 10**30, 999_999, {}, [1]])
def test_whatever_is_no_id_does_not_exist(product_id):
    make_product()

    response = post(make_person(points=1000), SUBMIT, {"product_id": product_id})

    assert refusal_of(response) == (404, 4001, None)


def test_a_missing_product_comes_after_a_wrong_quantity():
    person = make_person()

    assert refusal_of(post(person, SUBMIT, {})) == (404, 4001, None)
    assert refusal_of(post(person, SUBMIT, {"quantity": 0})) == (400, 4003, None)
    refusal = refusal_of(post(person, SUBMIT, [1]))
    assert (refusal.status, refusal.code, list(refusal.data)) == (400, 1011, ["non_field_errors"])


def test_refusals_name_their_facts():
    person, product = make_person(points=50), make_product(stock=2, limit_per_person=2)

    def refusal(quantity):
        return refusal_of(post(person, SUBMIT, {"product_id": product.pk, "quantity": quantity}))

    assert refusal(3) == (409, 4006, {"limit": 2, "used": 0})
    assert refusal(1) == (409, 4005, {"required": 100, "current": 50, "shortage": 50})
    product.limit_per_person = None
    product.save(update_fields=["limit_per_person"])
    assert refusal(3) == (409, 4004, {"available_stock": 2})
    product.shop.is_open = False
    product.shop.save()
    assert refusal(3) == (409, 4002, None)


def test_the_same_key_buys_once():
    person, product = make_person(points=1000), make_product()
    body, key = {"product_id": product.pk}, {"Idempotency-Key": "k1"}

    first = post(person, SUBMIT, body, **key)
    second = post(person, SUBMIT, body, **key)
    other = post(person, SUBMIT, {"product_id": product.pk, "quantity": 2}, **key)

    assert data_of(second) == data_of(first)
    assert second.headers["Idempotent-Replay"] == "true"
    assert refusal_of(other) == (422, 1014, None)
    assert Order.objects.count() == 1


def test_the_kept_answer_does_not_hold_delivered_codes_in_plain_text():
    person, product = make_person(points=1000), make_product(codes=["SECRET-CODE"])
    body, key = {"product_id": product.pk}, {"Idempotency-Key": "k1"}

    first = post(person, SUBMIT, body, **key)
    second = post(person, SUBMIT, body, **key)

    assert data_of(first)["order"]["delivered"] == ["SECRET-CODE"]
    assert data_of(second) == data_of(first)
    assert "SECRET" not in IdempotencyRecord.objects.get().answer


def test_strangers_buy_nothing():
    assert refusal_of(client_of().post(SUBMIT, {"product_id": 1})) == (401, 1006, None)


# --- Own orders -------------------------------------------------------------------------------
def test_a_person_sees_their_orders_newest_first():
    person = make_person(points=1000)
    first = make_order(person=person)
    prize = make_prize_order(person=person)
    codes = make_order(person=person, product=make_product(codes=["A-1"]))
    make_order()

    def shown(query=""):
        return data_of(client_of(person).get(f"{ORDERS}{query}"))["items"]

    assert [item["exchange_id"] for item in shown()] == [codes.pk, prize.pk, first.pk]
    assert [item["exchange_id"] for item in shown("?status=delivered")] == [codes.pk]
    assert [item["delivered"] for item in shown()] == [["A-1"], None, None]
    assert [item["source"] for item in shown()] == ["exchange", "lottery", "exchange"]
    assert shown()[1]["product"]["commodity_id"] is None
    assert all(set(item) == FIELDS for item in shown())


@pytest.mark.parametrize("status", ["lost", ""])
def test_an_unknown_status_is_named(status):
    refusal = refusal_of(client_of(make_person()).get(f"{ORDERS}?status={status}"))

    assert (refusal.status, refusal.code, list(refusal.data)) == (400, 1011, ["status"])


def test_somebody_elses_order_does_not_exist():
    order = make_order()
    person = make_person()

    for number in (order.pk, 999_999, "x"):
        assert refusal_of(client_of(person).get(f"{ORDERS}/{number}")) == (404, 4007, None)
        assert refusal_of(post(person, f"{ORDERS}/{number}/cancel")) == (404, 4007, None)
    own = data_of(client_of(order.person).get(f"{ORDERS}/{order.pk}"))
    assert own["exchange_code"] == order.exchange_code


def test_an_order_is_cancelled_once():
    order = make_order()
    path = f"{ORDERS}/{order.pk}/cancel"

    first = post(order.person, path, **{"Idempotency-Key": "k1"})
    again = post(order.person, path, **{"Idempotency-Key": "k1"})
    other = post(order.person, path)

    assert data_of(first)["status"] == "cancelled"
    assert data_of(again) == data_of(first)
    assert refusal_of(other) == (409, 4008, {"status": "cancelled"})


def test_the_picture_of_an_order_is_that_of_the_mall_also_after_its_product_left_it():
    order = make_order()
    add_picture(product_id=order.product_id, content=make_png((9, 9)))
    in_the_mall = data_of(client_of().get(f"/api/exchange/products/{order.product_id}"))["image"]
    assert "/files/public/" in in_the_mall

    Product.objects.update(status=ProductStatus.INACTIVE)

    (shown,) = data_of(client_of(order.person).get(ORDERS))["items"]
    assert shown["product"]["image"] == in_the_mall
    assert client_of().get(in_the_mall).status_code == 200


def test_the_number_of_queries_does_not_grow_with_the_page():
    person = make_person(points=10_000)

    def fill(number):
        for _ in range(number):
            product = make_product(codes=["A-1"])
            add_picture(product_id=product.pk, content=make_png((9, 9)))
            make_order(person=person, product=product)

    def number_of_queries():
        with CaptureQueriesContext(connection) as queries:
            data_of(client_of(person).get(ORDERS))
        return len(queries)

    fill(1)
    with_one = number_of_queries()
    fill(4)
    assert number_of_queries() == with_one == 3


# --- At the counter ---------------------------------------------------------------------------
def test_the_counter_redeems():
    order = make_order()
    cashier = make_member(shop=order.shop)

    data = data_of(post(cashier, REDEEM, {"exchange_code": order.exchange_code.lower()}))

    assert set(data) == FIELDS
    assert (data["exchange_id"], data["status"]) == (order.pk, "redeemed")
    assert data["redeemed_at"].endswith("+08:00")
    again = post(cashier, REDEEM, {"exchange_code": order.exchange_code})
    assert refusal_of(again) == (409, 4010, None)


@pytest.mark.parametrize("body", [{}, {"exchange_code": None}, {"exchange_code": 5}])
def test_a_code_that_is_none_is_not_known(body):
    assert refusal_of(post(make_member(shop=make_shop()), REDEEM, body)) == (404, 4009, None)


def test_permission_comes_before_the_body(cast):
    assert refusal_of(post(cast.customer, REDEEM, {})) == (403, 6001, None)
    assert refusal_of(post(cast.reviewer, REDEEM, {})) == (403, 1009, None)


def test_who_may_not_redeem_is_told_before_the_body_is_read(cast):
    response = client_of(cast.customer).post(REDEEM, "{", content_type="application/json")

    assert refusal_of(response) == (403, 6001, None)


def test_nobody_redeems_their_own_order():
    product = make_product()
    cashier = make_member(shop=product.shop, person=make_person(points=1000))
    order = make_order(person=cashier, product=product)

    response = post(cashier, REDEEM, {"exchange_code": order.exchange_code})

    assert refusal_of(response) == (403, 1009, None)


def test_void_codes_are_told_apart_from_unknown_ones():
    order = make_order()
    orders.cancel(person_id=order.person_id, order_id=order.pk)
    body = {"exchange_code": order.exchange_code}

    assert refusal_of(post(make_member(shop=order.shop), REDEEM, body)) == (409, 4011, None)
    assert refusal_of(post(make_member(shop=make_shop()), REDEEM, body)) == (404, 4009, None)
