"""Drawing and its records as clients see them: fields, codes and their order."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import PointsEntry, PointsSource
from lottery.models import Draw, Wheel, WheelStatus
from lottery.services import publishing, seeds
from lottery.services.draws import draw
from lottery.tests.factories import fix_seeds, make_wheel
from lottery.tests.keys import DRAW_KEYS, PRIZE_KEYS
from lottery.tests.tables import everything
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person

pytestmark = pytest.mark.django_db


def refused_unchanged(person, body):
    """How a draw is refused; it leaves everything as it was."""
    before = everything()
    response = client_of(person).post("/api/lottery/draw", body)
    assert everything() == before
    return refusal_of(response)


# --- Draw -------------------------------------------------------------------------------------
def test_a_draw_answers_with_its_prizes_and_with_what_is_left(wheel, person):
    drawn = data_of(client_of(person).post("/api/lottery/draw", {"count": 10}))

    assert set(drawn) == {
        "draws",
        "cost_points",
        "total_points",
        "points_version",
        "remaining_today",
        "pity",
    }
    assert len(drawn["draws"]) == 10
    assert drawn["cost_points"] == 1000
    person.refresh_from_db()
    assert drawn["total_points"] == person.total_points
    assert drawn["points_version"] == person.points_version
    assert drawn["remaining_today"] == 90
    for one, nonce in zip(drawn["draws"], range(10), strict=True):
        assert set(one) == DRAW_KEYS
        assert set(one["prize"]) == PRIZE_KEYS
        assert one["nonce"] == nonce
        assert 0 <= one["ticket"] < 10_000
        assert one["angle"] == one["prize"]["angle"]
        if one["prize"]["prize_type"] == "physical":
            assert one["order"]["source"] == "lottery"
            assert one["order"]["exchange_code"]
        else:
            assert one["order"] is None
    spent = PointsEntry.objects.filter(source=PointsSource.LOTTERY)
    ids = [one["draw_id"] for one in drawn["draws"]]
    assert [entry.related_id for entry in spent.order_by("sequence")] == ids


@pytest.mark.parametrize("body", [{}, {"count": 1}, {"wheel_id": None}])
def test_it_is_one_draw_on_the_default_wheel_unless_more_is_said(body, wheel, person):
    drawn = data_of(client_of(person).post("/api/lottery/draw", body))
    assert [one["wheel_id"] for one in drawn["draws"]] == [wheel.pk]


@pytest.mark.parametrize(
    "count", [0, 11, -1, 10**30, 1.0, 1.5, "1", "ten", True, None, [], {}, [1]]
)
def test_any_count_but_one_to_ten_is_refused_before_the_wheel_is_looked_for(count, wheel, person):
    assert refused_unchanged(person, {"count": count, "wheel_id": "none"}) == (400, 3004, None)


@pytest.mark.parametrize("wheel_id", ["1", "x", 0, -1, 1.5, True, [], {}, 10**30])
def test_a_wheel_id_that_cannot_be_one_is_of_no_wheel(wheel_id, wheel, person):
    assert refused_unchanged(person, {"wheel_id": wheel_id}) == (404, 1010, None)


def test_a_body_that_is_no_object_is_refused(wheel, person):
    refused = refused_unchanged(person, [1])
    assert (refused.status, refused.code) == (400, 1011)


@pytest.mark.parametrize("sent", ["outcome", "prize_id", "ticket", "nonce", "server_seed"])
def test_nobody_sets_an_outcome(sent, wheel, person):
    client = client_of(person)
    (one,) = data_of(client.post("/api/lottery/draw", {sent: 1, "count": 1}))["draws"]
    assert one["nonce"] == 0
    seeds.rotate(person_id=person.pk)
    proof = data_of(client.get(f"/api/lottery/draws/{one['draw_id']}/proof"))
    assert (proof["ticket"], proof["outcome"]) == (one["ticket"], one["prize"]["prize_id"])


def test_count_wheel_opening_limit_and_points_are_checked_in_this_order():
    poor = make_person(points=5)
    wheel = make_wheel(daily_limit=3, cost_points=0)
    draw(person_id=poor.pk, wheel_id=wheel.pk, count=2)
    Wheel.objects.filter(pk=wheel.pk).update(cost_points=100, status=WheelStatus.PAUSED)
    publishing.publish(wheel_id=wheel.pk)

    def refused(wheel_id, count):
        return refused_unchanged(poor, {"wheel_id": wheel_id, "count": count})

    assert refused("x", 0) == (400, 3004, None)
    assert refused("x", 2) == (404, 1010, None)
    assert refused(wheel.pk, 2) == (409, 3002, None)
    Wheel.objects.update(status=WheelStatus.ACTIVE)
    tomorrow = timezone.localtime() + timedelta(days=1)
    midnight = tomorrow.strftime("%Y-%m-%dT00:00:00+08:00")
    limits = {"limit": 3, "used": 2, "resets_at": midnight}
    assert refused(wheel.pk, 2) == (409, 3003, limits)
    shortage = {"required": 100, "current": 5, "shortage": 95}
    assert refused(wheel.pk, 1) == (409, 3001, shortage)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "draw"),
        ("get", "records"),
        ("post", "seed"),
        ("get", "draws/00000000-0000-7000-8000-000000000000/proof"),
    ],
)
def test_strangers_are_asked_to_sign_in(method, path, wheel):
    response = getattr(client_of(), method)(f"/api/lottery/{path}")
    assert refusal_of(response) == (401, 1006, None)


def test_an_idempotency_key_draws_once(wheel, person):
    client, headers = client_of(person), {"Idempotency-Key": "k"}

    first = client.post("/api/lottery/draw", {"count": 2}, headers=headers)
    again = client.post("/api/lottery/draw", {"count": 2}, headers=headers)
    other = client.post("/api/lottery/draw", {"count": 3}, headers=headers)

    assert data_of(first) == data_of(again)
    assert (first.get("Idempotent-Replay"), again.get("Idempotent-Replay")) == (None, "true")
    assert refusal_of(other) == (422, 1014, None)
    assert Draw.objects.count() == 2


def test_a_refusal_frees_the_key(person):
    wheel = make_wheel(status=WheelStatus.PAUSED, is_default=True)
    client, headers = client_of(person), {"Idempotency-Key": "k"}
    refused = refusal_of(client.post("/api/lottery/draw", headers=headers))
    assert refused == (409, 3002, None)
    Wheel.objects.filter(pk=wheel.pk).update(status=WheelStatus.ACTIVE)
    assert data_of(client.post("/api/lottery/draw", headers=headers))["cost_points"] == 100


# --- Records ----------------------------------------------------------------------------------
def test_records_are_the_draws_newest_first(wheel, person):
    client = client_of(person)
    drawn = data_of(client.post("/api/lottery/draw", {"count": 5}))["draws"]
    drawn += data_of(client.post("/api/lottery/draw", {"count": 2}))["draws"]
    draw(person_id=person.pk, wheel_id=make_wheel().pk, count=1)
    draw(person_id=make_person(points=100).pk, wheel_id=wheel.pk, count=1)

    items, cursor = [], ""
    while cursor is not None:
        page = data_of(client.get("/api/lottery/records", {"page_size": "3", "cursor": cursor}))
        items += page["items"]
        cursor = page["next"]

    assert all(re.search(r"\+08:00$", item.pop("created_at")) for item in items)
    for item in [*items, *drawn]:
        if item["order"]:
            item["order"].pop("product")  # its picture's address is signed anew each time
    assert items == drawn[::-1]


def test_records_have_the_prizes_as_they_stood(wheel, person):
    client = client_of(person)
    old = data_of(client.post("/api/lottery/draw"))["draws"][0]["prize"]
    wheel.prizes.update(name="Renamed")
    publishing.publish(wheel_id=wheel.pk)
    new = data_of(client.post("/api/lottery/draw"))["draws"][0]["prize"]
    items = data_of(client.get("/api/lottery/records"))["items"]
    assert [item["prize"] for item in items] == [new, old]
    assert new["prize_name"] == "Renamed" != old["prize_name"]


def test_records_queries_do_not_grow(wheel, person):
    client = client_of(person)
    fix_seeds(person)
    for _version in range(3):
        publishing.publish(wheel_id=wheel.pk)
        draw(person_id=person.pk, wheel_id=wheel.pk, count=10)

    def statements(page_size):
        client.get("/api/lottery/records", {"page_size": page_size})
        with CaptureQueriesContext(connection) as captured:
            items = data_of(client.get("/api/lottery/records", {"page_size": page_size}))["items"]
        assert len(items) == page_size
        assert any(item["order"] for item in items)
        return len(captured)

    assert statements(30) == statements(20)
