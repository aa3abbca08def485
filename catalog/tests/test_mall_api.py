import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import ProductKind, ProductStatus
from catalog.services.pictures import add_picture
from catalog.tests.factories import (
    make_category,
    make_order,
    make_png,
    make_product,
    make_shop,
)
from favorites import services as favorites
from ops.services import files
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person

pytestmark = pytest.mark.django_db

PRODUCTS = "/api/exchange/products"
FIELDS = {
    "commodity_id",
    "name",
    "description",
    "category",
    "image",
    "thumbnail",
    "exchange_points",
    "market_price",
    "stock",
    "stock_version",
    "sales_count",
    "kind",
    "is_favorite",
    "status",
}


def listed(query="", person=None):
    return data_of(client_of(person).get(f"{PRODUCTS}{query}"))


def ids_listed(query="", person=None):
    return [item["commodity_id"] for item in listed(query, person)["items"]]


def one_product(product):
    return data_of(client_of().get(f"{PRODUCTS}/{product.pk}"))


def test_an_item_says_what_the_contract_names():
    product = make_product(
        name="Tea", description="Hot", category=make_category(name="Drinks"), stock=3
    )

    (item,) = listed()["items"]

    assert set(item) >= FIELDS
    assert item["commodity_id"] == product.pk
    assert (item["name"], item["description"], item["category"]) == ("Tea", "Hot", "Drinks")
    assert (item["exchange_points"], item["market_price"]) == (100, "12.50")
    assert (item["stock"], item["stock_version"], item["sales_count"]) == (3, 1, 0)
    assert (item["kind"], item["status"]) == ("physical", "active")
    assert (item["image"], item["thumbnail"], item["is_favorite"]) == (None, None, None)


def test_the_mall_shows_what_is_active_and_listed():
    make_product(status=ProductStatus.DRAFT)
    make_product(status=ProductStatus.INACTIVE)
    make_product(is_listed=False)
    shown = make_product(category=None)

    assert ids_listed() == [shown.pk]


def test_pictures_are_absolute_addresses_that_need_no_header():
    product = make_product()
    for _ in range(2):
        add_picture(product_id=product.pk, content=make_png((500, 500)))

    (item,) = listed()["items"]

    for name in ("image", "thumbnail"):
        assert item[name].startswith("http://testserver/files/")
        token = item[name].removeprefix("http://testserver/files/")
        file = files.by_signed_token(token)
        assert file is not None
        assert file.media_type == "image/jpeg"
    assert item["image"] != item["thumbnail"]
    assert len(one_product(product)["images"]) == 2


def test_a_person_sees_their_favorites():
    person = make_person()
    kept, other = make_product(), make_product()
    favorites.add(person=person, product_id=kept.pk)

    items = listed(person=person)["items"]

    assert {item["commodity_id"]: item["is_favorite"] for item in items} == {
        kept.pk: True,
        other.pk: False,
    }


@pytest.mark.parametrize("sort", ["newest", "points", "-points", "sales"])
def test_pages_of_every_sort_are_complete_and_in_order(sort):
    for price in (300, 100, 200, 100, 300, 100, 200):
        product = make_product(points_price=price)
    make_order(product=product)
    whole = ids_listed(f"?sort={sort}")

    seen, cursor = [], ""
    while cursor is not None:
        data = listed(f"?sort={sort}&page_size=2&cursor={cursor}")
        seen += [item["commodity_id"] for item in data["items"]]
        cursor = data["next"]

    assert seen == whole
    assert len(set(seen)) == 7
    prices = [item["exchange_points"] for item in listed(f"?sort={sort}")["items"]]
    expected = {
        "newest": [200, 100, 300, 100, 200, 100, 300],
        "points": sorted(prices),
        "-points": sorted(prices, reverse=True),
        "sales": [200, 100, 300, 100, 200, 100, 300],
    }
    assert prices == expected[sort]


def test_what_sells_best_comes_first():
    first, second = make_product(), make_product()
    make_order(product=first, quantity=2)
    make_order(product=second)

    assert ids_listed("?sort=sales") == [first.pk, second.pk]


