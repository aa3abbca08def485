from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import models
from django.utils import timezone

from catalog.models import ShopRole
from catalog.tests.factories import make_shop
from reviews import risk
from reviews.models import ProcessRecord, ProcessStatus, Receipt, ReceiptStatus
from reviews.tests.factories import make_decided, make_receipt, make_record, make_reviewer
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person

pytestmark = pytest.mark.django_db

HISTORY, UPLOADS, REVIEWS = "/api/photo/history", "/api/photo/uploads", "/api/merchant/reviews"


def items_for(person, path, **query):
    """What a page shows to somebody."""
    return data_of(client_of(person).get(path, query))["items"]


def ids_for(person, path, **query):
    return [item["upload_id"] for item in items_for(person, path, **query)]


def refusal_for(person, path, **query):
    return refusal_of(client_of(person).get(path, query))


# --- One's own ------------------------------------------------------------------------------------
def test_a_fresh_upload_is_shown_with_its_pictures_and_its_task(fetch):
    receipt = make_receipt(read=False, process=ProcessStatus.PENDING)

    data = data_of(client_of(receipt.person).get(f"{UPLOADS}/{receipt.pk}"))

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


def test_a_decided_upload_is_shown_with_its_decision_and_its_reading():
    receipt = make_decided(points=7, reason="Thank you", confidence=Decimal("0.5"))
    ProcessRecord.objects.update(model_name="scripted", duration=1200)

    (data,) = items_for(receipt.person, HISTORY)

    assert data["recognized_amount"] == "100.00"
    assert data["confidence"] == "0.5000"
    assert (data["review_status"], data["points_awarded"]) == ("approved", 7)
    assert data["review_reason"] == "Thank you"
    assert data["review_time"] == timezone.localtime(receipt.reviewed_at).isoformat()
    assert data["task"]["model_name"] == "scripted"
    assert data["task"]["processing_time"] == 1200
    assert (data["task"]["status"], data["task"]["progress"]) == ("completed", 100)


def test_a_failed_reading_says_why():
    receipt = make_receipt(process=ProcessStatus.FAILED)

    data = data_of(client_of(receipt.person).get(f"{UPLOADS}/{receipt.pk}"))

    assert data["task"]["status"] == "failed"
    assert data["task"]["error"] not in {None, "", "not_read"}


def test_the_newest_reading_is_shown():
    receipt = make_receipt()
    newest = make_record(receipt, status=ProcessStatus.PENDING)

    data = data_of(client_of(receipt.person).get(f"{UPLOADS}/{receipt.pk}"))

    assert data["task"]["task_id"] == newest.pk


def test_nobody_sees_anothers_uploads(cast):
    receipt = make_receipt(shop=cast.shop, person=cast.customer)

    for stranger in (cast.other_customer, cast.owner, cast.staff):
        assert ids_for(stranger, HISTORY) == []
        assert refusal_for(stranger, f"{UPLOADS}/{receipt.pk}") == (404, 5008, None)


@pytest.mark.parametrize("upload_id", ["0", "999999", "abc", "-1", "1.0", "9" * 40, "１"])
def test_an_upload_that_is_not_there_is_not_found(upload_id):
    assert refusal_for(make_person(), f"{UPLOADS}/{upload_id}") == (404, 5008, None)


def test_history_is_newest_first_and_filtered():
    person = make_person()
    pending, rejected, approved = (
        make_receipt(person=person),
        make_decided(ReceiptStatus.REJECTED, person=person),
        make_decided(person=person),
    )
    make_receipt()

    assert ids_for(person, HISTORY) == [approved.pk, rejected.pk, pending.pk]
    assert ids_for(person, HISTORY) == [approved.pk, rejected.pk, pending.pk]
    assert ids_for(person, HISTORY, unknown="1", status="pending") == [pending.pk]
    assert ids_for(person, HISTORY, status="approved") == [approved.pk]
    refusal = refusal_for(person, HISTORY, status="lost")
    assert (refusal.code, list(refusal.data)) == (1011, ["status"])


