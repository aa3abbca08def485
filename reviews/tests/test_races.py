"""What must hold when many do it at once, with twins that show the race without its guard."""

import threading
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, transaction
from django.utils import timezone

from accounts.models import PointsEntry, User
from accounts.models.people import UserQuerySet
from catalog.tests.factories import make_shop
from ops.models import StoredFile
from ops.tests.databases import wait_until, waiting_for_a_lock
from reviews.errors import AlreadyReviewed, PaidBefore, SubmittedBefore, UploadQuotaUsed
from reviews.models import (
    ProcessRecord,
    ProcessStatus,
    Receipt,
    ReceiptStatus,
)
from reviews.models.receipts import ReceiptQuerySet
from reviews.services import process, review, uploads
from reviews.services.review import Action, Decision
from reviews.services.reviewers import reviewer_for
from reviews.tests.factories import (
    EPOCH,
    make_decided,
    make_file,
    make_photo,
    make_receipt,
    make_record,
    make_reviewer,
    pay,
    upload,
)
from tests.api import answer_of, client_of
from tests.people import make_person
from tests.races import RACERS, kinds, race, race_numbered, take_lock_away, without_constraint

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

# Twins hold their transactions open side by side: as many as the pool has connections for.
TWINS = 8


def approve(receipt, reviewer):
    decision = Decision(upload_id=receipt.pk, action=Action.APPROVE)
    return review.review(reviewer=reviewer_for(reviewer), decision=decision)


# --- One receipt is paid once ---------------------------------------------------------------------
def test_fifty_approvals_of_one_receipt_pay_it_once():
    receipt = make_receipt()
    reviewers = [make_reviewer(receipt.shop) for _ in range(RACERS)]

    outcomes = race_numbered(lambda number: approve(receipt, reviewers[number]))

    assert kinds(outcomes) == {review.Reviewed: 1, AlreadyReviewed: RACERS - 1}
    assert PointsEntry.objects.get().points == 1000
    assert User.objects.get(pk=receipt.person_id).total_points == 1000
    (winner,) = (at for at, one in enumerate(outcomes) if isinstance(one, review.Reviewed))
    receipt.refresh_from_db()
    assert receipt.reviewer == reviewers[winner]


def test_without_the_lock_the_conditional_update_still_decides(monkeypatch):
    monkeypatch.setattr(ReceiptQuerySet, "locked", lambda receipts: receipts.order_by("pk"))
    receipt = make_receipt(read=False)
    reviewers = [make_reviewer(receipt.shop) for _ in range(RACERS)]

    outcomes = race_numbered(lambda number: approve(receipt, reviewers[number]))

    assert kinds(outcomes) == {review.Reviewed: 1, AlreadyReviewed: RACERS - 1}
    assert PointsEntry.objects.count() == 1


def test_twin_without_lock_and_condition_a_receipt_is_paid_many_times():
    receipt = make_receipt()
    reviewer = make_reviewer(receipt.shop)
    all_have_read = threading.Barrier(TWINS, timeout=30)

    def attempt(_number):
        with transaction.atomic():
            mine = Receipt.objects.get(pk=receipt.pk)
            assert mine.status == ReceiptStatus.PENDING
            all_have_read.wait()
            Receipt.objects.filter(pk=receipt.pk).update(
                status=ReceiptStatus.APPROVED,
                points_awarded=1000,
                reviewer=reviewer,
                reviewed_at=timezone.now(),
            )
            pay(mine, 1000)

    race_numbered(attempt, racers=TWINS)

    assert PointsEntry.objects.count() == TWINS


def photos_of_one_receipt(number):
    shop = make_shop()
    return [
        make_receipt(shop=shop, receipt_number="A1", issued_at=EPOCH) for _ in range(number)
    ], make_reviewer(shop)


def test_fifty_photos_of_one_receipt_are_paid_once():
    receipts, reviewer = photos_of_one_receipt(RACERS)

    outcomes = race_numbered(lambda number: approve(receipts[number], reviewer))

    assert kinds(outcomes) == {review.Reviewed: 1, PaidBefore: RACERS - 1}
    paid = Receipt.objects.get(status=ReceiptStatus.APPROVED)
    refusals = [one for one in outcomes if isinstance(one, PaidBefore)]
    assert {refusal.data["upload_id"] for refusal in refusals} == {paid.pk}
    assert PointsEntry.objects.count() == 1


