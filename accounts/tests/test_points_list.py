"""GET /api/user/points: the ledger as its owner reads it."""

import base64
import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import PointsEntry, PointsSource
from accounts.serializers import PointsEntryOutput
from accounts.tests.factories import sign_in
from ops.api.renderer import encode
from tests.api import data_of, refusal_of
from tests.people import give, make_person

pytestmark = pytest.mark.django_db
PATH = "/api/user/points"


@pytest.fixture
def person(api):
    return sign_in(api).person


def walk(api, **query):
    """All pages from the first to the last: lists of versions."""
    pages, cursor = [], ""
    while cursor is not None:
        answer = data_of(api.get(PATH, {**query, "cursor": cursor}))
        assert set(answer) == {"items", "next"}
        pages.append([item["version"] for item in answer["items"]])
        cursor = answer["next"]
    return pages


def fields_refused_in(response):
    """What a 1011 names as wrong."""
    refusal = refusal_of(response)
    assert (refusal.status, refusal.code) == (400, 1011)
    return list(refusal.data)


def test_an_item_has_exactly_the_fields_of_the_contract(api, person):
    give(person, 500, source="photo_upload", related_id="12")
    entry = give(person, -80)
    spent, earned = data_of(api.get(PATH))["items"]
    created_at = spent.pop("created_at")
    assert spent.pop("description")
    assert spent == {
        "id": entry.pk,
        "version": 2,
        "type": "spend",
        "points": -80,
        "source": "adjust",
        "balance_after": 420,
        "related_id": None,
    }
    assert created_at.endswith("+08:00")
    assert (earned["type"], earned["points"], earned["related_id"]) == ("earn", 500, "12")


def test_an_empty_ledger_is_an_empty_page(api, person):
    assert data_of(api.get(PATH)) == {"items": [], "next": None}


def test_nobody_sees_the_ledger_of_another(api, person):
    make_person(points=7)
    assert data_of(api.get(PATH))["items"] == []


def test_pages_are_newest_first_and_complete(api, person):
    for _ in range(45):
        give(person, 1)
    pages = walk(api)
    assert [len(page) for page in pages] == [20, 20, 5]
    assert sum(pages, []) == list(range(45, 0, -1))  # noqa: RUF017  three short lists


def test_a_full_last_page_says_that_it_is_the_last(api, person):
    for _ in range(4):
        give(person, 1)
    assert walk(api, page_size=2) == [[4, 3], [2, 1]]


def test_entries_that_come_meanwhile_shift_nothing(api, person):
    for _ in range(4):
        give(person, 1)
    first = data_of(api.get(PATH, {"page_size": 2}))
    give(person, 1)
    second = data_of(api.get(PATH, {"page_size": 2, "cursor": first["next"]}))
    assert [item["version"] for item in second["items"]] == [2, 1]


@pytest.mark.parametrize(("size", "given"), [("1", 1), ("100", 100), ("101", 100), ("9" * 30, 100)])
def test_a_page_is_as_large_as_asked_up_to_100(api, person, size, given):
    for _ in range(102):
        give(person, 1)
    assert len(data_of(api.get(PATH, {"page_size": size}))["items"]) == given


@pytest.mark.parametrize("size", ["0", "-1", "x", "", "1.5", " 5", "+5", "５", "0x10", "000000000"])
def test_a_page_size_that_is_none_is_1011(api, person, size):
    assert fields_refused_in(api.get(PATH, {"page_size": size})) == ["page_size"]


def coded(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["x", "!!!", "a" * 2000, "é", "\u0000", "1", coded([1]), coded([]), coded({"a": 1}),
     coded("ab"), coded(5), coded(None), "[1]", "null", "%%", coded([[[[1]]]])],
    ids=ascii,
)  # fmt: skip
def test_a_cursor_that_is_none_is_1011(api, person, cursor):
    assert fields_refused_in(api.get(PATH, {"cursor": cursor})) == ["cursor"]


def test_a_cursor_of_another_list_is_1011(api, person):
    from catalog.tests.factories import make_product

    for _ in range(2):
        make_product()
    cursor = data_of(api.get("/api/exchange/products", {"page_size": 1}))["next"]
    assert cursor
    assert fields_refused_in(api.get(PATH, {"cursor": cursor})) == ["cursor"]