def test_history_comes_in_pages():
    person = make_person()
    receipts = [make_receipt(person=person).pk for _ in range(5)]
    seen, cursor = [], ""
    for _ in range(3):
        page = data_of(client_of(person).get(HISTORY, {"page_size": "2", "cursor": cursor}))
        seen += [item["upload_id"] for item in page["items"]]
        cursor = page["next"]

    assert seen == receipts[::-1]
    assert cursor is None


# --- The shops' -----------------------------------------------------------------------------------
def test_a_review_shows_whose_it_is_and_what_is_odd():
    person = make_person(phone="13800138001", nickname="Li")
    reasons = [risk.Reason("seen_before", {"upload_id": 5}), risk.Reason("low_confidence")]
    receipt = make_receipt(
        person=person, risk_score=80, risk_reasons=[reason.stored() for reason in reasons]
    )
    reviewer = make_reviewer(receipt.shop)

    own = data_of(client_of(person).get(f"{UPLOADS}/{receipt.pk}"))
    (item,) = items_for(reviewer, REVIEWS)

    assert item["user"] == {"nickname": "Li", "mobile": "138****8001"}
    assert item["risk"]["score"] == 80
    assert [reason["code"] for reason in item["risk"]["reasons"]] == [
        "seen_before",
        "low_confidence",
    ]
    assert "5" in item["risk"]["reasons"][0]["text"]
    assert set(item) == {*own, "user", "risk"}


def test_a_person_without_a_phone_has_none():
    receipt = make_receipt(person=make_person(phone=None, wechat_openid="o1"))

    (item,) = items_for(make_reviewer(receipt.shop), REVIEWS)

    assert item["user"]["mobile"] is None


def test_reviews_are_filtered_by_status_risk_and_shop():
    shop = make_shop()
    reviewer = make_reviewer(shop)
    other = make_shop()
    other.members.create(person=reviewer, role=ShopRole.OWNER)
    calm = make_receipt(shop=shop)
    risky = make_receipt(shop=shop, risk_score=60)
    approved = make_decided(shop=shop)
    elsewhere = make_receipt(shop=other)

    assert ids_for(reviewer, REVIEWS, status="all") == [
        elsewhere.pk,
        approved.pk,
        risky.pk,
        calm.pk,
    ]
    assert ids_for(reviewer, REVIEWS) == [elsewhere.pk, risky.pk, calm.pk]
    assert ids_for(reviewer, REVIEWS, status="pending") == [elsewhere.pk, risky.pk, calm.pk]
    assert ids_for(reviewer, REVIEWS, status="approved") == [approved.pk]
    assert ids_for(reviewer, REVIEWS, risk=60) == [risky.pk]
    assert ids_for(reviewer, REVIEWS, risk=0, shop=other.pk) == [elsewhere.pk]
    assert ids_for(reviewer, REVIEWS, status="pending", nonsense="x") == [
        elsewhere.pk,
        risky.pk,
        calm.pk,
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            ("status", "lost"),
            ("status", ""),
            ("risk", ""),
            ("shop", ""),
            ("risk", "high"),
            ("risk", "101"),
            ("risk", "-1"),
        ],
        *[("shop", "abc"), ("shop", "0"), ("cursor", "x"), ("page_size", "0")],
    ],
)
def test_what_cannot_be_understood_is_named(name, value):
    refusal = refusal_for(make_reviewer(make_shop()), REVIEWS, **{name: value})

    assert (refusal.code, list(refusal.data)) == (1011, [name])


def test_shops_one_does_not_review_for_are_like_none():
    foreign = make_receipt().shop
    reviewer = make_reviewer(make_shop())
    redeems_here = make_receipt().shop
    redeems_here.members.create(person=reviewer, role=ShopRole.CASHIER)

    assert ids_for(reviewer, REVIEWS) == []
    nobodys = refusal_for(reviewer, REVIEWS, shop=10**6)
    assert nobodys.code == 1011
    assert refusal_for(reviewer, REVIEWS, shop=foreign.pk) == nobodys
    assert refusal_for(reviewer, REVIEWS, shop=redeems_here.pk) == nobodys


