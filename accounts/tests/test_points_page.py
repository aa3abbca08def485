"""The ledger in the console: found by people and by causes, however long it is."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.admin import points as points_page
from accounts.models import PointsEntry, PointsSource
from tests.console import console_of
from tests.people import give, make_cast, make_person

pytestmark = pytest.mark.django_db
ADDRESS = "/admin/accounts/pointsentry/"


@pytest.fixture
def cast():
    return make_cast()


def found(person, text):
    shown = console_of(person).get(ADDRESS, {"q": text})
    assert shown.status_code == 200
    return list(shown.context["cl"].result_list)


def test_entries_are_found_by_the_nickname_of_their_person(cast):
    anna, berta = make_person(nickname="Anna Li"), make_person(nickname="Berta")
    mine = [give(anna, 5), give(anna, 6)]
    give(berta, 7)
    assert found(cast.staff, "anna") == mine[::-1]
    assert found(cast.staff, "li anna") == mine[::-1]
    assert found(cast.staff, "anna berta") == []


def test_entries_are_found_by_the_whole_id_of_their_cause(cast):
    person = make_person()
    drawn = give(person, 5, source=PointsSource.PRIZE, related_id="0190-drawn")
    receipt = give(person, 6, source=PointsSource.PHOTO_UPLOAD, related_id="1234")
    again = give(person, 7, source=PointsSource.CANCEL, related_id="1234")
    assert found(cast.staff, "0190-drawn") == [drawn]
    assert found(cast.staff, " 1234 ") == [again, receipt]
    assert found(cast.staff, "123") == []


def test_entries_are_found_by_phone_by_those_who_may_search_by_it(cast):
    person = make_person(phone="13912345678")
    entry = give(person, 5)
    assert found(cast.staff, "13912345678") == [entry]
    assert found(cast.auditor, "13912345678") == []


def test_a_search_that_finds_too_many_people_says_so(cast, monkeypatch):
    monkeypatch.setattr(points_page, "MOST_PEOPLE", 2)
    entries = [give(make_person(nickname=f"Guest {number}"), 5) for number in range(3)]
    shown = console_of(cast.staff).get(ADDRESS, {"q": "Guest"}, headers={"Accept-Language": "en"})
    assert list(shown.context["cl"].result_list) == entries[:0:-1]
    assert "More than 2 people are found" in shown.content.decode()


def test_an_empty_search_shows_all(cast):
    entry = give(make_person(), 5)
    assert found(cast.staff, "  ") == [entry]


@pytest.mark.postgresql
@pytest.mark.parametrize("text", ["Guest 7 of many", "cause 70"])
def test_no_search_reads_the_ledger(cast, text):
    people = [make_person(nickname=f"Guest {number} of many") for number in range(40)]
    PointsEntry.objects.bulk_create(
        PointsEntry(
            user=person,
            sequence=number,
            points=1,
            source=source,
            related_id=f"cause {person.pk} {number}" if number > 1 else f"cause {at}",
            balance_after=number,
            created_at=timezone.now(),
        )
        for at, person in enumerate(people)
        for number in range(1, 201)
        for source in [list(PointsSource)[number % len(PointsSource)]]
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_pointsentry")
    with CaptureQueriesContext(connection) as asked:
        found(cast.staff, text)
    of_ledger = [
        query["sql"]
        for query in asked.captured_queries
        if 'FROM "accounts_pointsentry"' in query["sql"] and "WHERE" in query["sql"]
    ]
    assert len(of_ledger) >= 2
    for statement in of_ledger:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {statement}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "Seq Scan on accounts_pointsentry" not in plan, plan
