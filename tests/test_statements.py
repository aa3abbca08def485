"""How many statements a whole request takes, signing in and COMMIT included.

Who raises one of these numbers says why in the commit that does it.
"""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tests.factories import sign_in
from catalog.models import ShopRole
from catalog.services import invitations
from catalog.services.pictures import add_picture
from catalog.tests.factories import (
    make_category,
    make_member,
    make_order,
    make_png,
    make_product,
    make_shop,
)
from favorites import services as favorites
from lottery.models import Wheel
from lottery.services import publishing, seeds
from lottery.tests.factories import (
    draw_once,
    fix_seeds,
    goods_prize,
    make_wheel,
    points_prize,
)
from reviews.tests.factories import make_receipt
from tests.api import client_of, data_of
from tests.people import give, make_person
from tests.test_every_operation import OPERATIONS, SCENES, Scene

pytestmark = pytest.mark.django_db

# Who asks; then BEGIN, the claim of the key, its answer, COMMIT.
AROUND = 5


@pytest.fixture
def person():
    return make_person(points=1_000_000)


@pytest.fixture
def scene(settings, monkeypatch):
    return Scene(settings, monkeypatch)


@pytest.fixture
def post(person):
    """Send one request, and then count the statements of the same again, under another key."""
    api = client_of()
    sign_in(api, person)

    def count(path, body):
        data_of(api.post(path, body, headers={"Idempotency-Key": uuid4().hex}))
        with CaptureQueriesContext(connection) as captured:
            data_of(api.post(path, body, headers={"Idempotency-Key": uuid4().hex}))
        return len(captured)

    return count


def draws(post, wheel, count=1):
    return post("/api/lottery/draw", {"wheel_id": wheel.pk, "count": count})


# --- Draws --------------------------------------------------------------------------------------
# The version, which a test that is not committed always asks for; seeds, pity and the draws of the
# day, the person; the draws, the nonce, pity; the ledger and its balance.
A_DRAW = AROUND + 9


@pytest.mark.parametrize("count", [1, 10])
def test_draws_of_nothing_or_of_points(post, count):
    assert draws(post, make_wheel(daily_limit=100), count) == A_DRAW == 14
    assert draws(post, make_wheel(points_prize(probability=1)), count) == A_DRAW


@pytest.mark.parametrize("count", [1, 10])
def test_draws_of_what_is_counted(post, count):
    counted = make_wheel(points_prize(probability=1, quantity=100))
    assert draws(post, counted, count) == A_DRAW + 2  # the prize, and its count


@pytest.mark.parametrize("count", [1, 10])
def test_draws_of_a_product(post, count):
    wheel = make_wheel(goods_prize(make_product(stock=100), probability=1))
    # The product, its order, its stock and the ledger of it, its pictures.
    assert draws(post, wheel, count) == A_DRAW + 5 == 19


def test_draws_of_several_products_and_counts(post):
    products = [make_product(stock=100) for _number in range(4)]
    prizes = [goods_prize(one, probability="0.25", daily_cap=100) for one in products]
    # Those of a product, and those of what is counted.
    assert draws(post, make_wheel(*prizes), 10) == A_DRAW + 5 + 2


# --- The mall -----------------------------------------------------------------------------------
def test_an_exchange(post):
    product = make_product(stock=100)
    # The product, the order, stock and its ledger, the person, points and their ledger, pictures.
    exchange = AROUND + 8
    body = {"product_id": product.pk}
    assert post("/api/exchange/submit", body) == exchange == 13
    limited = make_product(stock=100, limit_per_person=50)
    assert post("/api/exchange/submit", {"product_id": limited.pk}) == exchange + 1


# --- Every operation ----------------------------------------------------------------------------
# Each success of its scene in test_every_operation.py, in their order. Who asks is counted; what is
# kept in memory is made anew, since a test is one transaction. The scenes of health bring checks of
# their own.
OF_OPERATIONS: dict[str, tuple[int, ...]] = {
    "post_auth_code": (7,),
    "post_auth_login": (20, 9),  # the first makes the account, with its welcome points
    # The first makes the account, a phone is added to it, and one is made with both.
    "post_auth_wechat": (19, 17, 25),
    "post_auth_refresh": (3, 3),
    "get_auth_verify": (4, 4),
    "post_auth_logout": (5,),
    "get_user_profile": (6,),
    "patch_user_profile": (9, 16, 11),  # a nickname; an e-mail; a nickname, and none any more
    "post_user_avatar": (7, 8),  # and the one before goes
    "get_user_statistics": (5,),  # each app counts once
    "get_user_sessions": (2, 2),
    "delete_user_sessions_session_id": (5,),
    "get_user_points": (2, 2),
    "get_config": (1, 2),
    "get_shops": (1, 1),
    "get_exchange_categories": (1,),
    "get_exchange_products": (2, 5),  # a stranger; by the points of a person
    "get_exchange_products_product_id": (4,),
    "post_exchange_submit": (12, 14),  # without a key; with codes
    "get_exchange_orders": (4, 4),
    "get_exchange_orders_exchange_id": (4,),
    "post_exchange_orders_exchange_id_cancel": (16, 5),  # and its replay
    "post_merchant_redeem": (15,),
    "get_favorites": (3,),
    "post_favorites": (7,),
    "delete_favorites_product_id": (2,),
    "post_favorites_check": (2,),
    "get_lottery_config": (1, 4),  # a stranger; a person
    "post_lottery_draw": (19, 5),  # and its replay
    "get_lottery_records": (6, 4),  # with orders; without any
    "post_lottery_seed": (11, 5, 8),  # with a key, its replay, without a key
    "get_lottery_draws_draw_id_proof": (4,),
    "get_lottery_rules": (2,),
    "post_photo_upload": (15, 15),
    "get_photo_history": (3, 2),  # with processes; without a receipt
    "get_photo_uploads_upload_id": (3,),
    "get_merchant_reviews": (6, 7),  # and the shop that is asked for
    "post_merchant_review": (19, 15),  # approved, rejected
    "post_merchant_reviews_batch": (19,),
    "get_user_invitations": (4, 4),
    "post_user_invitations_invitation_id": (24, 9),  # accepted, declined
    "get_merchant_shops_shop_id_members": (4, 4),
    # Rights are asked for at each step, as the console does.
    "post_merchant_shops_shop_id_members": (28, 26),  # anew; again
    "patch_merchant_shops_shop_id_members": (27, 27),  # a member; an invitation
    # A member, an invitation, oneself.
    "delete_merchant_shops_shop_id_members": (24, 17, 17),
    "get_health": (0,),
    "get_ready": (0,),
    "get_schema": (0, 0, 0),
}