def test_reviews_are_for_those_who_review_there(cast):
    receipt = make_receipt(shop=cast.shop)
    superuser = make_person(is_staff=True, is_superuser=True)

    assert refusal_for(cast.customer, REVIEWS, status="lost") == (403, 6001, None)
    assert refusal_for(cast.auditor, REVIEWS) == (403, 6001, None)
    assert refusal_for(cast.cashier, REVIEWS) == (403, 1009, None)
    assert ids_for(cast.other_owner, REVIEWS) == []
    for person in (cast.reviewer, cast.manager, cast.owner, cast.staff, superuser):
        assert ids_for(person, REVIEWS) == [receipt.pk]


# --- How they are read ----------------------------------------------------------------------------
@pytest.mark.parametrize("path", [HISTORY, REVIEWS])
def test_the_number_of_queries_does_not_grow(path, django_assert_num_queries):
    shop, person = make_shop(), make_person()
    reader = person if path == HISTORY else make_reviewer(shop)

    def read(expected):
        # The role on the platform and the memberships, for whoever reviews; then the page, and its
        # processes.
        with django_assert_num_queries(2 if path == HISTORY else 4):
            items = items_for(reader, path, status="approved")
        assert len(items) == expected

    make_decided(shop=shop, person=person)
    read(1)
    for _ in range(9):
        make_decided(shop=shop, person=person)
    read(10)


@pytest.mark.parametrize(
    ("query", "queries"),
    [
        ({}, 4),
        ({"status": "all", "risk": "0"}, 4),
        ({"page_size": "1"}, 4),
        ({"shop": None}, 5),  # and the shop, which has to be one of theirs
    ],
)
def test_a_filter_of_reviews_takes_no_more_queries(query, queries, django_assert_num_queries):
    shop = make_shop()
    reviewer = make_reviewer(shop)
    for _ in range(3):
        make_receipt(shop=shop)
    wanted = {name: value or str(shop.pk) for name, value in query.items()}

    with django_assert_num_queries(queries):
        assert items_for(reviewer, REVIEWS, **wanted)


def test_a_later_page_takes_as_many_queries(django_assert_num_queries):
    person = make_person()
    for _ in range(3):
        make_receipt(person=person)
    cursor = data_of(client_of(person).get(HISTORY, {"page_size": "1"}))["next"]

    with django_assert_num_queries(2):
        assert items_for(person, HISTORY, page_size="1", cursor=cursor, status="pending")


def test_an_upload_takes_two_queries(django_assert_num_queries):
    """The receipt with its files, and its processes."""
    receipt = make_receipt()
    make_record(receipt, status=ProcessStatus.PENDING)
    client = client_of(receipt.person)

    with django_assert_num_queries(2):
        data_of(client.get(f"{UPLOADS}/{receipt.pk}"))


def test_platform_staff_reads_reviews_in_three_queries(cast, django_assert_num_queries):
    make_receipt(shop=cast.shop)

    with django_assert_num_queries(3):
        assert items_for(cast.staff, REVIEWS)


@pytest.mark.parametrize("path", [HISTORY, REVIEWS])
def test_no_row_is_fetched_one_by_one(path, monkeypatch):
    receipt = make_decided()
    reader = receipt.person if path == HISTORY else make_reviewer(receipt.shop)
    everything = Receipt.objects.all

    def strict(*args, **kwargs):
        return everything().fetch_mode(models.FETCH_RAISE).filter(*args, **kwargs)

    monkeypatch.setattr(Receipt.objects, "filter", strict)

    assert ids_for(reader, path, status="approved") == [receipt.pk]


def test_uploads_of_the_same_moment_have_an_order():
    person, now = make_person(), timezone.now()
    receipts = [make_receipt(person=person, created_at=now - timedelta(days=n)) for n in (0, 1)]

    assert ids_for(person, HISTORY) == [receipts[1].pk, receipts[0].pk]
