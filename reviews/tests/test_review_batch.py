from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from accounts.models import PointsEntry
from accounts.tests.factories import sign_in
from catalog.tests.factories import make_shop
from ops.models import AuditEntry
from reviews import events
from reviews.models import ProcessStatus, Receipt, ReceiptStatus
from reviews.services import review
from reviews.services.review import Action, Decision, review_batch
from reviews.services.reviewers import Reviewer, reviewer_for
from reviews.tests.factories import (
    EPOCH,
    everything,
    make_decided,
    make_receipt,
    make_reviewer,
    settle,
)
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


def reject(receipt, reason):
    return {"upload_id": receipt.pk, "action": "reject", "reason": reason}


def photos_of_one_receipt(shop):
    return [make_receipt(shop=shop, receipt_number="A1", issued_at=EPOCH) for _ in range(2)]


def status_of(receipt):
    return Receipt.objects.get(pk=receipt.pk).status


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
    first, second = photos_of_one_receipt(shop)

    results = results_of(post_batch(make_reviewer(shop), [approve(second), approve(first)]))

    assert [result["code"] for result in results] == [0, 6005]
    assert str(second.pk) in results[1]["msg"]
    assert PointsEntry.objects.get().related_id == str(second.pk)
    assert status_of(first) == "pending"


def test_of_two_photos_of_one_receipt_a_rejected_one_does_not_count(shop):
    first, second = photos_of_one_receipt(shop)

    results = results_of(
        post_batch(make_reviewer(shop), [reject(first, "blurred"), approve(second)])
    )

    assert [result["code"] for result in results] == [0, 0]
    assert PointsEntry.objects.get().related_id == str(second.pk)


def test_each_receipt_has_what_was_decided_about_it(shop):
    reviewer = make_reviewer(shop)
    receipts = [make_receipt(shop=shop, estimated_points=1000 + number) for number in range(3)]
    unread = make_receipt(shop=shop, read=False)
    blurred, foreign = make_receipt(shop=shop), make_receipt(shop=shop)

    post_batch(
        reviewer,
        [
            *(approve(receipt) for receipt in receipts),
            approve(unread, points=0, reason="Thank you"),
            reject(blurred, "blurred"),
            reject(foreign, "Not our receipt"),
        ],
    )

    facts = ("status", "points_awarded", "review_reason", "paid_as")
    decided = Receipt.objects.order_by("pk")
    assert list(decided.values_list(*facts)) == [
        *(("approved", 1000 + n, "", receipt.read_as) for n, receipt in enumerate(receipts)),
        ("approved", 0, "Thank you", None),
        ("rejected", 0, "blurred", None),
        ("rejected", 0, "Not our receipt", None),
    ]
    assert {receipt.reviewer for receipt in decided} == {reviewer}
    assert len({receipt.reviewed_at for receipt in decided}) == 1
    paid = [(str(receipt.pk), 1000 + number) for number, receipt in enumerate(receipts)]
    assert list(PointsEntry.objects.order_by("pk").values_list("related_id", "points")) == paid


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


# --- What carries it, should the lock ever go -----------------------------------------------------
def decide(person, *decisions):
    """What becomes of each: None, or the code and the facts of the refusal."""
    reviewer = person if isinstance(person, Reviewer) else reviewer_for(person)
    refusals = review_batch(reviewer=reviewer, decisions=decisions)
    return [refusal and (refusal.code, refusal.data) for refusal in refusals]


def decision_on(receipt, action=Action.APPROVE, **fields):
    return Decision(upload_id=receipt.pk, action=action, **fields)


def test_what_was_decided_meanwhile_is_refused_and_the_others_are_decided(
    shop, in_between, pushes, django_capture_on_commit_callbacks
):
    before, stale, after = (make_receipt(shop=shop) for _ in range(3))
    reviewer = make_reviewer(shop)
    in_between(partial(settle, stale, make_person(), ReceiptStatus.REJECTED, reason="no"))

    with django_capture_on_commit_callbacks(execute=True):
        refusals = decide(reviewer, *map(decision_on, (before, stale, after)))

    assert refusals == [None, (6004, {"current_status": "rejected"}), None]
    assert list(map(status_of, (before, stale, after))) == ["approved", "rejected", "approved"]
    paid = {str(before.pk), str(after.pk)}
    assert set(PointsEntry.objects.values_list("related_id", flat=True)) == paid
    audited = AuditEntry.objects.filter(action="receipt.approve")
    assert set(audited.values_list("object_id", flat=True)) == paid
    told = [event for event in pushes.take(4) if event["type"] == "review_result"]
    assert {str(event["data"]["upload_id"]) for event in told} == paid


