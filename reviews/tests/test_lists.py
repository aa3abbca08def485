from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import models
from django.utils import timezone

from catalog.models import ShopRole
from reviews import risk
from reviews.models import ProcessRecord, ProcessStatus, Receipt, ReceiptStatus
from reviews.tests.factories import (
    make_decided,
    make_person,
    make_receipt,
    make_record,
    make_reviewer,
    make_shop,
)

pytestmark = pytest.mark.django_db

HISTORY, UPLOADS, REVIEWS = "/api/photo/history", "/api/photo/uploads", "/api/merchant/reviews"


@pytest.fixture
def ids(as_person):
    """The upload ids of a page, or the refusal."""

    def get(person, path, **query):
        body = as_person(person).get(path, query).json()
        if body["code"]:
            return body["code"], body["data"]
        return [item["upload_id"] for item in body["data"]["items"]]

    return get


# --- One's own ------------------------------------------------------------------------------------
def test_what_is_shown_of_a_fresh_upload(as_person, fetch):
    receipt = make_receipt(read=False, process=ProcessStatus.PENDING)

    response = as_person(receipt.person).get(f"{UPLOADS}/{receipt.pk}")

    data = response.json()["data"]
    record = ProcessRecord.objects.get()
    assert fetch(data.pop("image_url")) == b"picture"
    assert fetch(data.pop("thumbnail_url")) == b"thumbnail"
    assert data == {
        "upload_id": receipt.pk,
        "input_amount": "100.00",
        "recognized_amount": None,
        "confidence": None,
        "estimated_points": 1000,
        "review_status": "pending",
        "points_awarded": None,
        "review_reason": None,
        "review_time": None,
        "created_at": timezone.localtime(receipt.created_at).isoformat(),
        "task": {
            "task_id": record.pk,
            "status": "pending",
            "progress": 0,
            "model_name": None,
            "processing_time": None,
            "error": None,
        },
    }


def test_what_is_shown_of_a_decided_one(as_person):
    receipt = make_decided(points=7, reason="Thank you", confidence=Decimal("0.5"))
    ProcessRecord.objects.update(model_name="scripted", duration=1200)

    data = as_person(receipt.person).get(HISTORY).json()["data"]["items"][0]

    assert data["recognized_amount"] == "100.00"
    assert data["confidence"] == "0.5000"
    assert (data["review_status"], data["points_awarded"]) == ("approved", 7)
    assert data["review_reason"] == "Thank you"
    assert data["review_time"] == timezone.localtime(receipt.reviewed_at).isoformat()
    assert data["task"]["model_name"] == "scripted"
    assert data["task"]["processing_time"] == 1200
    assert (data["task"]["status"], data["task"]["progress"]) == ("completed", 100)


def test_a_failed_reading_says_why(as_person):
    receipt = make_receipt(process=ProcessStatus.FAILED)

    data = as_person(receipt.person).get(f"{UPLOADS}/{receipt.pk}").json()["data"]

    assert data["task"]["status"] == "failed"
    assert data["task"]["error"] not in {None, "", "not_read"}


def test_the_newest_reading_is_shown(as_person):
    receipt = make_receipt()
    newest = make_record(receipt, status=ProcessStatus.PENDING)

    data = as_person(receipt.person).get(f"{UPLOADS}/{receipt.pk}").json()["data"]

    assert data["task"]["task_id"] == newest.pk


def test_nobody_sees_anothers(as_person, ids):
    receipt = make_receipt()
    owner_of_the_shop = make_reviewer(receipt.shop, ShopRole.OWNER)

    for stranger in (make_person(), owner_of_the_shop):
        assert ids(stranger, HISTORY) == []
        response = as_person(stranger).get(f"{UPLOADS}/{receipt.pk}")
        assert (response.status_code, response.json()["code"]) == (404, 5008)


@pytest.mark.parametrize("upload_id", ["0", "999999", "abc", "-1", "1.0", "9" * 40, "１"])
def test_what_is_not_there(as_person, upload_id):
    response = as_person(make_person()).get(f"{UPLOADS}/{upload_id}")

    assert (response.status_code, response.json()["code"]) == (404, 5008)


def test_history_is_newest_first_and_filtered(ids):
    person = make_person()
    pending, rejected, approved = (
        make_receipt(person=person),
        make_decided(ReceiptStatus.REJECTED, person=person),
        make_decided(person=person),
    )
    make_receipt()

    assert ids(person, HISTORY) == [approved.pk, rejected.pk, pending.pk]
    assert ids(person, HISTORY, status="") == [approved.pk, rejected.pk, pending.pk]
    assert ids(person, HISTORY, unknown="1", status="pending") == [pending.pk]
    assert ids(person, HISTORY, status="approved") == [approved.pk]
    code, data = ids(person, HISTORY, status="lost")
    assert (code, list(data)) == (1011, ["status"])


def test_history_comes_in_pages(as_person):
    person = make_person()
    receipts = [make_receipt(person=person).pk for _ in range(5)]
    seen, cursor = [], ""
    for _ in range(3):
        page = as_person(person).get(HISTORY, {"page_size": 2, "cursor": cursor}).json()["data"]
        seen += [item["upload_id"] for item in page["items"]]
        cursor = page["next"]

    assert seen == receipts[::-1]
    assert cursor is None