def decide_side_by_side(monkeypatch, receipts, reviewer):
    """Everybody reads all photos, of which none is paid, before anybody pays one."""
    take_lock_away(monkeypatch, ReceiptQuerySet, len(receipts))
    reviewer = reviewer_for(reviewer)

    def attempt(number):
        decision = Decision(upload_id=receipts[number].pk, action=Action.APPROVE)
        return review.review(reviewer=reviewer, decision=decision)

    return race_numbered(attempt, racers=len(receipts))


def test_without_the_lock_a_receipt_is_paid_once_by_the_constraint(monkeypatch):
    outcomes = decide_side_by_side(monkeypatch, *photos_of_one_receipt(TWINS))

    assert kinds(outcomes) == {review.Reviewed: 1, PaidBefore: TWINS - 1}
    assert PointsEntry.objects.count() == 1


def test_twin_without_the_constraint_one_receipt_is_paid_many_times(monkeypatch):
    with without_constraint(Receipt, "receipt_paid_once"):
        outcomes = decide_side_by_side(monkeypatch, *photos_of_one_receipt(TWINS))

        assert kinds(outcomes) == {review.Reviewed: TWINS}
        assert PointsEntry.objects.count() == TWINS


def test_two_batches_in_opposite_order_do_not_block_each_other():
    shop = make_shop()
    people = [make_person() for _ in range(5)]
    receipts = [make_receipt(shop=shop, person=people[n % 5]) for n in range(40)]
    reviewers = [make_reviewer(shop) for _ in range(6)]

    def attempt(number):
        mine = receipts[number::2] if number < 2 else receipts
        order = mine if number % 2 else mine[::-1]
        decisions = [Decision(upload_id=one.pk, action=Action.APPROVE) for one in order]
        return review.review_batch(reviewer=reviewer_for(reviewers[number]), decisions=decisions)

    outcomes = race_numbered(attempt, racers=6)

    assert sum(refusal is None for one in outcomes for refusal in one) == 40
    assert PointsEntry.objects.count() == 40
    assert {
        person.total_points for person in User.objects.filter(pk__in=[p.pk for p in people])
    } == {8000}


def batches_side_by_side(monkeypatch, shop, batches):
    """Everybody reads what they decide about before anybody decides; the refusals of each."""
    take_lock_away(monkeypatch, ReceiptQuerySet, len(batches))
    reviewers = [reviewer_for(make_reviewer(shop)) for _ in batches]

    def attempt(number):
        decisions = [Decision(upload_id=one.pk, action=Action.APPROVE) for one in batches[number]]
        return review.review_batch(reviewer=reviewers[number], decisions=decisions)

    return race_numbered(attempt, racers=len(batches))


def test_without_the_lock_many_batches_pay_each_receipt_once(monkeypatch):
    shop = make_shop()
    receipts = [make_receipt(shop=shop, read=False) for _ in range(3)]
    own = [make_receipt(shop=shop, read=False) for _ in range(TWINS)]

    outcomes = batches_side_by_side(monkeypatch, shop, [[*receipts, mine] for mine in own])

    assert [refusals[-1] for refusals in outcomes] == [None] * TWINS
    shared = [refusal for refusals in outcomes for refusal in refusals[:-1]]
    assert kinds(shared) == {type(None): 3, AlreadyReviewed: 3 * (TWINS - 1)}
    assert PointsEntry.objects.count() == 3 + TWINS


def many_batches_of_the_same_receipts(shop):
    """Each is of other photos of three receipts, and of one that nobody else has."""
    return [
        [
            *(make_receipt(shop=shop, receipt_number=f"A{n}", issued_at=EPOCH) for n in range(3)),
            make_receipt(shop=shop),
        ]
        for _ in range(TWINS)
    ]


def test_without_the_lock_one_collision_refuses_one_receipt_of_a_batch(monkeypatch):
    shop = make_shop()
    batches = many_batches_of_the_same_receipts(shop)

    outcomes = batches_side_by_side(monkeypatch, shop, batches)

    assert [refusals[-1] for refusals in outcomes] == [None] * TWINS
    for at in range(3):
        assert kinds(one[at] for one in outcomes) == {type(None): 1, PaidBefore: TWINS - 1}
        (paid,) = Receipt.objects.filter(receipt_number=f"A{at}", status=ReceiptStatus.APPROVED)
        assert {one[at].data["upload_id"] for one in outcomes if one[at]} == {paid.pk}
    assert PointsEntry.objects.count() == 3 + TWINS


