import re
from datetime import timedelta

import pytest
from django.utils import timezone

from catalog.errors import AlreadyRedeemed, ExchangeCodeUnknown, ExchangeCodeVoid, NotAMerchant
from catalog.models import Order, OrderStatus, ShopRole
from catalog.services import orders
from catalog.services.exchange_codes import ALPHABET, new_exchange_code, normal_form
from catalog.tests.factories import (
    make_member,
    make_order,
    make_prize_order,
    make_product,
    make_shop,
    refused_unchanged,
)
from ops.errors import NotAllowed
from tests.people import make_person

pytestmark = pytest.mark.django_db


def redeem(cashier, order):
    return orders.redeem(cashier=cashier, exchange_code=order.exchange_code)


def order_at(shop):
    return make_order(product=make_product(shop=shop))


@pytest.mark.parametrize("role", ["owner", "manager", "cashier"])
def test_the_counter_redeems(cast, role):
    order, member = order_at(cast.shop), getattr(cast, role)

    redeemed = redeem(member, order)

    assert (redeemed.pk, redeemed.status) == (order.pk, OrderStatus.REDEEMED)
    assert redeemed.redeemed_by == member
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


def test_a_reviewer_does_not_redeem(cast):
    order = order_at(cast.shop)

    with refused_unchanged(NotAllowed):
        redeem(cast.reviewer, order)


def test_a_role_counts_at_its_own_shop_alone(cast):
    order = order_at(cast.shop)
    make_member(shop=cast.other_shop, role=ShopRole.CASHIER, person=cast.reviewer)

    with refused_unchanged(NotAllowed):
        redeem(cast.reviewer, order)


def test_who_works_nowhere_is_no_merchant(cast):
    order = order_at(cast.shop)

    with refused_unchanged(NotAMerchant):
        redeem(cast.customer, order)


def test_another_shops_code_does_not_exist(cast):
    order = order_at(cast.shop)

    with refused_unchanged(ExchangeCodeUnknown):
        redeem(cast.other_owner, order)


@pytest.mark.parametrize("code", ["", "ABCD-EFGH-JKMN", "nonsense", "A" * 500])
def test_an_unknown_code_does_not_exist(code):
    with pytest.raises(ExchangeCodeUnknown):
        orders.redeem(cashier=make_member(shop=make_shop()), exchange_code=code)


def test_nobody_redeems_their_own_order():
    product = make_product()
    owner = make_member(shop=product.shop, role=ShopRole.OWNER, person=make_person(points=1000))
    order = make_order(person=owner, product=product)

    with refused_unchanged(NotAllowed):
        redeem(owner, order)


def test_a_prize_of_no_shop_is_honoured_by_every_shop():
    order = make_prize_order(shop_id=None)

    redeemed = redeem(make_member(shop=make_shop()), order)

    assert redeemed.status == OrderStatus.REDEEMED


def test_a_code_is_redeemed_once():
    order = make_order()
    cashier = make_member(shop=order.shop)
    redeem(cashier, order)

    with refused_unchanged(AlreadyRedeemed):
        redeem(cashier, order)


def test_what_was_delivered_is_not_redeemed_as_well():
    order = make_order(product=make_product(codes=["A-1"]))
    cashier = make_member(shop=order.shop)

    with refused_unchanged(AlreadyRedeemed):
        redeem(cashier, order)


def test_a_cancelled_order_is_void():
    order = make_order()
    orders.cancel(person_id=order.person_id, order_id=order.pk)
    cashier = make_member(shop=order.shop)

    with refused_unchanged(ExchangeCodeVoid):
        redeem(cashier, order)


@pytest.mark.parametrize("is_marked", [False, True])
def test_an_expired_order_is_void_marked_or_not(is_marked):
    order = make_order()
    Order.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if is_marked:
        orders.expire_orders(now=timezone.now())
    cashier = make_member(shop=order.shop)

    with refused_unchanged(ExchangeCodeVoid):
        redeem(cashier, order)
