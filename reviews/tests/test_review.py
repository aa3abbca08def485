import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import PointsEntry
from accounts.tests.factories import make_sign_in
from accounts.tests.sockets import in_database, opened
from catalog.errors import NotAMerchant
from catalog.models import ShopRole
from catalog.tests.factories import make_member, make_shop
from ops.errors import NotAllowed
from ops.realtime import push
from ops.tests.layers import IN_MEMORY
from ops.tests.sockets import end_of_the_process
from reviews import events
from reviews.errors import AlreadyReviewed, PaidBefore, ProcessNotEnded
from reviews.models import ProcessStatus, Receipt, ReceiptStatus
from reviews.models.receipts import ReceiptQuerySet
from reviews.services import review
from reviews.services.review import Action, Decision
from reviews.services.reviewers import reviewer_for
from reviews.tests.factories import (
    EPOCH,
    everything,
    make_decided,
    make_receipt,
    make_reviewer,
    settle,
)
from tests.api import answer_of, client_of, refusal_of
from tests.people import give, make_person
from tests.races import race

pytestmark = pytest.mark.django_db

PATH = "/api/merchant/review"


@pytest.fixture
def receipt():
    return make_receipt()


def post_decision(reviewer, receipt, *, action="approve", key=None, **fields):
    """Post a decision as a merchant's client does."""
    upload_id = receipt.pk if isinstance(receipt, Receipt) else receipt
    return client_of(reviewer).post(
        PATH,
        {"upload_id": upload_id, "action": action, **fields},
        headers={"Idempotency-Key": key} if key else {},
    )


def decide(reviewer, receipt, **fields):
    return answer_of(post_decision(reviewer, receipt, **fields))


def approve(reviewer, receipt):
    decision = Decision(upload_id=receipt.pk, action=Action.APPROVE)
    return review.review(reviewer=reviewer_for(reviewer), decision=decision)


def refused_unchanged(reviewer, receipt, **fields):
    """Post a decision that is refused, and prove that the refusal changed nothing."""
    before = everything()
    refusal = refusal_of(post_decision(reviewer, receipt, **fields))
    assert everything() == before
    return refusal


# --- Deciding -------------------------------------------------------------------------------------
def test_an_approval_pays_the_estimate(receipt):
    reviewer = make_reviewer(receipt.shop)
    give(receipt.person, 50)

    answer = decide(reviewer, receipt)

    assert answer == (
        200,
        0,
        {
            "upload_id": receipt.pk,
            "action": "approve",
            "points_awarded": 1000,
            "user_new_balance": 1050,
        },
    )
    receipt.refresh_from_db()
    assert (receipt.status, receipt.points_awarded) == ("approved", 1000)
    assert receipt.reviewer == reviewer
    assert timezone.now() - receipt.reviewed_at < timedelta(minutes=1)
    assert receipt.paid_as == receipt.read_as != ""
    entry = PointsEntry.objects.latest("pk")
    assert (entry.user_id, entry.points) == (receipt.person_id, 1000)
    assert (entry.source, entry.related_id) == ("photo_upload", str(receipt.pk))
    assert receipt.person.lifetime_points == 1000


def test_fewer_points_may_be_given(receipt):
    answer = decide(make_reviewer(receipt.shop), receipt, points=7)

    assert answer.data["points_awarded"] == 7
    assert PointsEntry.objects.get().points == 7


def test_null_points_are_not_given(receipt):
    answer = decide(make_reviewer(receipt.shop), receipt, points=None)

    assert answer.data["points_awarded"] == 1000


def test_an_approval_without_points_writes_no_entry(receipt):
    answer = decide(make_reviewer(receipt.shop), receipt, points=0)

    assert (answer.data["points_awarded"], answer.data["user_new_balance"]) == (0, 0)
    assert not PointsEntry.objects.exists()
    receipt.refresh_from_db()
    assert receipt.status == "approved"