def test_every_operation_is_counted():
    assert set(OF_OPERATIONS) == set(OPERATIONS)


@pytest.mark.postgresql
@pytest.mark.parametrize("name", sorted(SCENES))
def test_the_statements_of_an_operation(name, scene):
    seeds.pairs_of(scene.cast.customer.pk)
    fix_seeds(scene.cast.customer)  # what is won decides how much is written
    answers = [answer for _code, answer in SCENES[name](scene)]
    numbers = tuple(one.statements for one in answers if one.status_code == 200)
    assert numbers == OF_OPERATIONS[name]


# --- Lists of any length ------------------------------------------------------------------------
type Fill = Callable[[Scene], object]
FILLS: dict[str, tuple[str, Fill]] = {}


def fills(name: str, path: str) -> Callable[[Fill], Fill]:
    def keep(fill: Fill) -> Fill:
        FILLS[name] = path, fill
        return fill

    return keep


def make_shown_product(**fields):
    """A product with all that a list shows of it."""
    product = make_product(category=make_category(), **fields)
    for height in (9, 10):
        add_picture(product_id=product.pk, content=make_png((9, height)))
    return product


@fills("get_user_points", "/api/user/points")
def _(at):
    give(at.cast.customer, 1)


@fills("get_user_sessions", "/api/user/sessions")
def _(at):
    at.as_("customer")


@fills("get_shops", "/api/shops")
def _(_at):
    make_shop()


@fills("get_exchange_categories", "/api/exchange/categories")
def _(_at):
    make_category()


@fills("get_exchange_products", "/api/exchange/products")
def _(_at):
    make_shown_product()


@fills("get_exchange_orders", "/api/exchange/orders")
def _(at):
    make_order(person=at.cast.customer, product=make_shown_product(codes=["A-1"]))


@fills("get_favorites", "/api/favorites")
def _(at):
    favorites.add(person=at.cast.customer, product_id=make_shown_product().pk)


@fills("get_lottery_records", "/api/lottery/records")
def _(at):
    """A draw of another version each time, with an order of another product."""
    product = make_shown_product()
    Wheel.objects.filter(pk=at.wheel.pk).update(pity_threshold=None)
    at.wheel.prizes.update(probability=0)
    at.wheel.prizes.filter(angle=45).update(probability=1, product=product)
    publishing.publish(wheel_id=at.wheel.pk)
    assert draw_once(at.cast.customer, at.wheel).order_id


@fills("get_lottery_rules", "/api/lottery/rules")
def _(at):
    publishing.publish(wheel_id=at.wheel.pk)


@fills("get_photo_history", "/api/photo/history")
def _(at):
    make_receipt(shop=at.cast.shop, person=at.cast.customer)


@fills("get_merchant_reviews", "/api/merchant/reviews")
def _(at):
    make_receipt(shop=at.cast.shop)


@fills("get_merchant_shops_shop_id_members", "/api/merchant/shops/{shop}/members")
def _(at):
    make_member(shop=at.cast.shop)


@fills("get_user_invitations", "/api/user/invitations")
def _(at):
    invitations.invite(shop_id=make_shop().pk, phone=at.cast.customer.phone, role=ShopRole.CASHIER)


def test_every_list_is_filled():
    lists = {
        name
        for name, operation in OPERATIONS.items()
        if any(one.get("name") == "page_size" for one in operation.said.get("parameters", ()))
    }
    assert set(FILLS) == lists


@pytest.mark.postgresql
@pytest.mark.parametrize("name", sorted(FILLS))
def test_a_list_of_fifteen_takes_as_many_as_one_of_five(name, scene):
    path, fill = FILLS[name]
    path = path.format(shop=scene.cast.shop.pk)
    role = "owner" if path.endswith("/members") else "reviewer"
    reader = scene.as_(role) if "/merchant/" in path else scene.customer

    def read(number):
        answer = reader.get(f"{path}?page_size={number}")
        assert len(data_of(answer)["items"]) == number
        return answer.statements

    for _row in range(5):
        fill(scene)
    few = read(5)
    for _row in range(10):
        fill(scene)
    assert read(15) == few
