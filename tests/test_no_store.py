"""Nobody on the way keeps what is a person's; what anybody may read, anybody may ask about."""

import re

import pytest
from drf_spectacular.generators import SchemaGenerator

from accounts.tests.factories import make_sign_in, sign_in
from catalog.models import ShopRole
from catalog.tests.factories import (
    invite_from_elsewhere,
    make_category,
    make_member,
    make_order,
    make_product,
    make_shop,
)
from lottery.tests.factories import draw_once, make_wheel
from reviews.tests.factories import make_receipt
from tests.api import client_of, data_of
from tests.people import make_person
from tests.refusals import refused

pytestmark = pytest.mark.django_db

OUTSIDE_THE_ENVELOPE = {"/api/health", "/api/ready", "/api/schema"}
OPEN = {
    "/api/config",
    "/api/exchange/categories",
    "/api/exchange/products",
    "/api/exchange/products/{product_id}",
    "/api/lottery/config",
    "/api/lottery/rules",
    "/api/shops",
}


def operations():
    """Every method at every address that the API documents name."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return [
        (method, path)
        for path, methods in paths.items()
        for method in methods
        if path not in OUTSIDE_THE_ENVELOPE
    ]


@pytest.fixture
def world():
    """One of everything, and the person to whom it belongs."""
    shop, person = make_shop(), make_person(points=10_000)
    make_member(shop=shop, role=ShopRole.OWNER, person=person)
    make_category()
    product, wheel = make_product(shop=shop), make_wheel(is_default=True)
    order = make_order(person=person, product=product)
    receipt = make_receipt(shop=shop, person=person)
    ids = {
        "product_id": product.pk,
        "exchange_id": order.pk,
        "upload_id": receipt.pk,
        "draw_id": draw_once(person, wheel).pk,
        "session_id": make_sign_in(person).session.pk,
        "shop_id": shop.pk,
        "invitation_id": invite_from_elsewhere(person).pk,
    }
    return person, ids


def address(path, ids):
    return re.sub(r"\{(\w+)\}", lambda name: str(ids[name[1]]), path)


def vary(response):
    return {name.strip().lower() for name in response["Vary"].split(",")}


@pytest.mark.parametrize(("method", "path"), operations())
def test_what_is_answered_to_a_person_is_kept_by_nobody(world, method, path):
    person, ids = world
    api = client_of(person, raise_request_exception=False)
    response = getattr(api, method)(address(path, ids), {} if method == "get" else None)
    assert response["Cache-Control"] == "no-store", response.content
    if method == "get" and not path.endswith(("/verify", "/proof")):
        data_of(response)


@pytest.mark.parametrize("path", sorted(OPEN))
def test_what_anybody_may_read_anybody_may_keep(world, path):
    _person, ids = world
    response = client_of().get(address(path, ids))
    data_of(response)
    assert response["Cache-Control"] == "no-cache"
    assert response["ETag"]
    assert "authorization" in vary(response)


def test_these_are_all_the_open_ones(world):
    _person, ids = world
    gets = [path for method, path in operations() if method == "get"]
    answers = {path: client_of().get(address(path, ids)).status_code for path in gets}
    assert {path for path, status in answers.items() if status == 200} == OPEN
    assert {status for status in answers.values() if status != 200} == {401}


def test_tokens_are_kept_by_nobody():
    api = client_of()
    for path, body in (
        ("/api/auth/code", {"phone": "13800138001"}),
        ("/api/auth/login", {"phone": "13800138001", "code": "123456"}),
    ):
        response = api.post(path, body)
        data = data_of(response)
        assert response["Cache-Control"] == "no-store"
    response = api.post("/api/auth/refresh", {"refresh_token": data["refresh_token"]})
    data = data_of(response)
    assert response["Cache-Control"] == "no-store"
    response = api.get(
        "/api/auth/verify", headers={"Authorization": f"Bearer {data['access_token']}"}
    )
    assert data_of(response)["valid"]
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/api/shops", "/api/user/profile", "/api/nothing"])
def test_a_token_that_is_none_gets_an_answer_of_its_own(path):
    response = client_of().get(path, headers={"Authorization": "Bearer x"})
    assert response.status_code in (401, 404)
    assert response["Cache-Control"] == "no-store"


@pytest.mark.urls("ops.tests.probe_urls")
def test_a_failure_on_the_way_to_a_person_is_kept_by_nobody():
    api = client_of(raise_request_exception=False)
    sign_in(api)
    response = api.get("/api/fail/bug")
    refused(response, 1000)
    assert response["Cache-Control"] == "no-store"
