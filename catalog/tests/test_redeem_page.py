"""The counter of the console: look at the order of a code, then hand it over."""

import logging
import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.messages import get_messages
from django.utils import timezone, translation
from django.utils.html import strip_tags
from django.utils.translation import gettext
from django.views.debug import SafeExceptionReporterFilter

from catalog.errors import AlreadyRedeemed, ExchangeCodeUnknown, ExchangeCodeVoid, NotAMerchant
from catalog.models import Order, OrderStatus, ShopRole
from catalog.services import orders
from catalog.services.pictures import add_picture
from catalog.tests.factories import (
    everything,
    make_member,
    make_order,
    make_png,
    make_prize_order,
    make_product,
    refused_unchanged,
)
from ops.errors import NotAllowed
from tests.console import form_of
from tests.people import give_by_hand, make_person

pytestmark = pytest.mark.django_db

PAGE = "/admin/catalog/order/redeem/"
LIST = "/admin/catalog/order/"
CHINESE = re.compile(r"[\u4e00-\u9fff]+")


@pytest.fixture
def cashier(client, cast):
    """A cashier of `cast.shop`, signed in to the console in English."""
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    client.force_login(cast.cashier)
    return cast.cashier


@pytest.fixture
def order(cast):
    person = make_person(points=1000, nickname="Guest of all")
    return make_order(person=person, product=make_product(shop=cast.shop, name="Tea"), quantity=2)


@pytest.fixture
def look_up(client):
    def post(code):
        return client.post(PAGE, {"exchange_code": code})

    return post


@pytest.fixture
def hand_over(client):
    def post(code):
        return client.post(PAGE, {"exchange_code": code, "hand_over": "yes"})

    return post


@pytest.fixture
def refused(look_up, hand_over):
    """Try both with a code: the page says the same twice, keeps the code, and changes nothing."""

    def attempt(code):
        said = []
        for send in (look_up, hand_over):
            before = everything()
            page = send(code)
            assert page.status_code == 200
            assert everything() == before
            assert form_of(page)["exchange_code"] == [code]
            assert "hand_over" not in page.content.decode()
            said.append(said_by(page)[-1])
        assert said[0] == said[1]
        return said[0]

    return attempt


