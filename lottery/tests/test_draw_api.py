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
from lottery.tests.client import DRAW, PRIZE, STRANGER, client_of, data, refusal
from lottery.tests.factories import (
    everything,
    fix_seeds,
    make_person,
    make_wheel,
)

pytestmark = pytest.mark.django_db


# --- Draw -------------------------------------------------------------------------------------
def test_draw(wheel, person):
    answer = data(client_of(person).post("/api/lottery/draw", {"count": 10}))

    assert set(answer) == {
        "draws",
        "cost_points",
        "total_points",
        "points_version",
        "remaining_today",
        "pity",
    }
    assert len(answer["draws"]) == 10
    assert answer["cost_points"] == 1000
    person.refresh_from_db()
    assert answer["total_points"] == person.total_points
    assert answer["points_version"] == person.points_version
    assert answer["remaining_today"] == 90
    for one, nonce in zip(answer["draws"], range(10), strict=True):
        assert set(one) == DRAW
        assert set(one["prize"]) == PRIZE
        assert one["nonce"] == nonce
        assert 0 <= one["ticket"] < 10_000
        assert one["angle"] == one["prize"]["angle"]
        if one["prize"]["prize_type"] == "physical":
            assert one["order"]["source"] == "lottery"
            assert one["order"]["exchange_code"]
        else:
            assert one["order"] is None
    spent = PointsEntry.objects.filter(source=PointsSource.LOTTERY)
    ids = [one["draw_id"] for one in answer["draws"]]
    assert [entry.related_id for entry in spent.order_by("sequence")] == ids


@pytest.mark.parametrize("body", [{}, {"count": 1}, {"wheel_id": None}])
def test_one_draw_on_the_default_wheel(body, wheel, person):
    answer = data(client_of(person).post("/api/lottery/draw", body))
    assert [one["wheel_id"] for one in answer["draws"]] == [wheel.pk]


@pytest.mark.parametrize(
    "count", [0, 11, -1, 10**30, 1.0, 1.5, "1", "ten", True, None, [], {}, [1]]
)
def test_count(count, wheel, person):
    before = everything()
    response = client_of(person).post("/api/lottery/draw", {"count": count, "wheel_id": "none"})
    assert refusal(response) == (400, 3004, None)
    assert everything() == before


@pytest.mark.parametrize("wheel_id", ["1", "x", 0, -1, 1.5, True, [], {}, 10**30])
def test_a_wheel_id_that_cannot_be_one_is_of_no_wheel(wheel_id, wheel, person):
    response = client_of(person).post("/api/lottery/draw", {"wheel_id": wheel_id})
    assert refusal(response) == (404, 1010, None)


def test_bodies_that_are_no_object(wheel, person):
    response = client_of(person).post("/api/lottery/draw", [1], format="json")
    assert refusal(response)[:2] == (400, 1011)


@pytest.mark.parametrize("sent", ["outcome", "prize_id", "ticket", "nonce", "server_seed"])
def test_nobody_sets_an_outcome(sent, wheel, person):
    answer = data(client_of(person).post("/api/lottery/draw", {sent: 1, "count": 1}))
    assert answer["draws"][0]["nonce"] == 0
    seeds.rotate(person_id=person.pk)
    proof = data(client_of(person).get(f"/api/lottery/draws/{answer['draws'][0]['draw_id']}/proof"))
    assert (proof["ticket"], proof["outcome"]) == (
        answer["draws"][0]["ticket"],
        answer["draws"][0]["prize"]["prize_id"],
    )


def test_the_order_of_refusals(person):
    poor = make_person(points=5)
    client = client_of(poor)
    wheel = make_wheel(daily_limit=3, cost_points=0)
    draw(person_id=poor.pk, wheel_id=wheel.pk, count=2)
    Wheel.objects.filter(pk=wheel.pk).update(cost_points=100, status=WheelStatus.PAUSED)
    publishing.publish(wheel_id=wheel.pk)
    before = everything()

    def answer(wheel_id, count):
        response = client.post("/api/lottery/draw", {"wheel_id": wheel_id, "count": count})
        assert everything() == before
        return refusal(response)

    assert answer("x", 0) == (400, 3004, None)
    assert answer("x", 2) == (404, 1010, None)
    assert answer(wheel.pk, 2) == (409, 3002, None)
    Wheel.objects.update(status=WheelStatus.ACTIVE)
    tomorrow = timezone.localtime() + timedelta(days=1)
    midnight = tomorrow.strftime("%Y-%m-%dT00:00:00+08:00")
    limits = {"limit": 3, "used": 2, "resets_at": midnight}
    assert answer(wheel.pk, 2) == (409, 3003, limits)
    shortage = {"required": 100, "current": 5, "shortage": 95}
    assert answer(wheel.pk, 1) == (409, 3001, shortage)


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
    response = getattr(STRANGER, method)(f"/api/lottery/{path}")
    assert refusal(response) == (401, 1006, None)


def test_an_idempotency_key_draws_once(wheel, person):
    client, headers = client_of(person), {"Idempotency-Key": "k"}

    first = client.post("/api/lottery/draw", {"count": 2}, headers=headers)
    again = client.post("/api/lottery/draw", {"count": 2}, headers=headers)
    other = client.post("/api/lottery/draw", {"count": 3}, headers=headers)

    assert data(first) == data(again)
    assert (first.get("Idempotent-Replay"), again.get("Idempotent-Replay")) == (None, "true")
    assert refusal(other)[:2] == (422, 1014)
    assert Draw.objects.count() == 2


def test_a_refusal_frees_the_key(person):
    wheel = make_wheel(status=WheelStatus.PAUSED, is_default=True)
    client, headers = client_of(person), {"Idempotency-Key": "k"}
    assert refusal(client.post("/api/lottery/draw", headers=headers))[:2] == (409, 3002)
    Wheel.objects.filter(pk=wheel.pk).update(status=WheelStatus.ACTIVE)
    assert data(client.post("/api/lottery/draw", headers=headers))["cost_points"] == 100


# --- Records ----------------------------------------------------------------------------------
def test_records_are_the_draws_newest_first(wheel, person):
    client = client_of(person)
    drawn = data(client.post("/api/lottery/draw", {"count": 5}))["draws"]
    drawn += data(client.post("/api/lottery/draw", {"count": 2}))["draws"]
    draw(person_id=person.pk, wheel_id=make_wheel().pk, count=1)
    draw(person_id=make_person(points=100).pk, wheel_id=wheel.pk, count=1)

    items, cursor = [], ""
    while cursor is not None:
        pages = data(client.get("/api/lottery/records", {"page_size": 3, "cursor": cursor}))
        items += pages["items"]
        cursor = pages["next"]

    assert all(re.search(r"\+08:00$", item.pop("created_at")) for item in items)
    for item in [*items, *drawn]:
        if item["order"]:
            item["order"].pop("product")  # its picture's address is signed anew each time
    assert items == drawn[::-1]


def test_records_have_the_prizes_as_they_stood(wheel, person):
    client = client_of(person)
    old = data(client.post("/api/lottery/draw"))["draws"][0]["prize"]
    wheel.prizes.update(name="Renamed")
    publishing.publish(wheel_id=wheel.pk)
    new = data(client.post("/api/lottery/draw"))["draws"][0]["prize"]
    items = data(client.get("/api/lottery/records"))["items"]
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
            items = data(client.get("/api/lottery/records", {"page_size": page_size}))["items"]
        assert len(items) == page_size
        assert any(item["order"] for item in items)
        return len(captured)

    assert statements(30) == statements(20)
