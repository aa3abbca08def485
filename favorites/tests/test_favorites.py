"""`/api/favorites`: what a person keeps, and what is behind it."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from catalog.models import Product, ProductStatus
from catalog.tests.factories import make_category, make_product
from favorites import services
from favorites.errors import FavoriteNotFound
from favorites.models import Favorite
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person

pytestmark = pytest.mark.django_db

FAVORITES = "/api/favorites"


def items_of(person):
    return data_of(client_of(person).get(FAVORITES))["items"]


def test_keeping_twice_keeps_once_and_answers_the_same():
    person, product = make_person(), make_product()

    first = data_of(client_of(person).post(FAVORITES, {"product_id": product.pk}))
    again = data_of(client_of(person).post(FAVORITES, {"product_id": product.pk}))

    assert first == again
    assert (first["product_id"], first["is_favorite"]) == (product.pk, True)
    assert Favorite.objects.count() == 1


def test_of_two_at_once_both_get_the_one_row(monkeypatch):
    """The other one is quicker, just after it was looked whether the product is there."""
    person, product = make_person(), make_product()
    visible = type(Product.objects.all()).visible

    def quicker(rows):
        Favorite.objects.create(person=person, product=product)
        return visible(rows)

    monkeypatch.setattr(type(Product.objects.all()), "visible", quicker)

    assert services.add(person=person, product_id=product.pk) == Favorite.objects.get()


def test_the_constraint_keeps_one():
    favorite = services.add(person=make_person(), product_id=make_product().pk)

    with pytest.raises(IntegrityError), transaction.atomic():
        Favorite.objects.create(person=favorite.person, product=favorite.product)


@pytest.mark.parametrize("product_id", [None, "1", True, 0, 10**30, 999_999])
def test_what_is_not_there_cannot_be_kept(product_id):
    response = client_of(make_person()).post(FAVORITES, {"product_id": product_id})

    assert refusal_of(response) == (404, 7001, None)
    assert not Favorite.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [{"status": ProductStatus.DRAFT}, {"status": ProductStatus.INACTIVE}, {"is_listed": False}],
)
def test_what_is_hidden_cannot_be_kept(fields):
    with pytest.raises(FavoriteNotFound):
        services.add(person=make_person(), product_id=make_product(**fields).pk)

    assert not Favorite.objects.exists()


def test_the_list_shows_products_newest_first():
    person = make_person()
    first, second = make_product(category=make_category(name="Drinks")), make_product()
    for product in (first, second):
        services.add(person=person, product_id=product.pk)
    services.add(person=make_person(), product_id=first.pk)

    items = items_of(person)

    assert [item["commodity_id"] for item in items] == [second.pk, first.pk]
    assert items[1]["category"] == "Drinks"
    assert all(item["is_favorite"] for item in items)
    assert all(item["favorited_at"].endswith("+08:00") for item in items)


def test_what_was_withdrawn_stays_and_says_so():
    person, product = make_person(), make_product()
    kept = services.add(person=person, product_id=product.pk)
    product.status = ProductStatus.INACTIVE
    product.save(update_fields=["status"])

    (item,) = items_of(person)

    assert (item["commodity_id"], item["status"]) == (product.pk, "inactive")
    assert services.add(person=person, product_id=product.pk) == kept


def test_pages_follow_each_other():
    person = make_person()
    products = [make_product() for _ in range(3)]
    for product in products:
        services.add(person=person, product_id=product.pk)
    client = client_of(person)

    first = data_of(client.get(f"{FAVORITES}?page_size=2"))
    second = data_of(client.get(f"{FAVORITES}?page_size=2&cursor={first['next']}"))

    shown = [item["commodity_id"] for item in first["items"] + second["items"]]
    assert shown == [product.pk for product in reversed(products)]
    assert second["next"] is None


def test_letting_go_of_what_is_absent_is_fine():
    person, product = make_person(), make_product()
    services.add(person=person, product_id=product.pk)
    other = services.add(person=make_person(), product_id=product.pk)

    for path in (product.pk, product.pk, 999_999, "x", "99999999999999999999"):
        assert data_of(client_of(person).delete(f"{FAVORITES}/{path}")) is None

    assert list(Favorite.objects.all()) == [other]


def test_check_tells_of_each_id():
    person, kept, other = make_person(), make_product(), make_product()
    services.add(person=person, product_id=kept.pk)
    asked = [kept.pk, other.pk, 999_999, "x", 10**30]

    response = client_of(person).post(f"{FAVORITES}/check", {"product_ids": asked})

    assert data_of(response) == {
        str(kept.pk): True,
        str(other.pk): False,
        "999999": False,
        "x": False,
        str(10**30): False,
    }
    as_text = client_of(person).post(f"{FAVORITES}/check", {"product_ids": [str(kept.pk)]})
    assert data_of(as_text) == {str(kept.pk): True}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"product_ids": None},
        {"product_ids": 5},
        {"product_ids": list(range(101))},
        {"product_ids": [True]},
        {"product_ids": [[1]]},
    ],
)
def test_a_check_of_something_else_is_refused(body):
    refusal = refusal_of(client_of(make_person()).post(f"{FAVORITES}/check", body))

    assert (refusal.status, refusal.code) == (400, 1011)
    assert all(name.startswith("product_ids") for name in refusal.data)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ('"\\ud800"', "An id as text has visible characters alone."),
        ('"' + "x" * 41 + '"', "An id as text has at most 40 characters."),
        ("1" + "0" * 40, "An id as text has at most 40 characters."),
        ('"\\u0000"', "An id as text has visible characters alone."),
        ("null", "This field may not be null."),
        ("true", "An id is a number or a text."),
        ("1.5", "An id is a number or a text."),
    ],
)
def test_a_key_that_could_not_be_answered_is_refused_in_words_that_say_why(key, why):
    response = client_of(make_person()).post(
        f"{FAVORITES}/check",
        f'{{"product_ids": [{key}]}}',
        content_type="application/json",
        headers={"Accept-Language": "en"},
    )

    refusal = refusal_of(response)
    assert (refusal.status, refusal.code) == (400, 1011)
    assert refusal.data == {"product_ids.0": [why]}


def test_a_key_of_forty_characters_is_answered():
    response = client_of(make_person()).post(f"{FAVORITES}/check", {"product_ids": ["x" * 40]})

    assert data_of(response) == {"x" * 40: False}


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", ""), ("post", ""), ("delete", "/1"), ("post", "/check")],
)
def test_strangers_keep_nothing(method, path):
    response = getattr(client_of(), method)(f"{FAVORITES}{path}")

    assert refusal_of(response) == (401, 1006, None)


def test_the_number_of_queries_does_not_grow_with_the_page():
    person = make_person()

    def fill(number):
        for _ in range(number):
            services.add(person=person, product_id=make_product(category=make_category()).pk)

    def count():
        with CaptureQueriesContext(connection) as queries:
            items_of(person)
        return len(queries)

    fill(1)
    with_one = count()
    fill(4)
    assert count() == with_one == 2


def test_a_product_that_is_deleted_while_the_list_is_read_is_shown_as_it_was():
    person, product, gone = make_person(), make_product(), make_product(stock=0)
    for one in (product, gone):
        services.add(person=person, product_id=one.pk)
    kept, left = [gone.pk, product.pk], [gone]

    def delete_before_the_pictures_are_read(execute, sql, params, many, context):
        if left and 'FROM "catalog_productimage"' in sql:
            left.pop().delete()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(delete_before_the_pictures_are_read):
        items = items_of(person)

    assert left == []
    assert [item["commodity_id"] for item in items] == kept
    assert [item["commodity_id"] for item in items_of(person)] == [product.pk]
