from datetime import timedelta

import pytest

from accounts.models import PointsEntry
from catalog.tests.factories import make_shop
from reviews import events
from reviews.models import ProcessStatus, Receipt
from reviews.services.review import Action, Decision, review_batch
from reviews.services.reviewers import reviewer_for
from reviews.tests.factories import EPOCH, everything, make_decided, make_receipt, make_reviewer
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person

pytestmark = pytest.mark.django_db

PATH = "/api/merchant/reviews/batch"


@pytest.fixture
def shop():
    return make_shop()


def post_batch(reviewer, items, *, key=None):
    headers = {"Idempotency-Key": key} if key else {}
    return client_of(reviewer).post(PATH, {"items": items}, headers=headers)


def results_of(response):
    return data_of(response)["results"]


def refused_unchanged(reviewer, items):
    """Post a batch that is refused whole, and prove that the refusal changed nothing."""
    before = everything()
    refusal = refusal_of(post_batch(reviewer, items))
    assert everything() == before
    return refusal


def approve(receipt, **fields):
    return {"upload_id": receipt.pk, "action": "approve", **fields}


def test_a_batch_that_took_too_long_is_not_written(shop, monkeypatch):
    monkeypatch.setattr(events, "WRITTEN_WITHIN", timedelta())

    refusal = refused_unchanged(make_reviewer(shop), [approve(make_receipt(shop=shop))])

    assert refusal == (503, 1503, None)


def test_each_item_has_its_own_answer(shop):
    good, other, rejected, reading, decided, foreign = (
        make_receipt(shop=shop),
        make_receipt(shop=shop),
        make_receipt(shop=shop),
        make_receipt(shop=shop, process=ProcessStatus.PENDING),
        make_decided(shop=shop),
        make_receipt(),
    )

    response = post_batch(
        make_reviewer(shop),
        [
            approve(foreign),
            approve(good),
            approve(decided),
            approve(reading),
            {"upload_id": rejected.pk, "action": "reject", "reason": "blurred"},
            {"upload_id": rejected.pk, "action": "reject"},
            {"upload_id": "x", "action": "approve"},
            {},
            approve(other, points=3),
            approve(good),
            approve(good, points=-1),
        ],
    )

    results = results_of(response)
    assert all(set(result) == {"upload_id", "code", "msg"} for result in results)
    assert [(result["upload_id"], result["code"]) for result in results] == [
        (foreign.pk, 6002),
        (good.pk, 0),
        (decided.pk, 6004),
        (reading.pk, 6006),
        (rejected.pk, 0),
        (rejected.pk, 6003),
        ("x", 6002),
        (None, 6003),
        (other.pk, 0),
        (good.pk, 6004),
        (good.pk, 6003),
    ]
    assert results[1]["msg"] == "success"
    assert results[0]["msg"] not in {"", "success"}
    assert sorted(PointsEntry.objects.values_list("related_id", "points")) == sorted(
        [(str(good.pk), 1000), (str(other.pk), 3)]
    )
    foreign.refresh_from_db()
    assert foreign.status == "pending"


def test_two_photos_of_one_receipt_in_one_batch_are_paid_once(shop):
    first, second = (
        make_receipt(shop=shop, receipt_number="A1", issued_at=EPOCH) for _ in range(2)
    )

    results = results_of(post_batch(make_reviewer(shop), [approve(second), approve(first)]))

    assert [result["code"] for result in results] == [0, 6005]
    assert PointsEntry.objects.count() == 1


def test_one_persons_receipts_add_up(shop):
    person = make_person()
    receipts = [make_receipt(shop=shop, person=person) for _ in range(3)]

    post_batch(make_reviewer(shop), [approve(receipt) for receipt in receipts])

    person.refresh_from_db()
    assert (person.total_points, person.points_version) == (3000, 3)


@pytest.mark.parametrize(
    "items", [None, "x", {}, 5, [1], ["x"], [None], [{}] * 101, [{"action": "approve"}, []]]
)
def test_other_bodies_are_refused_whole(shop, items):
    receipt, reviewer = make_receipt(shop=shop), make_reviewer(shop)
    if isinstance(items, list):
        items = [approve(receipt), *items]

    refusal = refused_unchanged(reviewer, items)

    assert (refusal.status, refusal.code) == (400, 1011)
    assert all(name.startswith("items") for name in refusal.data)


def test_items_are_needed(shop):
    refusal = refusal_of(client_of(make_reviewer(shop)).post(PATH, {}))

    assert (refusal.code, list(refusal.data)) == (1011, ["items"])


def test_a_batch_may_be_of_a_hundred_items_and_of_none(shop):
    receipts = [make_receipt(shop=shop) for _ in range(100)]
    reviewer = make_reviewer(shop)

    assert data_of(post_batch(reviewer, [])) == {"results": []}
    results = results_of(post_batch(reviewer, [approve(receipt) for receipt in receipts]))

    assert [result["code"] for result in results] == [0] * 100
    assert PointsEntry.objects.count() == 100


def test_a_batch_of_those_who_do_not_review_is_refused_whole(cast):
    receipt = make_receipt(shop=cast.shop)

    assert refused_unchanged(cast.customer, [approve(receipt)]) == (403, 6001, None)
    assert refused_unchanged(cast.auditor, [approve(receipt)]) == (403, 6001, None)
    assert refused_unchanged(cast.cashier, [approve(receipt)]) == (403, 1009, None)
    assert not PointsEntry.objects.exists()


def test_a_repeated_key_gives_the_first_answer_refusals_included(shop):
    reviewer = make_reviewer(shop)
    ready, reading = make_receipt(shop=shop), make_receipt(shop=shop, process=None)
    record = reading.process_records.create()
    items = [approve(ready), approve(reading)]
    first = post_batch(reviewer, items, key="k1")
    assert [result["code"] for result in results_of(first)] == [0, 6006]
    record.delete()

    second = post_batch(reviewer, items, key="k1")

    assert second.json() == first.json()
    assert second.headers["Idempotent-Replay"] == "true"
    assert PointsEntry.objects.count() == 1
    reading.refresh_from_db()
    assert reading.status == "pending"


def test_own_receipts_are_refused_and_the_others_decided(shop):
    reviewer = make_reviewer(shop)
    own, other = make_receipt(shop=shop, person=reviewer), make_receipt(shop=shop)
    decisions = [Decision(upload_id=one.pk, action=Action.APPROVE) for one in (own, other)]

    refusals = review_batch(reviewer=reviewer_for(reviewer), decisions=decisions)

    assert [refusal and refusal.code for refusal in refusals] == [1009, None]
    assert Receipt.objects.filter(status="approved").get() == other


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [('"\\ud800"', None), (10**30, None), ("[1]", None), ("true", None), ('"x"', "x")],
)
def test_an_id_that_cannot_be_answered_spoils_nothing(shop, sent, echoed):
    """It failed when the answer was written: after the other items had been paid."""
    good = make_receipt(shop=shop)
    body = (
        f'{{"items": [{{"upload_id": {good.pk}, "action": "approve"}}, '
        f'{{"upload_id": {sent}, "action": "approve"}}]}}'
    )
    client = client_of(make_reviewer(shop))

    results = results_of(client.post(PATH, body, content_type="application/json"))

    assert [(one["upload_id"], one["code"]) for one in results] == [(good.pk, 0), (echoed, 6002)]