def test_a_rejection_gives_its_reason(receipt):
    reviewer = make_reviewer(receipt.shop)

    answer = decide(reviewer, receipt, action="reject", reason="  Not our receipt  ", points=5)

    assert answer.data == {
        "upload_id": receipt.pk,
        "action": "reject",
        "points_awarded": 0,
        "user_new_balance": 0,
    }
    receipt.refresh_from_db()
    assert (receipt.status, receipt.points_awarded) == ("rejected", 0)
    assert (receipt.review_reason, receipt.reviewer) == ("Not our receipt", reviewer)
    assert receipt.paid_as is None
    assert not PointsEntry.objects.exists()


def test_the_person_is_told_of_both(receipt, pushes, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        decide(make_reviewer(receipt.shop), receipt, reason="Thank you")

    result, points = pushes.take(2)
    assert (result["type"], result["owner_id"]) == ("review_result", receipt.person_id)
    timestamp = datetime.fromisoformat(result["data"].pop("timestamp"))
    assert timestamp.utcoffset() == timedelta(hours=8)
    assert result["data"] == {
        "upload_id": receipt.pk,
        "status": "approved",
        "points_awarded": 1000,
        "reason": "Thank you",
    }
    assert (points["type"], points["owner_id"]) == ("points_update", receipt.person_id)


def test_a_refused_decision_is_not_told(receipt, pushes, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        refused_unchanged(make_reviewer(make_shop()), receipt)

    assert pushes.take(0) == []


def test_a_receipt_whose_reading_failed_is_decided_by_eye():
    receipt = make_receipt(read=False, process=ProcessStatus.FAILED)

    assert decide(make_reviewer(receipt.shop), receipt).code == 0

    receipt.refresh_from_db()
    assert receipt.paid_as is None


# --- Who may --------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", ["owner", "manager", "reviewer"])
def test_three_roles_review(cast, role):
    assert decide(getattr(cast, role), make_receipt(shop=cast.shop)).code == 0


@pytest.mark.parametrize("body", [{}, {"action": "wrong"}, {"action": "reject"}])
def test_permission_comes_before_shape(cast, body):
    receipt = make_receipt(shop=cast.shop)

    assert refused_unchanged(cast.customer, receipt, **body) == (403, 6001, None)
    assert refused_unchanged(cast.cashier, receipt, **body) == (403, 1009, None)


def test_permission_comes_before_the_body_is_read(cast):
    response = client_of(cast.customer).post(PATH, b"{", content_type="application/json")

    assert refusal_of(response).code == 6001


def test_other_shops_receipts_do_not_exist(cast):
    receipt = make_receipt(shop=cast.shop)

    assert refused_unchanged(cast.other_owner, receipt) == (404, 6002, None)


def test_a_role_counts_at_its_own_shop_alone(cast):
    cast.other_shop.members.create(person=cast.cashier, role=ShopRole.REVIEWER)

    assert refused_unchanged(cast.cashier, make_receipt(shop=cast.shop)) == (404, 6002, None)


def test_nobody_reviews_their_own(cast):
    receipt = make_receipt(shop=cast.shop, person=cast.owner)

    for decision in ({"action": "approve"}, {"action": "reject", "reason": "x"}):
        assert refused_unchanged(cast.owner, receipt, **decision) == (403, 1009, None)


def test_platform_staff_reviews_everywhere_with_a_managers_rights(cast):
    for person in (cast.staff, make_person(is_superuser=True)):
        assert decide(person, make_receipt(), points=1001).code == 0


def test_whoever_may_enter_the_console_reviews_nothing_by_that_alone(cast):
    receipt = make_receipt(shop=cast.shop)
    decision = Decision(upload_id=receipt.pk, action=Action.APPROVE)
    by_hand = make_person(is_staff=True)
    by_hand.user_permissions.set(Permission.objects.filter(codename__endswith="receipt"))
    for person in (cast.auditor, by_hand):
        with pytest.raises(NotAMerchant):
            review.review(reviewer=reviewer_for(person), decision=decision)
    with pytest.raises(NotAllowed):
        review.review(reviewer=reviewer_for(cast.cashier), decision=decision)


def test_platform_staff_does_not_review_their_own(cast):
    for person in (cast.staff, make_person(is_superuser=True)):
        receipt = make_receipt(person=person)

        assert refused_unchanged(person, receipt) == (403, 1009, None)


# --- Shape ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "fields",
    [
        {"action": None},
        {"action": "wrong"},
        {"action": ["approve"]},
        {"action": "Approve"},
        {"points": -1},
        {"points": 100_001},
        {"points": "5"},
        {"points": 5.0},
        {"points": True},
        {"points": []},
        {"action": "reject"},
        {"action": "reject", "reason": None},
        {"action": "reject", "reason": " \n "},
        {"action": "reject", "reason": 5},
        {"action": "reject", "reason": "x", "points": -1},
        {"action": "reject", "reason": "x" * 501},
    ],
)
def test_a_decision_of_another_shape_is_refused(receipt, fields):
    reviewer = make_reviewer(receipt.shop)

    assert refused_unchanged(reviewer, receipt, **fields) == (400, 6003, None)
    assert refused_unchanged(reviewer, 10**9, **fields) == (400, 6003, None)


def test_an_action_is_needed(receipt):
    response = client_of(make_reviewer(receipt.shop)).post(PATH, {"upload_id": receipt.pk})

    assert refusal_of(response).code == 6003


@pytest.mark.parametrize("upload_id", [10**9, "1", None, 1.5, True, [], {}, -1, 10**30])
def test_a_receipt_that_is_not_there_is_not_found(receipt, upload_id):
    assert refused_unchanged(make_reviewer(receipt.shop), upload_id) == (404, 6002, None)


# --- State ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [ReceiptStatus.APPROVED, ReceiptStatus.REJECTED])
@pytest.mark.parametrize("action", ["approve", "reject"])
def test_a_decision_is_taken_once(status, action):
    receipt = make_decided(status, process=ProcessStatus.COMPLETED)

    answer = refused_unchanged(make_reviewer(receipt.shop), receipt, action=action, reason="x")

    assert answer == (409, 6004, {"current_status": status})


@pytest.mark.parametrize("status", [ProcessStatus.PENDING, ProcessStatus.PROCESSING])
@pytest.mark.parametrize("action", ["approve", "reject"])
def test_the_reading_ends_first(status, action):
    receipt = make_receipt(process=status)

    answer = refused_unchanged(make_reviewer(receipt.shop), receipt, action=action, reason="x")

    assert answer == (409, 6006, None)


def test_what_is_read_while_it_is_waited_for_is_decided_later(monkeypatch):
    """Its payment key is new: the other photos with this key are not held."""
    receipt = make_receipt(process=ProcessStatus.PENDING)

    def read_meanwhile(receipts):
        receipt.process_records.update(status=ProcessStatus.COMPLETED, finished_at=timezone.now())
        return receipts.order_by("pk")

    monkeypatch.setattr(ReceiptQuerySet, "locked", read_meanwhile)

    with pytest.raises(ProcessNotEnded):
        approve(make_reviewer(receipt.shop), receipt)


def same_receipt(make=make_receipt, **fields):
    return make(**{"receipt_number": "A1", "issued_at": EPOCH, **fields})


def test_the_same_receipt_is_paid_once():
    paid = same_receipt()
    owner = make_member(shop=paid.shop, role=ShopRole.OWNER)
    again = same_receipt(shop=paid.shop)
    assert decide(owner, paid).code == 0

    refusal = refused_unchanged(owner, again, points=10**5)

    assert refusal == (409, 6005, {"upload_id": paid.pk})
    assert decide(owner, again, action="reject", reason="Paid before").code == 0


@pytest.mark.parametrize("missing", ["receipt_number", "issued_at", "recognized_amount"])
def test_without_all_of_it_two_receipts_are_not_the_same(missing):
    fields = {missing: "" if missing == "receipt_number" else None}
    paid = same_receipt(**fields)
    reviewer = make_reviewer(paid.shop)

    assert decide(reviewer, paid).code == 0
    assert decide(reviewer, same_receipt(shop=paid.shop, **fields)).code == 0


def test_a_rejected_photo_of_it_does_not_count():
    rejected = same_receipt(make_decided, status=ReceiptStatus.REJECTED)

    assert decide(make_reviewer(rejected.shop), same_receipt(shop=rejected.shop)).code == 0


# --- More points than estimated -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("role", "points", "code"),
    [
        ("reviewer", 1000, 0),
        ("reviewer", 1001, 1009),
        ("manager", 1001, 0),
        ("owner", 1500, 0),
        ("owner", 1501, 1009),
        ("reviewer", 1501, 1009),
    ],
)
def test_points_above_the_estimate_need_a_manager_and_have_a_limit(
    cast, settings, role, points, code
):
    settings.ADJUSTMENT_SECOND_PERSON_ABOVE = 500

    answer = decide(getattr(cast, role), make_receipt(shop=cast.shop), points=points)

    assert answer.code == code
    assert PointsEntry.objects.count() == (0 if code else 1)


