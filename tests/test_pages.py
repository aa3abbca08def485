"""Every list of the API: its cursors are its own, and ours alone."""

import base64
import json
import zlib

import pytest
from drf_spectacular.generators import SchemaGenerator

from accounts.models import DeviceSession, PointsEntry
from accounts.tests.factories import make_sign_in
from catalog.models import (
    Category,
    Order,
    Product,
    Shop,
    ShopInvitation,
    ShopMember,
    ShopRole,
)
from catalog.tests.factories import (
    invite_from_elsewhere,
    make_category,
    make_member,
    make_order,
    make_product,
    make_shop,
)
from favorites import services as favorites
from favorites.models import Favorite
from lottery.models import Draw, WheelVersion
from lottery.services import publishing
from lottery.tests.factories import draw_once, make_wheel
from ops.services.encryption import keyed_hash
from reviews.models import Receipt
from reviews.tests.factories import make_receipt
from tests.api import client_of, data_of
from tests.people import make_person
from tests.refusals import refused

pytestmark = pytest.mark.django_db

# Each list with what its first versions wrote into a cursor: the table and the order.
LISTS = {
    "/api/exchange/categories": (Category, "position id"),
    "/api/exchange/orders": (Order, "-id"),
    "/api/exchange/products": (Product, "-id"),
    "/api/favorites": (Favorite, "-id"),
    "/api/lottery/records": (Draw, "-id"),
    "/api/lottery/rules": (WheelVersion, "-number"),
    "/api/merchant/reviews": (Receipt, "-id"),
    "/api/merchant/shops/{shop_id}/members": (ShopMember, "-id"),
    "/api/photo/history": (Receipt, "-id"),
    "/api/shops": (Shop, "-id"),
    "/api/user/invitations": (ShopInvitation, "-id"),
    "/api/user/points": (PointsEntry, "-sequence"),
    "/api/user/sessions": (DeviceSession, "-id"),
}
EACH = pytest.mark.parametrize("path", LISTS)


@pytest.fixture
def api():
    """The app of somebody who has two of everything."""
    shop, person = make_shop(), make_person(points=10_000)
    make_shop()
    make_member(shop=shop, role=ShopRole.OWNER, person=person)
    wheel = make_wheel(is_default=True)
    publishing.publish(wheel_id=wheel.pk)
    for _ in range(2):
        make_sign_in(person)
        make_category()
        product = make_product(shop=shop)
        favorites.add(person=person, product_id=product.pk)
        make_order(person=person, product=product)
        make_receipt(shop=shop, person=person)
        draw_once(person, wheel)
        make_member(shop=shop)
        invite_from_elsewhere(person)
    return client_of(person, raise_request_exception=False)


def coded(read):
    return base64.urlsafe_b64encode(read).decode().rstrip("=")


def uncoded(cursor):
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


def ask(api, path, **query):
    """The list at this path, of the first shop where it is one of a shop."""
    shop = Shop.objects.earliest("pk")
    return api.get(path.format(shop_id=shop.pk), query)


def next_of(api, path, **query):
    """The cursor of the second page."""
    return data_of(ask(api, path, page_size=1, **query))["next"]


def refuse(api, path, cursor):
    assert list(refused(ask(api, path, cursor=cursor), 1011)) == ["cursor"]


def test_these_are_all_the_lists():
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    paged = {
        path
        for path, methods in paths.items()
        if any(one.get("name") == "cursor" for one in methods.get("get", {}).get("parameters", ()))
    }
    assert paged == set(LISTS)


@EACH
def test_a_cursor_brings_the_next_page(api, path):
    first = data_of(ask(api, path, page_size=1))
    second = data_of(ask(api, path, page_size=1, cursor=first["next"]))
    assert len(second["items"]) == 1
    assert second["items"] != first["items"]


@EACH
@pytest.mark.parametrize("values", [[None], [None, None], [0], [10**6], ["x"], []], ids=repr)
def test_a_cursor_of_somebody_elses_making_is_none(api, path, values):
    model, ordering = LISTS[path]
    name = zlib.crc32(f"{model._meta.label} {ordering}".encode())
    refuse(api, path, coded(json.dumps([name, *values]).encode()))
    refuse(api, path, coded(b"\0" * 16 + json.dumps(values).encode()))


@EACH
def test_a_cursor_that_was_changed_is_none(api, path):
    ours = uncoded(next_of(api, path))
    for place in range(len(ours)):
        changed = ours[:place] + bytes([ours[place] ^ 1]) + ours[place + 1 :]
        refuse(api, path, coded(changed))
    for length in range(1, len(ours)):
        refuse(api, path, coded(ours[:length]))


@EACH
def test_a_cursor_of_another_list_is_none(api, path):
    for other in LISTS.keys() - {path, "/api/photo/history", "/api/merchant/reviews"}:
        refuse(api, path, next_of(api, other))


@EACH
def test_an_empty_cursor_is_the_first_page(api, path):
    assert next_of(api, path, cursor="") == next_of(api, path)


def test_a_cursor_from_before_an_order_meant_something_else_is_none(api):
    key = b'["not a number any more"]'
    digest = keyed_hash("cursor", f"accounts.PointsEntry -sequence {key.decode()}")
    refuse(api, "/api/user/points", coded(bytes.fromhex(digest)[:16] + key))


def test_a_cursor_outlives_the_key_that_made_it(api, settings):
    path = "/api/user/points"
    cursor = next_of(api, path)
    settings.HASH_KEYS = ("a newer key of this test, as long as one has to be", *settings.HASH_KEYS)
    data_of(api.get(path, {"cursor": cursor}))
    settings.HASH_KEYS = settings.HASH_KEYS[:1]
    refuse(api, path, cursor)