# --- The shops' -----------------------------------------------------------------------------------
def test_a_review_shows_whose_it_is_and_what_is_odd(as_person):
    person = make_person(phone="13800138001", nickname="Li")
    reasons = [risk.Reason("seen_before", {"upload_id": 5}), risk.Reason("low_confidence")]
    receipt = make_receipt(
        person=person, risk_score=80, risk_reasons=[reason.stored() for reason in reasons]
    )
    reviewer = make_reviewer(receipt.shop)

    own = as_person(person).get(f"{UPLOADS}/{receipt.pk}").json()["data"]
    item = as_person(reviewer).get(REVIEWS).json()["data"]["items"][0]

    assert item["user"] == {"nickname": "Li", "mobile": "138****8001"}
    assert item["risk"]["score"] == 80
    assert [reason["code"] for reason in item["risk"]["reasons"]] == [
        "seen_before",
        "low_confidence",
    ]
    assert "5" in item["risk"]["reasons"][0]["text"]
    assert set(item) == {*own, "user", "risk"}


def test_a_person_without_a_phone_has_none(as_person):
    receipt = make_receipt(person=make_person(phone=None, wechat_openid="o1"))

    item = as_person(make_reviewer(receipt.shop)).get(REVIEWS).json()["data"]["items"][0]

    assert item["user"]["mobile"] is None


def test_the_filters(ids):
    shop = make_shop()
    reviewer = make_reviewer(shop)
    other = make_shop()
    other.members.create(person=reviewer, role=ShopRole.OWNER)
    calm = make_receipt(shop=shop)
    risky = make_receipt(shop=shop, risk_score=60)
    approved = make_decided(shop=shop)
    elsewhere = make_receipt(shop=other)

    assert ids(reviewer, REVIEWS, status="all") == [
        elsewhere.pk,
        approved.pk,
        risky.pk,
        calm.pk,
    ]
    assert ids(reviewer, REVIEWS) == [elsewhere.pk, risky.pk, calm.pk]
    assert ids(reviewer, REVIEWS, status="pending") == [elsewhere.pk, risky.pk, calm.pk]
    assert ids(reviewer, REVIEWS, status="approved") == [approved.pk]
    assert ids(reviewer, REVIEWS, risk=60) == [risky.pk]
    assert ids(reviewer, REVIEWS, risk=0, shop=other.pk) == [elsewhere.pk]
    assert ids(reviewer, REVIEWS, shop="", risk="", status="pending", nonsense="x") == [
        elsewhere.pk,
        risky.pk,
        calm.pk,
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("status", "lost"), ("risk", "high"), ("risk", "101"), ("risk", "-1")],
        *[("shop", "abc"), ("shop", "0"), ("cursor", "x"), ("page_size", "0")],
    ],
)
def test_what_cannot_be_understood_is_named(ids, name, value):
    code, data = ids(make_reviewer(make_shop()), REVIEWS, **{name: value})

    assert (code, list(data)) == (1011, [name])


def test_shops_one_does_not_review_for_are_like_none(ids):
    foreign = make_receipt().shop
    reviewer = make_reviewer(make_shop())
    redeems_here = make_receipt().shop
    redeems_here.members.create(person=reviewer, role=ShopRole.CASHIER)

    assert ids(reviewer, REVIEWS) == []
    nobodys = ids(reviewer, REVIEWS, shop=10**6)
    assert ids(reviewer, REVIEWS, shop=foreign.pk) == nobodys
    assert ids(reviewer, REVIEWS, shop=redeems_here.pk) == nobodys


def test_who_may_see_reviews(ids):
    shop = make_receipt().shop

    assert ids(make_person(), REVIEWS, status="lost") == (6001, None)
    assert ids(make_reviewer(shop, ShopRole.CASHIER), REVIEWS) == (1009, None)
    assert len(ids(make_person(is_staff=True, is_superuser=True), REVIEWS)) == 1


# --- How they are read ----------------------------------------------------------------------------
@pytest.mark.parametrize("path", [HISTORY, REVIEWS])
def test_the_number_of_queries_does_not_grow(as_person, path, django_assert_num_queries):
    shop, person = make_shop(), make_person()
    reader = person if path == HISTORY else make_reviewer(shop)
    client = as_person(reader)

    def read(expected):
        # The memberships, for whoever reviews; then the page, and its processes.
        with django_assert_num_queries(2 if path == HISTORY else 3):
            items = client.get(path, {"status": "approved"}).json()["data"]["items"]
        assert len(items) == expected

    make_decided(shop=shop, person=person)
    read(1)
    for _ in range(9):
        make_decided(shop=shop, person=person)
    read(10)


@pytest.mark.parametrize("path", [HISTORY, REVIEWS])
def test_no_row_is_fetched_one_by_one(as_person, path, monkeypatch):
    receipt = make_decided()
    reader = receipt.person if path == HISTORY else make_reviewer(receipt.shop)
    everything = Receipt.objects.all

    def strict(*args, **kwargs):
        return everything().fetch_mode(models.FETCH_RAISE).filter(*args, **kwargs)

    monkeypatch.setattr(Receipt.objects, "filter", strict)

    approved = {"status": "approved"}
    assert len(as_person(reader).get(path, approved).json()["data"]["items"]) == 1


def test_uploads_of_the_same_moment_have_an_order(ids):
    person, now = make_person(), timezone.now()
    receipts = [make_receipt(person=person, created_at=now - timedelta(days=n)) for n in (0, 1)]

    assert ids(person, HISTORY) == [receipts[1].pk, receipts[0].pk]