def test_a_manager_of_another_shop_gives_no_more_here(cast):
    cast.other_shop.members.create(person=cast.reviewer, role=ShopRole.MANAGER)
    receipt = make_receipt(shop=cast.shop)

    assert refused_unchanged(cast.reviewer, receipt, points=1001) == (403, 1009, None)


# --- Once per key ---------------------------------------------------------------------------------
def test_a_repeated_key_gives_the_first_answer(receipt):
    reviewer = make_reviewer(receipt.shop)
    first = post_decision(reviewer, receipt, key="k1")

    second = post_decision(reviewer, receipt, key="k1")

    assert second.json() == first.json()
    assert second.headers["Idempotent-Replay"] == "true"
    assert PointsEntry.objects.count() == 1
    assert refused_unchanged(reviewer, receipt, points=1, key="k1") == (422, 1014, None)
    assert refused_unchanged(reviewer, receipt, points=-1, key="k1").code == 6003


# --- What carries it, should the lock ever go -----------------------------------------------------
def test_a_decision_on_a_stale_row_is_refused(receipt, in_between):
    """The conditional UPDATE decides."""
    in_between(partial(settle, receipt, make_person(), ReceiptStatus.REJECTED, reason="no"))

    with pytest.raises(AlreadyReviewed) as refusal:
        approve(make_reviewer(receipt.shop), receipt)

    assert refusal.value.data == {"current_status": "rejected"}
    assert not PointsEntry.objects.exists()


