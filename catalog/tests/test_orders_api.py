import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from catalog.models import Order, ShopRole
from catalog.services import orders
from catalog.services.pictures import add_picture
from catalog.tests.factories import (
    everything,
    make_member,
    make_order,
    make_person,
    make_prize_order,
    make_product,
    make_shop,
)
from catalog.tests.test_pictures import make_png
from ops.models import IdempotencyRecord

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


def client_of(person):
    client = APIClient()
    client.force_authenticate(person)
    return client


def post(person, path, body=None, **headers):
    return client_of(person).post(path, body, headers=headers)


def code_of(answer):
    return answer.status_code, answer.json()["code"]


# --- Exchange ---------------------------------------------------------------------------------
def test_an_exchange_answers_with_the_order():
    person, product = make_person(points=1000), make_product(name="Tea", points_price=150)

    answer = post(person, SUBMIT, {"product_id": product.pk, "quantity": 2})

    assert code_of(answer) == (200, 0)
    data, order = answer.json()["data"], Order.objects.get()
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

    answer = post(person, SUBMIT, {"product_id": make_product().pk})

    assert answer.json()["data"]["order"]["quantity"] == 1


def test_a_virtual_product_is_delivered_in_the_answer():
    person, product = make_person(points=1000), make_product(codes=["A-1", "A-2"])

    shown = post(person, SUBMIT, {"product_id": product.pk, "quantity": 2}).json()["data"]["order"]

    assert (shown["status"], shown["delivered"]) == ("delivered", ["A-1", "A-2"])
    assert shown["expires_at"] is None


@pytest.mark.parametrize("quantity", [0, 100, -1, "1", 1.0, True, None, [1]])
def test_a_quantity_is_a_whole_number_from_1_to_99(quantity):
    person, product = make_person(points=1000), make_product()
    before = everything()

    answer = post(person, SUBMIT, {"product_id": product.pk, "quantity": quantity})

    assert code_of(answer) == (400, 4003)
    assert everything() == before


@pytest.mark.parametrize("product_id", [None, "1", 1.0, True, 0, -1, 10**30, 999_999, {}, [1]])
def test_whatever_is_no_id_does_not_exist(product_id):
    make_product()

    answer = post(make_person(points=1000), SUBMIT, {"product_id": product_id})

    assert code_of(answer) == (404, 4001)


def test_a_missing_product_comes_after_a_wrong_quantity():
    person = make_person()

    assert code_of(post(person, SUBMIT, {})) == (404, 4001)
    assert code_of(post(person, SUBMIT, {"quantity": 0})) == (400, 4003)
    assert code_of(post(person, SUBMIT, [1])) == (400, 1011)


def test_refusals_name_their_facts():
    person, product = make_person(points=50), make_product(stock=2, limit_per_person=2)

    def refusal(quantity):
        answer = post(person, SUBMIT, {"product_id": product.pk, "quantity": quantity})
        return answer.status_code, answer.json()["code"], answer.json()["data"]

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

    assert second.json()["data"] == first.json()["data"]
    assert second.headers["Idempotent-Replay"] == "true"
    assert code_of(other) == (422, 1014)
    assert Order.objects.count() == 1


def test_the_kept_answer_does_not_hold_delivered_codes_in_plain_text():
    person, product = make_person(points=1000), make_product(codes=["SECRET-CODE"])
    body, key = {"product_id": product.pk}, {"Idempotency-Key": "k1"}

    first = post(person, SUBMIT, body, **key)
    second = post(person, SUBMIT, body, **key)

    assert first.json()["data"]["order"]["delivered"] == ["SECRET-CODE"]
    assert second.json()["data"] == first.json()["data"]
    assert "SECRET" not in IdempotencyRecord.objects.get().answer


def test_strangers_buy_nothing():
    assert code_of(APIClient().post(SUBMIT, {"product_id": 1})) == (401, 1006)