def test_twin_without_the_constraint_batches_pay_one_receipt_many_times(monkeypatch):
    shop = make_shop()
    with without_constraint(Receipt, "receipt_paid_once"):
        batches_side_by_side(monkeypatch, shop, many_batches_of_the_same_receipts(shop))

        assert PointsEntry.objects.count() == 4 * TWINS


def decide_crosswise():
    """Two decide about photos of the same two receipts, in opposite order and at the same time.

    One has taken the key of the first receipt when the other comes, and takes the second one then.
    """
    shop = make_shop()
    a, b, other_b, other_a = (
        make_receipt(shop=shop, receipt_number=number, issued_at=EPOCH) for number in "ABBA"
    )
    reviewers = [reviewer_for(make_reviewer(shop)) for _ in range(2)]
    first_is_taken = threading.Event()

    def decide(reviewer, *receipts):
        decisions = [Decision(upload_id=one.pk, action=Action.APPROVE) for one in receipts]
        return review.review_batch(reviewer=reviewer, decisions=decisions)

    def one():
        with transaction.atomic():
            refusals = decide(reviewers[0], a)
            first_is_taken.set()
            wait_until(waiting_for_a_lock)
            return refusals + decide(reviewers[0], b)

    def another():
        assert first_is_taken.wait(30)
        return decide(reviewers[1], other_b, other_a)

    return race([one, another])


def test_photos_of_the_same_receipts_are_decided_crosswise():
    one, another = decide_crosswise()

    assert one == [None, None]
    assert kinds(another) == {PaidBefore: 2}


def test_twin_without_the_lock_they_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(ReceiptQuerySet, "locked", lambda receipts: receipts.order_by("pk"))

    # In which order one UPDATE takes the keys is the affair of the database: mostly by pk.
    assert any(kinds(decide_crosswise()) == {list: 1, OperationalError: 1} for _try in range(8))


# --- One key, one effect --------------------------------------------------------------------------
def post_review(receipt, reviewer, **headers):
    body = {"upload_id": receipt.pk, "action": "approve"}
    return client_of(reviewer).post("/api/merchant/review", body, headers=headers)


def test_fifty_reviews_with_one_key_are_one():
    receipt = make_receipt()
    reviewer = make_reviewer(receipt.shop)

    responses = race_numbered(
        lambda _number: post_review(receipt, reviewer, **{"Idempotency-Key": "k"})
    )

    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert sum("Idempotent-Replay" not in response.headers for response in responses) == 1
    assert PointsEntry.objects.count() == 1


def test_twin_without_the_key_all_but_one_are_refused():
    receipt = make_receipt()
    reviewer = make_reviewer(receipt.shop)

    responses = race_numbered(lambda _number: post_review(receipt, reviewer))

    assert sorted(answer_of(response).code for response in responses) == [0] + [6004] * (RACERS - 1)


def test_fifty_uploads_with_one_key_are_one(stored_files):
    make_shop()
    person, image = make_person(), make_file()

    def attempt(_number):
        return client_of(person).post(
            "/api/photo/upload",
            {"image": SimpleUploadedFile("a.jpg", image), "amount": "12.50"},
            format="multipart",
            headers={"Idempotency-Key": "k"},
        )

    responses = race_numbered(attempt)

    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert (Receipt.objects.count(), ProcessRecord.objects.count()) == (1, 1)
    assert (StoredFile.objects.count(), len(stored_files())) == (2, 2)


# --- The same file once ---------------------------------------------------------------------------
def test_of_fifty_people_with_the_same_file_one_submits_it(stored_files):
    make_shop()
    people, photo = [make_person() for _ in range(RACERS)], make_photo()

    outcomes = race_numbered(lambda number: upload(people[number], photo=photo))

    assert kinds(outcomes) == {Receipt: 1, SubmittedBefore: RACERS - 1}
    assert all(one.data is None for one in outcomes if isinstance(one, SubmittedBefore))
    assert Receipt.objects.count() == 1
    assert (StoredFile.objects.count(), len(stored_files())) == (2, 2)


