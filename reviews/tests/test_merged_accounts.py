"""What becomes of receipts when two accounts are merged: they stay, and pay the survivor."""

import pytest
from django.db import IntegrityError, transaction

from accounts.errors import AccountClosed
from accounts.models import PointsEntry, User
from accounts.services import profile
from accounts.tests.factories import merge_into
from catalog.models import ShopRole
from catalog.services import members
from catalog.tests.factories import make_shop
from ops.realtime import push
from ops.services import integrity
from reviews.errors import OwnReceipt, SubmittedBefore, UploadQuotaUsed
from reviews.models import Receipt
from reviews.services import review
from reviews.services.queue import waiting_for
from reviews.services.review import Action, Decision
from reviews.services.reviewers import reviewer_for
from reviews.services.uploads import uploads_left_today
from reviews.tests.factories import (
    make_photo,
    make_receipt,
    make_reviewer,
    settle,
    upload,
)
from tests.api import client_of, data_of
from tests.console import refused_unchanged
from tests.people import make_person

pytestmark = pytest.mark.django_db
HISTORY = "/api/photo/history"


@pytest.fixture
def survivor():
    return make_person(points=100)


@pytest.fixture
def merged():
    return make_person(points=50)


def nothing_is_wrong():
    names = ("points", "merges", "receipts")
    return [list(integrity.run(name)) for name in names] == [[]] * len(names)


def decide(receipt, *, action=Action.APPROVE, reviewer=None, **more):
    decision = Decision(upload_id=receipt.pk, action=action, **more)
    reviewer = reviewer_for(reviewer or make_reviewer(receipt.shop))
    return review.review(reviewer=reviewer, decision=decision)


def test_what_was_paid_before_stays_a_cause_of_the_merged_account(survivor, merged):
    receipt = make_receipt(person=merged)
    decide(receipt)
    merge_into(survivor, merged)
    receipt.refresh_from_db()
    assert (receipt.person, receipt.paid_to) == (merged, None)
    assert (survivor.total_points, survivor.lifetime_points) == (1150, 1000)
    assert nothing_is_wrong()


def test_what_waits_is_decided_and_pays_the_account_that_goes_on(
    survivor, merged, pushes, django_capture_on_commit_callbacks
):
    receipt = make_receipt(person=merged)
    merge_into(survivor, merged)
    with django_capture_on_commit_callbacks(execute=True):
        reviewed = decide(receipt)
    assert reviewed.balance == 1150
    receipt.refresh_from_db()
    assert (receipt.person, receipt.paid_to, receipt.points_awarded) == (merged, survivor, 1000)
    survivor.refresh_from_db()
    assert (survivor.total_points, survivor.lifetime_points) == (1150, 1000)
    entry = PointsEntry.objects.get(source="photo_upload")
    assert (entry.user_id, entry.related_id) == (survivor.pk, str(receipt.pk))
    assert User.objects.get(pk=merged.pk).total_points == 0
    told = [one for one in pushes.take(2) if one["type"] == "review_result"]
    assert [one["owner_id"] for one in told] == [survivor.pk]
    assert nothing_is_wrong()


@pytest.mark.parametrize("decision", [{"points": 0}, {"action": Action.REJECT, "reason": "No"}])
def test_a_decision_without_points_pays_nobody_and_is_told_to_the_survivor(
    survivor, merged, decision
):
    receipt = make_receipt(person=merged)
    merge_into(survivor, merged)
    assert decide(receipt, **decision).balance == 150
    receipt.refresh_from_db()
    assert receipt.paid_to is None
    ((event,)) = push.replay_since(survivor.pk, receipt.created_at)
    assert (event.owner_id, event.data["upload_id"]) == (survivor.pk, receipt.pk)
    assert nothing_is_wrong()


def test_receipts_of_both_kinds_of_people_are_decided_in_one_batch(survivor, merged):
    shop = make_shop()
    receipts = [make_receipt(shop=shop, person=one) for one in (merged, survivor, make_person())]
    merge_into(survivor, merged)
    outcomes = review.review_batch(
        reviewer=reviewer_for(make_reviewer(shop)),
        decisions=[Decision(upload_id=one.pk, action=Action.APPROVE) for one in receipts],
    )
    assert outcomes == [None] * 3
    paid_to = Receipt.objects.order_by("pk").values_list("paid_to", flat=True)
    assert list(paid_to) == [survivor.pk, None, None]
    assert User.objects.get(pk=survivor.pk).total_points == 2150
    assert nothing_is_wrong()


def test_nobody_reviews_what_they_sent_by_an_account_that_is_merged(survivor, merged):
    receipt = make_receipt(person=merged)
    merge_into(survivor, merged)
    members.join(shop_id=receipt.shop_id, person=survivor, role=ShopRole.REVIEWER)
    reviewer = reviewer_for(User.objects.get(pk=survivor.pk))
    assert not waiting_for(reviewer).exists()
    with refused_unchanged(), pytest.raises(OwnReceipt):
        decide(receipt, reviewer=reviewer.person)


def test_the_database_pays_nobody_who_decided(survivor, merged):
    receipt, reviewer = make_receipt(person=merged), make_person()
    settle(receipt, reviewer, "approved", points=5)
    for got in (merged, reviewer):
        with pytest.raises(IntegrityError), transaction.atomic():
            Receipt.objects.filter(pk=receipt.pk).update(paid_to=got)


def test_receipts_are_shown_as_ones_own(survivor, merged):
    mine, theirs = make_receipt(person=survivor), make_receipt(person=merged)
    rows = list(Receipt.objects.order_by("pk").values())
    merge_into(survivor, merged)
    client = client_of(survivor)
    told = data_of(client.get(HISTORY))["items"]
    assert [one["upload_id"] for one in told] == [theirs.pk, mine.pk]
    assert data_of(client.get(f"/api/photo/uploads/{theirs.pk}"))["upload_id"] == theirs.pk
    assert data_of(client_of(make_person()).get(HISTORY))["items"] == []
    assert profile.statistics(survivor)["uploads"] == 2
    assert list(Receipt.objects.order_by("pk").values()) == rows


def test_a_merge_gives_nobody_a_second_quota(survivor, merged):
    make_shop()
    User.objects.filter(pk=survivor.pk).update(daily_upload_quota=2)
    upload(merged)
    upload(survivor)
    merge_into(survivor, merged)
    assert uploads_left_today(survivor) == 0
    with pytest.raises(UploadQuotaUsed):
        upload(survivor)
    assert Receipt.objects.count() == 2


def test_a_rejected_photo_is_sent_again_by_the_account_that_goes_on(survivor, merged):
    make_shop()
    photo = make_photo()
    first = upload(merged, photo=photo)
    merge_into(survivor, merged)
    with pytest.raises(SubmittedBefore) as refused:
        upload(survivor, photo=photo)
    assert refused.value.data == {"upload_id": first.pk}
    settle(first, make_person(), "rejected", reason="No")
    assert upload(survivor, photo=photo).submission == 2


def test_a_photo_that_was_under_way_meanwhile_is_refused(survivor, merged):
    make_shop()
    merge_into(survivor, merged)
    with pytest.raises(AccountClosed):
        upload(merged)
    assert Receipt.objects.count() == 0