# --- Own orders -------------------------------------------------------------------------------
def test_a_person_sees_their_orders_newest_first():
    person = make_person(points=1000)
    first = make_order(person=person)
    prize = make_prize_order(person=person)
    codes = make_order(person=person, product=make_product(codes=["A-1"]))
    make_order()

    def shown(query=""):
        answer = client_of(person).get(f"{ORDERS}{query}")
        assert code_of(answer) == (200, 0)
        return answer.json()["data"]["items"]

    assert [item["exchange_id"] for item in shown()] == [codes.pk, prize.pk, first.pk]
    assert [item["exchange_id"] for item in shown("?status=delivered")] == [codes.pk]
    assert [item["delivered"] for item in shown()] == [["A-1"], None, None]
    assert [item["source"] for item in shown()] == ["exchange", "lottery", "exchange"]
    assert shown()[1]["product"]["commodity_id"] is None
    assert all(set(item) == FIELDS for item in shown())


def test_an_unknown_status_is_named():
    answer = client_of(make_person()).get(f"{ORDERS}?status=lost")

    assert code_of(answer) == (400, 1011)
    assert list(answer.json()["data"]) == ["status"]


def test_somebody_elses_order_does_not_exist():
    order = make_order()
    person = make_person()

    for number in (order.pk, 999_999, "x"):
        assert code_of(client_of(person).get(f"{ORDERS}/{number}")) == (404, 4007)
        assert code_of(post(person, f"{ORDERS}/{number}/cancel")) == (404, 4007)
    answer = client_of(order.person).get(f"{ORDERS}/{order.pk}")
    assert answer.json()["data"]["exchange_code"] == order.exchange_code


def test_an_order_is_cancelled_once():
    order = make_order()
    path = f"{ORDERS}/{order.pk}/cancel"

    first = post(order.person, path, **{"Idempotency-Key": "k1"})
    again = post(order.person, path, **{"Idempotency-Key": "k1"})
    other = post(order.person, path)

    assert first.json()["data"]["status"] == "cancelled"
    assert again.json()["data"] == first.json()["data"]
    assert code_of(other) == (409, 4008)
    assert other.json()["data"] == {"status": "cancelled"}


def test_the_number_of_queries_does_not_grow_with_the_page():
    person = make_person(points=10_000)

    def fill(number):
        for _ in range(number):
            product = make_product(codes=["A-1"])
            add_picture(product_id=product.pk, content=make_png((9, 9)))
            make_order(person=person, product=product)

    def count():
        with CaptureQueriesContext(connection) as queries:
            client_of(person).get(ORDERS)
        return len(queries)

    fill(1)
    with_one = count()
    fill(4)
    assert count() == with_one == 4


# --- At the counter ---------------------------------------------------------------------------
def test_the_counter_redeems():
    order = make_order()
    cashier = make_member(shop=order.shop)

    answer = post(cashier, REDEEM, {"exchange_code": order.exchange_code.lower()})

    assert code_of(answer) == (200, 0)
    data = answer.json()["data"]
    assert set(data) == FIELDS
    assert (data["exchange_id"], data["status"]) == (order.pk, "redeemed")
    assert data["redeemed_at"].endswith("+08:00")
    again = post(cashier, REDEEM, {"exchange_code": order.exchange_code})
    assert code_of(again) == (409, 4010)


@pytest.mark.parametrize("body", [{}, {"exchange_code": None}, {"exchange_code": 5}])
def test_a_code_that_is_none_is_not_known(body):
    assert code_of(post(make_member(shop=make_shop()), REDEEM, body)) == (404, 4009)


def test_permission_comes_before_the_body():
    reviewer = make_member(shop=make_shop(), role=ShopRole.REVIEWER)

    assert code_of(post(make_person(), REDEEM, {})) == (403, 6001)
    assert code_of(post(reviewer, REDEEM, {})) == (403, 1009)


def test_who_may_not_redeem_is_told_before_the_body_is_read():
    client = client_of(make_person())
    answer = client.post(REDEEM, "{", content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (403, 6001)


def test_nobody_redeems_their_own_order():
    product = make_product()
    cashier = make_member(shop=product.shop, person=make_person(points=1000))
    order = make_order(person=cashier, product=product)

    assert code_of(post(cashier, REDEEM, {"exchange_code": order.exchange_code})) == (403, 1009)


def test_void_codes_are_told_apart_from_unknown_ones():
    order = make_order()
    orders.cancel(person_id=order.person_id, order_id=order.pk)
    body = {"exchange_code": order.exchange_code}

    assert code_of(post(make_member(shop=order.shop), REDEEM, body)) == (409, 4011)
    assert code_of(post(make_member(shop=make_shop()), REDEEM, body)) == (404, 4009)
