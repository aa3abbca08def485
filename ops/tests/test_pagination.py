"""Pages by more than one key; the rest is tried on the ledger's own list."""

import random
import re

import pytest
from django.db import connection
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounts.models import User
from catalog.models import Product
from catalog.serializers import SORTS
from catalog.tests.factories import make_product
from ops.api.pagination import cursor_behind, page
from ops.errors import ValidationFailed
from tests.people import make_person

pytestmark = pytest.mark.django_db


def request_with(**query):
    return Request(APIRequestFactory().get("/", query))


def walk(rows, ordering, size):
    cursor: str | None = ""
    seen: list[int] = []
    while cursor is not None:
        found, cursor = page(request_with(cursor=cursor, page_size=size), rows, ordering=ordering)
        seen += [row.pk for row in found]
    return seen


@pytest.mark.parametrize(
    "ordering",
    [
        ["status", "id"],
        ["-status", "id"],
        ["status", "-id"],
        ["-nickname", "-status", "id"],
        ["-created_at", "id"],
        ["created_at", "-id"],
        ["-is_staff", "id"],
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_follow_each_other_in_the_order_of_all(ordering, size):
    for number in range(8):
        make_person(
            status=["active", "banned", "inactive"][number % 3],
            nickname=["甲", "乙 %", "a"][number % 2],
            is_staff=number % 4 == 0,
        )
    User.objects.filter(pk__lt=User.objects.order_by("pk")[3].pk).update(
        created_at=User.objects.order_by("pk")[5].created_at
    )
    whole = [row.pk for row in User.objects.order_by(*ordering)]
    assert walk(User.objects.all(), ordering, size) == whole


def test_the_cursor_of_the_same_rows_in_another_order_is_refused():
    for _ in range(3):
        make_person()
    _rows, cursor = page(request_with(page_size=1), User.objects.all(), ordering=["-id"])
    with pytest.raises(ValidationFailed) as refusal:
        page(request_with(cursor=cursor), User.objects.all(), ordering=["id"])
    assert list(refusal.value.data) == ["cursor"]


# --- Rows by chance -----------------------------------------------------------------------------
FIELDS = ("points_price", "sales_count", "name", "is_listed", "created_at")


@pytest.mark.parametrize("seed", range(6))
def test_no_row_comes_twice_or_is_lost_whatever_the_order(seed):
    chance = random.Random(seed)
    product = make_product()
    moments = [product.created_at.replace(microsecond=number) for number in range(3)]
    Product.objects.bulk_create(
        Product(
            shop=product.shop,
            kind=product.kind,
            name=chance.choice(["甲", "乙", "a", "B", "%", "'"]),
            points_price=chance.randint(1, 4),
            sales_count=chance.randint(0, 2),
            market_price=1,
            is_listed=chance.random() < 0.5,
            created_at=chance.choice(moments),
        )
        for _number in range(chance.randint(20, 60))
    )
    for number in range(1, 4):
        for _attempt in range(4):
            fields = [*chance.sample(FIELDS, number), "id"]
            one = chance.choice(["", "-"])
            alike, mixed = [one] * len(fields), [chance.choice(["", "-"]) for _field in fields]
            for signs in (alike, mixed):
                ordering = [sign + field for sign, field in zip(signs, fields, strict=True)]
                rows = Product.objects.filter(points_price__lte=3)
                whole = [row.pk for row in rows.order_by(*ordering)]
                assert walk(rows, ordering, chance.randint(1, 7)) == whole, ordering


def test_a_row_that_moved_still_marks_its_place():
    products = [make_product(points_price=price) for price in (5, 5, 5, 7, 7)]
    cursor = cursor_behind(products[2], ordering=["points_price", "id"])
    Product.objects.filter(pk=products[2].pk).update(points_price=6)
    rows, _following = page(
        request_with(cursor=cursor), Product.objects.all(), ordering=["points_price", "id"]
    )
    assert [row.pk for row in rows] == [one.pk for one in (products[2], *products[3:])]


# --- The index ----------------------------------------------------------------------------------
@pytest.fixture
def many_products():
    """Some thousand, of which many have the same price and the same sales."""
    product = make_product()
    Product.objects.bulk_create(
        Product(
            shop=product.shop,
            kind=product.kind,
            name=f"Product {number}",
            points_price=1 + number % 7,
            sales_count=number % 5,
            market_price=1,
            status="active",
        )
        for number in range(4_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE catalog_product")


@pytest.mark.postgresql
@pytest.mark.parametrize("sort", SORTS)
def test_a_deep_page_begins_where_the_index_says(many_products, sort, django_assert_num_queries):
    ordering = SORTS[sort]
    visible = Product.objects.visible()
    deep = visible.order_by(*ordering)[3_500]
    cursor = cursor_behind(deep, ordering=ordering)
    with django_assert_num_queries(1) as asked:
        page(request_with(cursor=cursor), visible, ordering=ordering)
    plan = explain(asked.captured_queries[0]["sql"])
    assert "Index Scan" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan
    assert not re.search("Rows Removed by Filter", plan) or sort == "newest", plan


def explain(statement):
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {statement}")
        return "\n".join(line for (line,) in cursor.fetchall())