def test_the_same_receipt_approved_at_the_same_moment_is_refused_by_the_constraint(in_between):
    paid = same_receipt()
    again = same_receipt(shop=paid.shop)
    in_between(partial(settle, paid, make_person(), ReceiptStatus.APPROVED))

    with pytest.raises(PaidBefore) as refusal:
        approve(make_reviewer(paid.shop), again)

    assert refusal.value.data == {"upload_id": paid.pk}
    assert not PointsEntry.objects.exists()


def test_another_broken_constraint_is_no_refusal(receipt):
    decision = Decision(upload_id=receipt.pk, action=Action.REJECT)
    reviewer = reviewer_for(make_reviewer(receipt.shop))

    with pytest.raises(IntegrityError, match="receipt_rejected_for_a_reason"):
        review.review(reviewer=reviewer, decision=decision)


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"status": "lost"}, "receipt_status_known|receipt_decided_wholly"),
        ({"status": "approved"}, "receipt_decided_wholly_or_not"),
        ({"points_awarded": 5}, "receipt_decided_wholly_or_not"),
        ({"reviewed_at": EPOCH}, "receipt_decided_wholly_or_not"),
        ({"input_amount": 0}, "receipt_input_amount_in_range"),
        ({"recognized_amount": 0}, "receipt_recognized_amount_positive"),
        ({"confidence": "1.1"}, "receipt_confidence_in_range"),
        ({"risk_score": 101}, "receipt_risk_score_in_range"),
        ({"paid_as": "a"}, "receipt_paid_as_it_was_read"),
        ({"submission": 3}, "receipt_submitted_at_most_twice"),
        ({"submission": 0}, "receipt_submitted_at_most_twice"),
    ],
)
def test_the_database_refuses_impossible_receipts(receipt, fields, constraint):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Receipt.objects.update(**fields)


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"paid_as": "a" * 64}, "receipt_paid_as_it_was_read"),
        ({"status": "rejected"}, "receipt_rejected|receipt_paid_as"),
        ({"status": "pending"}, "receipt_decided_wholly|receipt_paid_as"),
        ({"reviewer": None}, "receipt_decided_wholly_or_not"),
        ({"points_awarded": None}, "receipt_decided_wholly_or_not"),
    ],
)
def test_the_database_refuses_impossible_decisions(fields, constraint):
    make_decided()

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Receipt.objects.update(**fields)