def test_a_file_that_one_person_sends_fifty_times_is_submitted_once(stored_files):
    make_shop()
    person, photo = make_person(), make_photo()

    outcomes = race_numbered(lambda _number: upload(person, photo=photo))

    assert kinds(outcomes) == {Receipt: 1, SubmittedBefore: RACERS - 1}
    receipt = Receipt.objects.get()
    refusals = [one for one in outcomes if isinstance(one, SubmittedBefore)]
    assert [one.data for one in refusals] == [{"upload_id": receipt.pk}] * (RACERS - 1)
    assert len(stored_files()) == 2
    assert uploads.uploads_left_today(person) == 19


def test_what_was_rejected_is_sent_again_once():
    person, photo = make_person(), make_photo()
    make_decided(ReceiptStatus.REJECTED, person=person, sha256=photo.sha256)

    outcomes = race_numbered(lambda _number: upload(person, photo=photo))

    assert kinds(outcomes) == {Receipt: 1, SubmittedBefore: RACERS - 1}
    assert Receipt.objects.filter(sha256=photo.sha256).count() == 2


def send_side_by_side(monkeypatch):
    """Many people send the same file; each asks whether it is known before any submits it.

    After asking they all lock themselves, which is where they wait for each other here.
    """
    take_lock_away(monkeypatch, UserQuerySet, TWINS)
    make_shop()
    people, photo = [make_person() for _ in range(TWINS)], make_photo()
    return race_numbered(lambda number: upload(people[number], photo=photo), racers=TWINS)


def test_asking_first_is_not_what_keeps_a_file_from_coming_twice(monkeypatch):
    outcomes = send_side_by_side(monkeypatch)

    assert kinds(outcomes) == {Receipt: 1, SubmittedBefore: TWINS - 1}
    assert Receipt.objects.count() == 1


def test_twin_without_the_constraint_the_same_file_comes_many_times(monkeypatch):
    with without_constraint(Receipt, "receipt_file_once"):
        outcomes = send_side_by_side(monkeypatch)

    assert kinds(outcomes) == {Receipt: TWINS}


# --- So many a day --------------------------------------------------------------------------------
def test_fifty_uploads_at_once_stay_within_the_quota(stored_files):
    make_shop()
    person = make_person(daily_upload_quota=7)
    photos = [make_photo() for _ in range(RACERS)]

    outcomes = race_numbered(lambda number: upload(person, photo=photos[number]))

    assert kinds(outcomes) == {Receipt: 7, UploadQuotaUsed: RACERS - 7}
    assert Receipt.objects.count() == 7
    assert len(stored_files()) == 14


def test_twin_without_the_lock_the_quota_is_exceeded():
    shop, person = make_shop(), make_person(daily_upload_quota=1)
    all_have_counted = threading.Barrier(TWINS, timeout=30)

    def attempt(_number):
        with transaction.atomic():
            assert uploads.uploads_left_today(person) == 1
            all_have_counted.wait()
            return make_receipt(shop=shop, person=person)

    outcomes = race_numbered(attempt, racers=TWINS)

    assert kinds(outcomes) == {Receipt: TWINS}


# --- One worker at a time -------------------------------------------------------------------------
def pending_record():
    return make_record(make_receipt(read=False, process=None), status=ProcessStatus.PENDING)


def test_of_fifty_workers_one_claims_a_job(settings):
    record = pending_record()
    reader = process.load_reader(settings.RECEIPT_READER)
    now = timezone.now()

    outcomes = race_numbered(lambda _number: process.claim(record.pk, reader=reader, now=now))

    assert kinds(outcomes) == {ProcessRecord: 1, type(None): RACERS - 1}
    record.refresh_from_db()
    assert record.attempts == 1


def test_twin_without_the_condition_many_workers_have_it():
    record = pending_record()
    all_have_read = threading.Barrier(TWINS, timeout=30)

    def attempt(_number):
        mine = ProcessRecord.objects.get(pk=record.pk)
        all_have_read.wait()
        if mine.status == ProcessStatus.PENDING:
            ProcessRecord.objects.filter(pk=mine.pk).update(
                status=ProcessStatus.PROCESSING, lease_until=timezone.now()
            )
            return mine
        return None

    assert kinds(race_numbered(attempt, racers=TWINS)) == {ProcessRecord: TWINS}


def test_fifty_tasks_for_one_receipt_read_it_once(reader):
    record = pending_record()

    race_numbered(lambda _number: process.process_receipt.call(record.pk))

    record.refresh_from_db()
    assert (record.status, record.attempts) == ("completed", 1)
    assert len(reader.pictures) == 1
    assert record.receipt.input_amount == Decimal(100)
