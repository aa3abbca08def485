import re
from datetime import timedelta

import pytest
from django.utils import timezone

from catalog.errors import AlreadyRedeemed, ExchangeCodeUnknown, ExchangeCodeVoid, NotAMerchant
from catalog.models import Order, OrderStatus, ShopRole
from catalog.services import orders
from catalog.services.exchange_codes import ALPHABET, new_exchange_code, normal_form
from catalog.tests.factories import (
    everything,
    make_member,
    make_order,
    make_person,
    make_prize_order,
    make_product,
    make_shop,
)
from ops.errors import NotAllowed

pytestmark = pytest.mark.django_db


def refused(refusal, cashier, order):
    before = everything()
    with pytest.raises(refusal):
        orders.redeem(cashier=cashier, exchange_code=order.exchange_code)
    assert everything() == before


@pytest.mark.parametrize("role", [ShopRole.OWNER, ShopRole.MANAGER, ShopRole.CASHIER])
def test_the_counter_redeems(role):
    order = make_order()
    cashier = make_member(shop=order.shop, role=role)

    redeemed = orders.redeem(cashier=cashier, exchange_code=order.exchange_code)

    assert (redeemed.pk, redeemed.status) == (order.pk, OrderStatus.REDEEMED)
    assert redeemed.redeemed_by == cashier
    assert redeemed.redeemed_at is not None


def test_how_a_code_is_typed_does_not_matter():
    order = make_order()
    typed = f"  {order.exchange_code.lower().replace('-', ' – ')}"

    redeemed = orders.redeem(cashier=make_member(shop=order.shop), exchange_code=typed)

    assert redeemed.pk == order.pk


def test_codes_are_easy_to_read_and_hard_to_guess():
    codes = {new_exchange_code() for _ in range(1000)}

    assert len(codes) == 1000
    assert all(re.fullmatch(r"[2-9A-HJKMNP-Z]{4}(-[2-9A-HJKMNP-Z]{4}){2}", code) for code in codes)
    assert not set("01OIL") & set(ALPHABET)
    assert len(set(ALPHABET)) ** 12 > 2**50
    assert all(normal_form(code) == code for code in codes)
    assert normal_form("ａｂｃｄ efgh-jkmn") == "ABCD-EFGH-JKMN"


def test_a_reviewer_does_not_redeem():
    order = make_order()
    reviewer = make_member(shop=order.shop, role=ShopRole.REVIEWER)

    refused(NotAllowed, reviewer, order)


def test_a_role_counts_at_its_own_shop_alone():
    order = make_order()
    person = make_member(shop=order.shop, role=ShopRole.REVIEWER)
    make_member(shop=make_shop(), role=ShopRole.CASHIER, person=person)

    refused(NotAllowed, person, order)


def test_who_works_nowhere_is_no_merchant():
    refused(NotAMerchant, make_person(), make_order())


def test_another_shops_code_does_not_exist():
    refused(ExchangeCodeUnknown, make_member(shop=make_shop()), make_order())


@pytest.mark.parametrize("code", ["", "ABCD-EFGH-JKMN", "nonsense", "A" * 500])
def test_an_unknown_code_does_not_exist(code):
    with pytest.raises(ExchangeCodeUnknown):
        orders.redeem(cashier=make_member(shop=make_shop()), exchange_code=code)


def test_nobody_redeems_their_own_order():
    product = make_product()
    cashier = make_member(shop=product.shop, role=ShopRole.OWNER, person=make_person(points=1000))

    refused(NotAllowed, cashier, make_order(person=cashier, product=product))


def test_a_prize_of_no_shop_is_honoured_by_every_shop():
    order = make_prize_order(shop_id=None)

    redeemed = orders.redeem(
        cashier=make_member(shop=make_shop()), exchange_code=order.exchange_code
    )

    assert redeemed.status == OrderStatus.REDEEMED


def test_a_code_is_redeemed_once():
    order = make_order()
    cashier = make_member(shop=order.shop)
    orders.redeem(cashier=cashier, exchange_code=order.exchange_code)

    refused(AlreadyRedeemed, cashier, order)


def test_what_was_delivered_is_not_redeemed_as_well():
    order = make_order(product=make_product(codes=["A-1"]))

    refused(AlreadyRedeemed, make_member(shop=order.shop), order)


def test_a_cancelled_order_is_void():
    order = make_order()
    orders.cancel(person_id=order.person_id, order_id=order.pk)

    refused(ExchangeCodeVoid, make_member(shop=order.shop), order)


@pytest.mark.parametrize("is_marked", [False, True])
def test_an_expired_order_is_void_marked_or_not(is_marked):
    order = make_order()
    Order.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if is_marked:
        orders.expire_orders(now=timezone.now())

    refused(ExchangeCodeVoid, make_member(shop=order.shop), order)