def test_what_was_paid_meanwhile_is_refused_and_the_others_are_decided(shop, in_between):
    first, second = photos_of_one_receipt(shop)
    paid = make_receipt(shop=shop, receipt_number="A1", issued_at=EPOCH)
    before, after = (make_receipt(shop=shop) for _ in range(2))
    in_between(partial(settle, paid, make_person(), ReceiptStatus.APPROVED))

    refusals = decide(make_reviewer(shop), *map(decision_on, (before, first, second, after)))

    paid_before = (6005, {"upload_id": paid.pk})
    assert refusals == [None, paid_before, paid_before, None]
    assert {status_of(first), status_of(second)} == {"pending"}
    assert {status_of(before), status_of(after)} == {"approved"}
    assert PointsEntry.objects.count() == 2


def test_where_the_first_of_two_photos_was_rejected_meanwhile_the_second_is_paid(shop, in_between):
    first, second = photos_of_one_receipt(shop)
    in_between(partial(settle, first, make_person(), ReceiptStatus.REJECTED, reason="no"))

    refusals = decide(make_reviewer(shop), decision_on(first), decision_on(second))

    assert refusals == [(6004, {"current_status": "rejected"}), None]
    assert status_of(second) == "approved"
    assert PointsEntry.objects.get().related_id == str(second.pk)


def test_what_is_decided_while_each_is_written_alone_is_refused_as_well(shop, monkeypatch):
    first, second, third = (make_receipt(shop=shop) for _ in range(3))
    write = review._write
    rejected_meanwhile = [first, second]

    def decide_then_write(decided):
        if decided and rejected_meanwhile:
            one = rejected_meanwhile.pop(0)
            settle(one, make_person(), ReceiptStatus.REJECTED, reason="no")
        write(decided)

    monkeypatch.setattr(review, "_write", decide_then_write)

    refusals = decide(make_reviewer(shop), *map(decision_on, (first, second, third)))

    assert refusals == [(6004, {"current_status": "rejected"})] * 2 + [None]
    assert PointsEntry.objects.get().related_id == str(third.pk)


def test_another_broken_constraint_leaves_nothing_of_the_batch(shop):
    good, bad = make_receipt(shop=shop), make_receipt(shop=shop)
    reviewer, before = make_reviewer(shop), everything()

    with pytest.raises(IntegrityError, match="receipt_rejected_for_a_reason"):
        decide(reviewer, decision_on(good), decision_on(bad, Action.REJECT))

    assert everything() == before


# --- What it costs --------------------------------------------------------------------------------
# Asked, held; decided in a savepoint; people, entries, balances; the trail's actor, entries and
# head; all in a savepoint of the request's transaction.
STATEMENTS = 1 + 1 + 3 + 3 + 3 + 2


@pytest.mark.parametrize("number", [1, 10, 100])
def test_however_many_receipts_it_takes_as_many_statements(shop, number, django_assert_num_queries):
    reviewer = reviewer_for(make_reviewer(shop))
    decide(reviewer, decision_on(make_receipt(shop=shop)))  # the first entry makes the actor's row
    receipts = [make_receipt(shop=shop) for _ in range(number)]
    decisions = [
        decision_on(receipt, points=n)
        if n % 3
        else decision_on(receipt, Action.REJECT, reason=f"Blurred {n}")
        for n, receipt in enumerate(receipts, start=1)
    ]

    with django_assert_num_queries(STATEMENTS):
        assert decide(reviewer, *decisions) == [None] * number


def test_two_photos_of_one_receipt_are_told_apart_before_anything_is_written(
    shop, django_assert_num_queries
):
    reviewer = reviewer_for(make_reviewer(shop))
    decide(reviewer, decision_on(make_receipt(shop=shop)))
    first, second = photos_of_one_receipt(shop)

    with django_assert_num_queries(STATEMENTS):
        refusals = decide(reviewer, decision_on(first), decision_on(second))

    assert refusals == [None, (6005, {"upload_id": first.pk})]


def test_a_batch_of_refusals_writes_nothing(shop, django_assert_num_queries):
    reviewer, decided = reviewer_for(make_reviewer(shop)), make_decided(shop=shop)

    with django_assert_num_queries(1 + 1 + 2):
        assert decide(reviewer, decision_on(decided))[0][0] == 6004


def test_a_hundred_reviews_with_a_key_take_thirty_statements_at_most(shop):
    reviewer, client = make_reviewer(shop), client_of()
    sign_in(client, reviewer)

    def post(receipts, key):
        body = {"items": [approve(receipt) for receipt in receipts]}
        return results_of(client.post(PATH, body, headers={"Idempotency-Key": key}))

    post([make_receipt(shop=shop)], "k1")
    receipts = [make_receipt(shop=shop) for _ in range(100)]
    with CaptureQueriesContext(connection) as statements:
        results = post(receipts, "k2")

    assert [result["code"] for result in results] == [0] * 100
    assert len(statements) <= 30
