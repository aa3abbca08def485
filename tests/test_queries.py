"""Every parameter of every query: empty is no value, and which one is meant is said."""

import pytest
from drf_spectacular.generators import SchemaGenerator

from catalog.models import Shop, ShopRole
from catalog.tests.factories import make_member, make_shop
from lottery.tests.factories import make_wheel
from tests.api import client_of, data_of
from tests.refusals import refused

pytestmark = pytest.mark.django_db

# As if it were left out: a client sends what its field for texts holds, and the cursor it has.
MAY_BE_EMPTY = {"cursor", "search"}


def parameters():
    """Each parameter of a query that the API documents name, with its address."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return [
        (path, parameter["name"])
        for path, methods in paths.items()
        for parameter in methods.get("get", {}).get("parameters", ())
        if parameter.get("in") == "query" and path != "/api/schema"
    ]


@pytest.fixture
def api():
    make_wheel(is_default=True)
    owner = make_member(shop=make_shop(), role=ShopRole.OWNER)
    return client_of(owner, raise_request_exception=False)


def at(path):
    """The address of an operation, of the one shop there is where it is a shop's."""
    return path.format(shop_id=Shop.objects.get().pk)


@pytest.mark.parametrize(("path", "name"), parameters())
def test_an_empty_parameter_is_1011_naming_it_or_left_out(api, path, name):
    response = api.get(at(path), {name: ""})
    if name in MAY_BE_EMPTY:
        assert data_of(response) == data_of(api.get(at(path)))
    else:
        (why,) = refused(response, 1011)[name]
        assert why


@pytest.mark.parametrize(("path", "name"), parameters())
def test_what_is_no_utf_8_is_1011_naming_it(api, path, name):
    response = api.get(f"{at(path)}?{name}=%ff%fe")
    (why,) = refused(response, 1011)[name]
    assert why


def test_the_parameters_are_known():
    assert {name for _path, name in parameters()} == {
        *MAY_BE_EMPTY,
        *["affordable", "category", "max_points", "min_points", "shop", "sort"],
        *["page_size", "risk", "source", "status", "type", "wheel_id"],
    }