def said_by(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def text_of(page):
    """What somebody reads on a page, with single blanks."""
    content = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", page.content.decode())
    return " ".join(unescape(strip_tags(content)).split())


# --- Handing over ---------------------------------------------------------------------------------
def test_a_code_shows_its_order_and_changes_nothing(cashier, order, look_up):
    add_picture(product_id=order.product_id, content=make_png((60, 60)), name="tea.png")
    before = everything()

    page = look_up(order.exchange_code)

    text = text_of(page)
    for shown in ("2 × Tea", "For whom Guest of all", "State To be collected", "Shop Shop"):
        assert shown in text
    assert "Until " in text
    assert "Hand over" in text
    assert '<img src="/files/public/' in page.content.decode()
    assert everything() == before


def test_handing_over_says_so_and_is_ready_for_the_next(client, cashier, order, look_up):
    shown = look_up(order.exchange_code)

    answer = client.post(PAGE, {**form_of(shown), "hand_over": "yes"})

    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    order.refresh_from_db()
    assert (order.status, order.redeemed_by) == (OrderStatus.REDEEMED, cashier)
    page = client.get(PAGE)
    assert f"Handed over: 2 × Tea, order #{order.pk} of Guest of all." in text_of(page)
    assert form_of(page)["exchange_code"] == [""]


def test_how_the_code_is_typed_does_not_matter(cashier, order, look_up, hand_over):
    typed = f" {order.exchange_code.lower().replace('-', ' ')} "

    assert "2 × Tea" in text_of(look_up(typed))
    assert hand_over(typed).status_code == 302
    assert Order.objects.get().status == OrderStatus.REDEEMED


def test_a_prize_without_product_or_shop_is_handed_over_as_well(cashier, look_up, hand_over):
    order = make_prize_order()

    text = text_of(look_up(order.exchange_code))
    assert "1 × Free dessert" in text
    assert "Shop every shop" in text
    assert hand_over(order.exchange_code).status_code == 302


def test_no_get_changes_anything(client, cashier, order):
    before = everything()

    page = client.get(PAGE, {"exchange_code": order.exchange_code, "hand_over": "yes"})

    assert page.status_code == 200
    assert form_of(page)["exchange_code"] == [""], "an address names no code"
    assert everything() == before


# --- Refusals -------------------------------------------------------------------------------------
def test_nothing_typed_is_asked_for(cashier, look_up, hand_over):
    before = everything()

    for send in (look_up, hand_over):
        assert "This field is required." in text_of(send("  "))
    assert everything() == before


def test_an_unknown_code_is_said_to_be_unknown(cashier, order, refused):
    assert refused("ABCD-EFGH-JKMN") == "This exchange code is not known here."


def test_another_shops_code_is_unknown(cashier, refused):
    assert refused(make_order().exchange_code) == "This exchange code is not known here."


def test_ones_own_order_is_for_somebody_else(cashier, cast, refused):
    own = make_prize_order(person=cashier, shop_id=cast.shop.pk)

    assert refused(own.exchange_code) == "You are signed in, but you may not do this."


def test_sent_twice_it_is_handed_over_once(cashier, order, hand_over, refused):
    hand_over(order.exchange_code)

    assert refused(order.exchange_code) == "This exchange code was redeemed already."


def test_what_has_expired_is_void(cashier, order, refused):
    Order.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert refused(order.exchange_code) == "This exchange code has expired or was cancelled."


# --- Who may --------------------------------------------------------------------------------------
def test_the_permission_opens_no_other_role(client, cast, order, refused):
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    client.force_login(give_by_hand(cast.reviewer, "view_order", "redeem_order"))

    assert refused(order.exchange_code) == "You are signed in, but you may not do this."


def test_staff_that_works_at_no_shop_has_no_counter(client, cast, order, refused):
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    client.force_login(cast.staff)

    assert refused(order.exchange_code) == "This is for people who work at a shop."


def test_looking_at_orders_is_not_handing_them_over(client, cast, order, hand_over):
    client.force_login(give_by_hand(cast.reviewer, "view_order"))
    before = everything()

    assert client.get(PAGE).status_code == 403
    assert hand_over(order.exchange_code).status_code == 403
    assert everything() == before
    assert PAGE not in client.get(LIST).content.decode()


def test_a_customer_is_sent_to_the_sign_in(client, cast, order, hand_over):
    client.force_login(cast.customer)
    before = everything()

    for answer in (client.get(PAGE), hand_over(order.exchange_code)):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")
    assert everything() == before


def test_the_sidebar_and_the_orders_lead_there(client, cashier):
    page = client.get(LIST).content.decode()

    assert page.count(f'href="{PAGE}"') == 2


# --- The code is a secret -------------------------------------------------------------------------
def test_the_code_is_in_no_address_title_message_or_log(
    client, cashier, order, look_up, hand_over, caplog
):
    caplog.set_level(logging.INFO)
    shown = look_up(order.exchange_code)
    done = hand_over(order.exchange_code)

    assert order.exchange_code not in done["Location"]
    assert order.exchange_code not in "".join(said_by(done))
    head, _body = shown.content.decode().split("<body", 1)
    assert order.exchange_code not in head
    assert order.exchange_code not in text_of(shown)
    assert order.exchange_code not in caplog.text


def test_a_report_of_a_failure_does_not_name_the_code(cashier, order, look_up, settings):
    settings.DEBUG = False
    request = look_up(order.exchange_code).wsgi_request

    reported = SafeExceptionReporterFilter().get_post_parameters(request)

    assert order.exchange_code not in str(reported)


# --- The question beside `redeem` -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        ("customer", NotAMerchant),
        ("reviewer", NotAllowed),
        ("other_owner", ExchangeCodeUnknown),
    ],
)
def test_who_may_not_redeem_may_not_look_either(cast, order, who, refusal):
    for operation in (orders.look_up, orders.redeem):
        with refused_unchanged(refusal):
            operation(cashier=getattr(cast, who), exchange_code=order.exchange_code)


def test_what_has_ended_is_not_shown_either(cast, order):
    code = order.exchange_code
    orders.cancel(person_id=order.person_id, order_id=order.pk)
    delivered = make_order(product=make_product(codes=["A-1"], shop=cast.shop))

    for operation in (orders.look_up, orders.redeem):
        with refused_unchanged(ExchangeCodeVoid):
            operation(cashier=cast.cashier, exchange_code=code)
        with refused_unchanged(AlreadyRedeemed):
            operation(cashier=cast.cashier, exchange_code=delivered.exchange_code)


def test_a_refusal_says_what_an_order_is_by_now(cast, order):
    read_before = Order.objects.get()
    orders.redeem(cashier=cast.cashier, exchange_code=order.exchange_code)

    assert read_before.status == OrderStatus.PENDING
    with pytest.raises(AlreadyRedeemed):
        orders._refuse_ended(read_before)


def test_looking_is_for_every_role_of_the_counter(cast, order):
    for role in (ShopRole.OWNER, ShopRole.MANAGER, ShopRole.CASHIER):
        member = make_member(shop=cast.shop, role=role)
        assert orders.look_up(cashier=member, exchange_code=order.exchange_code) == order


# --- Languages ------------------------------------------------------------------------------------
def test_the_page_speaks_one_language(client, cashier, order, look_up):
    english = text_of(look_up(order.exchange_code))
    chinese = text_of(client.get(PAGE, headers={"Accept-Language": "zh-CN"}))

    assert set(CHINESE.findall(english)) == {"简体中文"}
    with translation.override("zh-hans"):
        for text in ("Redeem a code", "Look up", "Capitals, spaces and dashes do not matter."):
            assert gettext(text) in chinese
