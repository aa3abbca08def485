"""Lists of the console that are too long to be counted row by row."""

import pytest
from django.contrib import admin
from django.db import connection
from django.test import RequestFactory
from django.utils import timezone

from accounts.models import PointsEntry, PointsSource, User
from catalog.models import Category
from ops.admin_counts import COUNTED, CountedPaginator
from tests.console import console_of
from tests.people import make_person

pytestmark = pytest.mark.django_db
MANY = COUNTED + 500


@pytest.fixture
def superuser():
    return User.objects.create_superuser("root", None)


@pytest.fixture
def categories():
    Category.objects.bulk_create(
        Category(name=f"Category {number}", position=number // 7) for number in range(MANY)
    )
    _analyze(Category)


def _analyze(model):
    """What the planner knows of a table, which autovacuum tells it in real life."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {model._meta.db_table}")


def test_a_short_list_is_counted():
    Category.objects.bulk_create(Category(name=f"Category {number}") for number in range(7))
    paginator = CountedPaginator(Category.objects.order_by("pk"), 3)
    assert (paginator.count, paginator.num_pages, paginator.is_estimated) == (7, 3, False)


def test_a_long_list_is_estimated_where_the_database_can(categories):
    paginator = CountedPaginator(Category.objects.order_by("pk"), 100)
    assert paginator.count == MANY  # the planner has just counted, SQLite counts each time
    assert paginator.is_estimated == (connection.vendor == "postgresql")


@pytest.mark.postgresql
def test_a_long_list_is_never_read_to_be_counted(categories, django_assert_num_queries):
    with django_assert_num_queries(2) as asked:
        assert CountedPaginator(Category.objects.order_by("pk"), 100).count
    counted, planned = (query["sql"] for query in asked.captured_queries)
    assert f"LIMIT {COUNTED + 1}" in counted
    assert planned.upper().startswith("EXPLAIN (FORMAT JSON) ")


@pytest.mark.postgresql
def test_an_estimate_is_never_less_than_was_counted(categories):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_class SET reltuples = 10 WHERE relname = 'catalog_category'")
    assert CountedPaginator(Category.objects.order_by("pk"), 100).count > COUNTED


@pytest.mark.parametrize("number", [1, 10, 11, 12, 60, 105])
def test_a_page_far_behind_has_the_rows_that_stand_there(categories, number):
    rows = Category.objects.order_by("-position", "name")
    page = CountedPaginator(rows, 100).page(number)
    assert list(page.object_list) == list(rows[100 * (number - 1) : 100 * number])


def test_a_long_list_shows_its_pages(superuser, categories):
    console = console_of(superuser)
    address = "/admin/catalog/category/"
    first = console.get(address)
    told = "≈\n    10500" if connection.vendor == "postgresql" else "10500"
    assert told in first.content.decode()
    assert first.context["cl"].full_result_count == first.context["cl"].result_count
    far = console.get(address, {"p": 90})
    ordered = Category.objects.order_by("position", "pk")
    assert list(far.context["cl"].result_list) == list(ordered[8900:9000])


def test_a_search_tells_what_it_found_of_how_many(superuser, categories):
    found = console_of(superuser).get("/admin/catalog/category/", {"q": "99"})
    shown = found.context["cl"]
    assert shown.result_count == Category.objects.filter(name__contains="99").count()
    assert shown.full_result_count == MANY
    assert not shown.paginator.is_estimated


def test_an_empty_list_offers_no_actions(superuser):
    shown = console_of(superuser).get("/admin/catalog/category/").context["cl"]
    assert (shown.result_count, shown.full_result_count, shown.show_admin_actions) == (0, 0, False)


@pytest.mark.parametrize(("entries", "has_one"), [(30, True), (MANY, False)])
def test_a_list_too_long_to_be_counted_has_no_hierarchy_of_dates(superuser, entries, has_one):
    person, now = make_person(), timezone.now()
    PointsEntry.objects.bulk_create(
        PointsEntry(
            user=person,
            sequence=number,
            points=1,
            source=PointsSource.ADJUST if number > 20 else PointsSource.EXPIRE,
            balance_after=number,
            created_at=now,
        )
        for number in range(1, entries + 1)
    )
    _analyze(PointsEntry)
    console, address = console_of(superuser), "/admin/accounts/pointsentry/"
    some = {"source__exact": PointsSource.EXPIRE}
    for asked, number in (({}, entries), (some, 20)):
        shown = console.get(address, asked).context["cl"]
        assert (shown.date_hierarchy == "created_at") is has_one
        assert shown.result_count == number


def test_every_list_of_ours_counts_like_this():
    request = RequestFactory().get("/")
    ours = {"accounts", "catalog", "favorites", "lottery", "ops", "reviews"}
    for model, page in admin.site._registry.items():
        if model._meta.app_label in ours:
            paginator = page.get_paginator(request, model._default_manager.order_by("pk"), 100)
            assert isinstance(paginator, CountedPaginator), model
