import hashlib
from contextlib import nullcontext

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import ProductKind, ProductStatus
from catalog.services import mall
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
from ops.tests.storages import small_s3
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person

pytestmark = pytest.mark.django_db
PICTURES = ("image", "thumbnail", "images")

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


def one_product(product, person=None):
    return data_of(client_of(person).get(f"{PRODUCTS}/{product.pk}"))


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


@pytest.fixture(params=["folder", "S3"])
def storage(request):
    """What is promised of pictures holds wherever they lie."""
    with small_s3() if request.param == "S3" else nullcontext():
        yield


def address_of(file):
    """Where clients find a file of these bytes."""
    sha256 = hashlib.sha256(files.read(file)).hexdigest()
    return f"http://testserver/files/public/{sha256}.jpg"


def picture_at(address):
    """What a stranger without any header gets at an address."""
    answer = client_of().get(address)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/jpeg")
    assert "immutable" in answer["Cache-Control"]
    return answer.content


@pytest.mark.usefixtures("storage")
def test_pictures_are_absolute_addresses_that_need_no_header_and_never_change():
    product = make_product()
    first, second = (
        add_picture(product_id=product.pk, content=make_png(size)) for size in ((500, 500), (9, 9))
    )

    (item,) = listed()["items"]

    assert item["image"] == address_of(first.file)
    assert item["thumbnail"] == address_of(first.thumbnail)
    assert one_product(product)["images"] == [address_of(first.file), address_of(second.file)]
    assert picture_at(item["image"]) == files.read(first.file)
    assert first.thumbnail is not None
    assert picture_at(item["thumbnail"]) == files.read(first.thumbnail)


def test_a_picture_without_a_thumbnail_stands_for_itself():
    image = add_picture(product_id=make_product().pk, content=make_png((9, 9)))
    image.thumbnail = None
    image.save()
    (item,) = listed()["items"]
    assert item["thumbnail"] == item["image"] == address_of(image.file)


def test_addresses_of_pictures_are_the_same_for_everybody():
    product = make_product()
    add_picture(product_id=product.pk, content=make_png((9, 9)))
    strangers = one_product(product)
    for person in (None, make_person()):
        same = one_product(product, person=person)
        assert {name: same[name] for name in PICTURES} == {
            name: strangers[name] for name in PICTURES
        }


def test_the_same_picture_of_two_products_has_one_address_and_another_one_another():
    products = [make_product() for _ in range(3)]
    for product, colour in zip(products, ("red", "red", "blue"), strict=True):
        add_picture(product_id=product.pk, content=make_png((9, 9), colour))
    for name in ("image", "thumbnail"):
        red, same, blue = (one_product(product)[name] for product in products)
        assert red == same != blue


def test_a_picture_that_is_replaced_has_another_address_and_the_old_one_stays_what_it_is():
    product = make_product()
    image = add_picture(product_id=product.pk, content=make_png((9, 9), "red"))
    before = one_product(product)
    seen = picture_at(before["image"])

    other = add_picture(product_id=product.pk, content=make_png((9, 9), "blue"))
    image.delete()

    after = one_product(product)
    assert (after["image"], after["thumbnail"]) == (
        address_of(other.file),
        address_of(other.thumbnail),
    )
    assert not {before[name] for name in ("image", "thumbnail")} & {*after["images"]}
    assert picture_at(before["image"]) == seen


def test_pictures_of_a_withdrawn_product_stay_where_they_were():
    """Orders and favorites still show it, and whoever saw it may have kept it anyway."""
    product = make_product()
    add_picture(product_id=product.pk, content=make_png((9, 9)))
    address = one_product(product)["image"]
    product.status = ProductStatus.INACTIVE
    product.save()
    assert not ids_listed()
    assert picture_at(address)


def test_pictures_are_asked_for_at_a_cdn_where_there_is_one(settings):
    settings.PUBLIC_FILES_URL = "https://cdn.example"
    image = add_picture(product_id=make_product().pk, content=make_png((9, 9)))
    (item,) = listed()["items"]
    here = address_of(image.file)
    assert item["image"] == here.replace("http://testserver", "https://cdn.example")
    assert picture_at(here)


def test_a_person_sees_their_favorites():
    person = make_person()
    kept, other = make_product(), make_product()
    favorites.add(person=person, product_id=kept.pk)

    items = listed(person=person)["items"]

    assert {item["commodity_id"]: item["is_favorite"] for item in items} == {
        kept.pk: True,
        other.pk: False,
    }


def test_a_mall_without_favorites_says_that_nobody_keeps_anything(monkeypatch):
    monkeypatch.setattr(mall, "_is_favorite_of", None)
    product, person = make_product(), make_person()
    favorites.add(person=person, product_id=product.pk)

    assert [item["is_favorite"] for item in listed(person=person)["items"]] == [False]


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
    assert number_of_queries() == with_one == 3  # products, pictures, favorites