def test_cursors_need_no_escaping_in_a_url(api, person):
    for _ in range(40):
        give(person, 1)
    cursor = ""
    while cursor is not None:
        cursor = data_of(api.get(f"{PATH}?page_size=1&cursor={cursor}"))["next"]
        assert cursor is None or cursor.replace("-", "").replace("_", "").isalnum()


def test_unknown_parameters_are_ignored(api, person):
    data_of(api.get(PATH, {"utm_source": "x", "format": "xml", "page": "9"}))


# --- Filters ------------------------------------------------------------------------------------
def test_the_type_and_the_source_can_be_asked_for(api, person):
    give(person, 10, source="photo_upload")
    give(person, -1)
    give(person, 5)
    assert walk(api, type="earn") == [[3, 1]]
    assert walk(api, type="spend") == [[2]]
    assert walk(api, source="adjust") == [[3, 2]]
    assert walk(api, source="adjust", type="earn") == [[3]]
    assert walk(api, source="register") == [[]]


@pytest.mark.parametrize(
    "query", [{"type": "gain"}, {"type": ""}, {"source": "x"}, {"source": ""}, {"source": "\u0000"}]
)
def test_a_filter_that_is_none_is_1011_naming_it(api, person, query):
    assert fields_refused_in(api.get(PATH, query)) == list(query)


@pytest.mark.parametrize("source", PointsSource)
@pytest.mark.parametrize("type_", ["earn", "spend"])
def test_what_contradicts_itself_is_answered_without_reading(api, person, type_, source):
    """And nothing else is: every other pair finds the entries that there are."""
    is_never = (type_, source) in {
        ("earn", "lottery"),
        ("earn", "exchange"),
        ("spend", "prize"),
        ("spend", "photo_upload"),
    }
    first = give(person, 1000, source=PointsSource.MERGE)
    if not is_never:
        give(person, 7 if type_ == "earn" else -7, source=source, related_id=str(first.pk))
    with CaptureQueriesContext(connection) as captured:
        versions = walk(api, type=type_, source=source)
    assert (len(captured), versions[0][:1]) == ((1, []) if is_never else (2, [2]))
    wrong = api.get(PATH, {"type": type_, "source": source, "cursor": "x"})
    assert fields_refused_in(wrong) == ["cursor"]


# --- Cost ---------------------------------------------------------------------------------------
def test_the_number_of_queries_does_not_grow_with_the_rows(api, person):
    def queries(size):
        with CaptureQueriesContext(connection) as captured:
            data_of(api.get(PATH, {"page_size": size}))
        return len(captured)

    for _ in range(30):
        give(person, 1)
    assert queries(1) == queries(30) == 2


@pytest.mark.postgresql
def test_the_cost_of_a_page_does_not_grow_with_its_depth(api, person):
    """The deepest page reads as few rows of the index as the first one."""
    PointsEntry.objects.bulk_create(
        PointsEntry(
            user=person,
            sequence=number,
            points=1,
            source="adjust",
            balance_after=number,
            previous_hash="",
            entry_hash="",
            created_at=person.created_at,
        )
        for number in range(1, 5001)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_pointsentry")

    def rows_read(cursor_text):
        with CaptureQueriesContext(connection) as captured:
            data_of(api.get(PATH, {"cursor": cursor_text, "page_size": 10}))
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {captured[-1]['sql']}")
            plan = cursor.fetchone()[0]
        node = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
        while "Plans" in node:
            node = node["Plans"][0]
        return node["Actual Rows"] + node.get("Rows Removed by Filter", 0)

    deep = ""
    for _ in range(49):
        deep = data_of(api.get(PATH, {"page_size": 100, "cursor": deep}))["next"]
    assert rows_read("") <= 11
    assert rows_read(deep) <= 11


def test_what_is_shown_is_what_the_documents_say(api, person):
    """The items are written from columns; the API documents read the serializer."""
    give(person, 70, source=PointsSource.PHOTO_UPLOAD, related_id="7")
    give(person, -30)
    entries = PointsEntry.objects.filter(user=person).order_by("-sequence")
    items = data_of(api.get(PATH))["items"]
    assert len(items) == 2
    assert items == json.loads(encode(PointsEntryOutput(entries, many=True).data))