def test_filters_can_be_combined():
    drinks, shop = make_category(name="Drinks"), make_shop()
    tea = make_product(name="Green TEA", category=drinks, shop=shop, points_price=50)
    cup = make_product(name="Cup", description="for tea", shop=shop, points_price=150)
    hat = make_product(name="Hat", points_price=300)

    assert ids_listed(f"?category={drinks.pk}") == ids_listed("?category=Drinks") == [tea.pk]
    assert ids_listed("?search=tea") == [cup.pk, tea.pk]
    assert ids_listed(f"?shop={shop.pk}&min_points=100") == [cup.pk]
    assert ids_listed("?min_points=150&max_points=300") == [hat.pk, cup.pk]
    assert ids_listed("?search=&cursor=") == ids_listed("?search=%20") == [hat.pk, cup.pk, tea.pk]
    assert ids_listed("?colour=red") == [hat.pk, cup.pk, tea.pk]
    assert ids_listed("?max_points=99999999999999999999999") == [hat.pk, cup.pk, tea.pk]


def test_affordable_is_what_the_persons_points_cover():
    cheap, dear = make_product(points_price=100), make_product(points_price=101)
    person = make_person(points=100)

    assert ids_listed("?affordable=1", person) == [cheap.pk]
    assert ids_listed("?affordable=0", person) == [dear.pk, cheap.pk]
    assert ids_listed("?affordable=1") == [dear.pk, cheap.pk]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("?category=nothing", "category"),
        ("?category=", "category"),
        ("?shop=", "shop"),
        ("?min_points=", "min_points"),
        ("?max_points=", "max_points"),
        ("?affordable=", "affordable"),
        ("?sort=", "sort"),
        ("?page_size=", "page_size"),
        ("?category=999999", "category"),
        ("?category=%00", "category"),
        ("?shop=999999", "shop"),
        ("?shop=x", "shop"),
        ("?min_points=-1", "min_points"),
        ("?min_points=x", "min_points"),
        ("?max_points=1.5", "max_points"),
        ("?affordable=perhaps", "affordable"),
        ("?sort=price", "sort"),
        ("?search=%00", "search"),
        ("?cursor=x", "cursor"),
        ("?page_size=0", "page_size"),
    ],
)
def test_a_filter_that_cannot_be_understood_is_named(query, parameter):
    refusal = refusal_of(client_of().get(f"{PRODUCTS}{query}"))

    assert (refusal.status, refusal.code, list(refusal.data)) == (400, 1011, [parameter])


def test_one_product_has_its_limit():
    product = make_product(limit_per_person=2)

    one = one_product(product)

    assert set(one) >= FIELDS | {"images", "limit_per_user"}
    assert (one["limit_per_user"], one["images"]) == (2, [])


@pytest.mark.parametrize("path", ["999999", "x", "0", "99999999999999999999"])
def test_what_is_not_there_is_not_found(path):
    assert refusal_of(client_of().get(f"{PRODUCTS}/{path}")) == (404, 4001, None)


def test_a_hidden_product_is_not_there():
    product = make_product(is_listed=False)

    refusal = refusal_of(client_of().get(f"{PRODUCTS}/{product.pk}"))

    assert refusal == (404, 4001, None)


def test_categories_come_in_their_order():
    late, early = make_category(position=2), make_category(position=1)

    data = data_of(client_of().get("/api/exchange/categories"))

    assert [item["category_id"] for item in data["items"]] == [early.pk, late.pk]
    assert set(data["items"][0]) == {"category_id", "name"}


def test_open_and_closed_shops_are_listed():
    make_shop(name="One", address="Here")
    make_shop(name="Two", is_open=False)

    data = data_of(client_of().get("/api/shops"))

    assert [(item["name"], item["open"]) for item in data["items"]] == [
        ("Two", False),
        ("One", True),
    ]
    assert set(data["items"][0]) == {"shop_id", "name", "address", "open"}


def test_the_number_of_queries_does_not_grow_with_the_page():
    person = make_person()

    def number_of_queries():
        with CaptureQueriesContext(connection) as queries:
            listed(person=person)
        return len(queries)

    def fill(number):
        for _ in range(number):
            product = make_product(category=make_category(), kind=ProductKind.COUPON)
            add_picture(product_id=product.pk, content=make_png((9, 9)))
            favorites.add(person=person, product_id=product.pk)

    fill(1)
    with_one = number_of_queries()
    fill(4)
    assert number_of_queries() == with_one == 2