def test_the_database_refuses_a_review_of_ones_own():
    receipt = make_decided()

    with pytest.raises(IntegrityError, match="receipt_not_reviewed_by_its_owner"):
        Receipt.objects.update(reviewer=receipt.person)


# --- Catching up ----------------------------------------------------------------------------------
def test_missed_results_are_sent_again_oldest_first():
    person = make_person()
    receipts = [make_decided(person=person) for _ in range(3)]
    make_decided()
    make_receipt(person=person)
    since = receipts[0].reviewed_at + events.COMMITTED_WITHIN

    missed = events.reviewed_since(person.pk, since)

    assert [event.data["upload_id"] for event in missed] == [receipts[1].pk, receipts[2].pk]
    assert all(event.is_replay and event.owner_id == person.pk for event in missed)
    assert missed[0].message()["replayed"] is True
    assert missed[0].message()["type"] == "review_result"


@pytest.fixture
async def serving_sockets(settings):
    """A process that serves sockets, on the in-memory layer."""
    settings.CHANNEL_LAYERS = IN_MEMORY
    yield
    await end_of_the_process()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "never",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:04:00Z",
        "0001-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00-12:00",
    ],
)
async def test_whoever_never_heard_anything_resumes_from_the_first_moment_there_is(
    serving_sockets, never
):
    me = await in_database(make_sign_in)
    receipt = await in_database(partial(make_decided, person=me.person))
    client, _hello = await opened(me.pair.access_token)

    await client.say("resume", data={"points_version": 0, "since": never})

    heard = await client.heard_before_a_pong()
    results = [message["data"] for message in heard if message["type"] == "review_result"]
    assert [result["upload_id"] for result in results] == [receipt.pk]
    await client.leave()


def resume_while_it_commits(receipt):
    """The uploads a client is told of that has seen everything until a moment before a commit."""
    decision = Decision(upload_id=receipt.pk, action=Action.APPROVE)
    reviewer = reviewer_for(make_reviewer(receipt.shop))
    is_decided, may_commit = threading.Event(), threading.Event()

    def decide_and_be_slow():
        with transaction.atomic():
            review.review(reviewer=reviewer, decision=decision)
            is_decided.set()
            assert may_commit.wait(30)

    with ThreadPoolExecutor(1) as pool:
        deciding = pool.submit(race, [decide_and_be_slow])
        assert is_decided.wait(30)
        until_now = timezone.now()
        assert push.replay_since(receipt.person_id, until_now) == []
        may_commit.set()
        assert deciding.result(30) == [None]
    missed = push.replay_since(receipt.person_id, until_now)
    return [event.data["upload_id"] for event in missed]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_decision_made_before_and_committed_after_is_not_lost(receipt):
    assert resume_while_it_commits(receipt) == [receipt.pk]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_twin_without_looking_further_back_it_is_lost(receipt, monkeypatch):
    monkeypatch.setattr(events, "COMMITTED_WITHIN", timedelta())
    assert resume_while_it_commits(receipt) == []


def test_a_decision_that_took_too_long_is_not_written(receipt, monkeypatch):
    monkeypatch.setattr(events, "WRITTEN_WITHIN", timedelta())

    assert refused_unchanged(make_reviewer(receipt.shop), receipt) == (503, 1503, None)


@pytest.mark.postgresql
def test_nothing_that_is_written_in_time_is_committed_later_than_it_is_looked_for():
    """What follows: the answer kept for the key and the commit, each after a pause of ours."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('idle_in_transaction_session_timeout')::interval,"
            " current_setting('statement_timeout')::interval"
        )
        pause, statement = cursor.fetchone()

    assert pause > timedelta()
    assert statement > timedelta()
    assert events.WRITTEN_WITHIN + 2 * (pause + statement) < events.COMMITTED_WITHIN
