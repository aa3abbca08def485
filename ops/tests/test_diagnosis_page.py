"""The diagnosis in the console: who sees it, and that it changes nothing."""

import pytest
from django.db import connection
from django.urls import reverse

from tests.console import console_of, refused_unchanged

pytestmark = pytest.mark.django_db
PAGE = reverse("admin:ops_processbeat_diagnosis")


@pytest.fixture
def console(cast):
    client = console_of(cast.staff)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


def test_it_says_what_was_found_part_by_part(console):
    page = console.get(PAGE)
    labels = [str(label) for label, _findings in page.context["parts"]]
    assert labels[0] == "Connection"
    assert "Tables" in labels
    assert "tables are as the migrations made them" in page.content.decode()


def test_what_is_wrong_stands_there_with_the_statements_that_help(console):
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX favorite_newest_of_person")
    said = console.get(PAGE).content.decode()
    assert "The index favorite_newest_of_person of favorites_favorite is missing." in said
    assert "favorite_newest_of_person" in said.split("<pre")[1]
    assert "diagnose_db --fix" in said


def test_it_is_looked_at_and_nothing_else(console):
    with refused_unchanged():
        assert console.post(PAGE).status_code == 405


@pytest.mark.parametrize("who", ["owner", "customer"])
def test_it_is_for_those_who_may_see_how_the_platform_stands(cast, who):
    page = console_of(getattr(cast, who)).get(PAGE)
    assert page.status_code in {302, 403}
    assert b"PostgreSQL" not in page.content
    assert b"SQLite" not in page.content
