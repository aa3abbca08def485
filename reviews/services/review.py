"""Deciding about receipts: who may, on what, and the points that follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import PointsSource, User
from accounts.services.points import change_points
from ops.errors import DomainError, Unavailable
from ops.identifiers import find
from ops.services import audit
from ops.services.audit import Change
from reviews import events
from reviews.errors import (
    AlreadyReviewed,
    OwnReceipt,
    PaidBefore,
    PointsNeedManager,
    PointsNeedSecondPerson,
    ProcessNotEnded,
    ReviewNotFound,
)
from reviews.models import UNFINISHED, Receipt, ReceiptStatus
from reviews.services.reviewers import Reviewer


class Action(models.TextChoices):
    APPROVE = "approve", _("Approve")
    REJECT = "reject", _("Reject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a reviewer decided. Without `points` an approval gives the estimate."""

    upload_id: int | None
    action: Action
    points: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A decided receipt, and its owner's balance after it in points."""

    receipt: Receipt
    balance: int


@transaction.atomic
def review(*, reviewer: Reviewer, decision: Decision) -> Reviewed:
    """Approve or reject one receipt; an approval pays its points at most once. Audited.

    Raises ReviewNotFound, OwnReceipt, AlreadyReviewed, ProcessNotEnded,
    PaidBefore, PointsNeedManager, PointsNeedSecondPerson; Unavailable when it took too long.
    """
    receipts = Receipt.objects.locked().filter(shop__in=reviewer.shops)
    receipt = find(receipts, decision.upload_id)
    now = timezone.now()
    decided = _decide(receipt, reviewer, decision, now=now)
    balance = _pay(decided)
    audit.record_all([_as_change(decided)], actor_id=reviewer.person.pk)
    _check_written_in_time(now)
    return Reviewed(decided, balance)


@transaction.atomic
def review_batch(*, reviewer: Reviewer, decisions: Sequence[Decision]) -> list[DomainError | None]:
    """Decide about many receipts, each on its own: one refusal changes nothing for the others.

    Returns, in the order of `decisions`, None or the refusal. All of it is one transaction, so
    that a failure half way leaves nothing half done. Two batches may name the same receipts and
    people in any order: the receipts are locked by pk, then their payment keys are taken in
    order, then the people by pk, so that neither waits for the other in a circle. Audited, each
    by an entry, in one statement. Raises Unavailable when it took too long.
    """
    wanted = {decision.upload_id for decision in decisions if decision.upload_id is not None}
    receipts = {
        receipt.pk: receipt
        for receipt in Receipt.objects.locked().filter(pk__in=wanted, shop__in=reviewer.shops)
    }
    named = [
        None if decision.upload_id is None else receipts.get(decision.upload_id)
        for decision in decisions
    ]
    refusals: list[DomainError | None] = [None] * len(decisions)
    decided = []
    now = timezone.now()
    for at in sorted(range(len(decisions)), key=lambda at: _payment_key(named[at])):
        try:
            decided.append(_decide(named[at], reviewer, decisions[at], now=now))
        except DomainError as refusal:
            refusals[at] = refusal
    for receipt in sorted(decided, key=lambda receipt: receipt.person_id):
        _pay(receipt)
    audit.record_all(map(_as_change, decided), actor_id=reviewer.person.pk)
    _check_written_in_time(now)
    return refusals


def _as_change(receipt: Receipt) -> Change:
    """What was decided, for the audit trail."""
    verb = "approve" if receipt.status == ReceiptStatus.APPROVED else "reject"
    return Change(
        action=f"receipt.{verb}",
        row=receipt,
        before={"status": ReceiptStatus.PENDING, "points_awarded": None},
        after={"status": receipt.status, "points_awarded": receipt.points_awarded},
        reason=receipt.review_reason,
        shop_id=receipt.shop_id,
    )


def _check_written_in_time(decided_at: datetime) -> None:
    """Refuse what would be committed so late that no client that resumes looks back that far."""
    if timezone.now() - decided_at > events.WRITTEN_WITHIN:
        raise Unavailable


def _payment_key(receipt: Receipt | None) -> str:
    return receipt.read_as if receipt else ""


def _decide(
    receipt: Receipt | None, reviewer: Reviewer, decision: Decision, *, now: datetime
) -> Receipt:
    """Write the decision on a locked receipt of the reviewer's; None is one that is not there."""
    if receipt is None:
        raise ReviewNotFound
    if receipt.person_id == reviewer.person.pk:
        raise OwnReceipt
    if receipt.status != ReceiptStatus.PENDING:
        raise AlreadyReviewed(current_status=receipt.status)
    if receipt.process_records.filter(status__in=UNFINISHED).exists():
        raise ProcessNotEnded
    if decision.action == Action.REJECT:
        _settle(
            receipt,
            reviewer=reviewer.person,
            status=ReceiptStatus.REJECTED,
            points=0,
            reason=decision.reason,
            now=now,
        )
        return receipt
    if receipt.read_as and (payer := Receipt.objects.filter(paid_as=receipt.read_as).first()):
        raise PaidBefore(upload_id=payer.pk)
    points = receipt.estimated_points if decision.points is None else decision.points
    _check_excess(receipt, reviewer, points)
    _settle(
        receipt,
        reviewer=reviewer.person,
        status=ReceiptStatus.APPROVED,
        points=points,
        reason=decision.reason,
        now=now,
    )
    return receipt


def _check_excess(receipt: Receipt, reviewer: Reviewer, points: int) -> None:
    """Points above the estimate need a manager, and far above it a second person."""
    excess = points - receipt.estimated_points
    if excess <= 0:
        return
    if not reviewer.may_exceed_estimate(receipt.shop_id):
        raise PointsNeedManager(estimate=receipt.estimated_points)
    if excess > settings.ADJUSTMENT_SECOND_PERSON_ABOVE:
        raise PointsNeedSecondPerson(limit=settings.ADJUSTMENT_SECOND_PERSON_ABOVE)


def _settle(
    receipt: Receipt,
    *,
    reviewer: User,
    status: ReceiptStatus,
    points: int,
    reason: str,
    now: datetime,
) -> None:
    """Write the decision, if the row is pending still: with the lock gone, this would decide."""
    paid_as = (receipt.read_as or None) if status == ReceiptStatus.APPROVED else None
    try:
        with transaction.atomic():
            pending = Receipt.objects.filter(pk=receipt.pk, status=ReceiptStatus.PENDING)
            is_decided = pending.update(
                status=status,
                points_awarded=points,
                reviewer=reviewer,
                review_reason=reason,
                reviewed_at=now,
                paid_as=paid_as,
            )
    except IntegrityError as error:
        _raise_paid_before(receipt, error)
    if not is_decided:
        current = Receipt.objects.values_list("status", flat=True).get(pk=receipt.pk)
        raise AlreadyReviewed(current_status=current)
    receipt.status, receipt.points_awarded, receipt.review_reason = status, points, reason
    receipt.reviewer, receipt.reviewed_at, receipt.paid_as = reviewer, now, paid_as
    events.receipt_reviewed(receipt)


def _raise_paid_before(receipt: Receipt, error: IntegrityError) -> NoReturn:
    """Another photo of the same receipt was approved at the same moment and was first."""
    payer = Receipt.objects.filter(paid_as=receipt.read_as).first()
    if payer is None:
        raise error
    raise PaidBefore(upload_id=payer.pk) from error


def _pay(receipt: Receipt) -> int:
    """Give the awarded points, if any, and tell the balance. Locks the person: call it last."""
    if not receipt.points_awarded:
        balance: int = User.objects.only("total_points").get(pk=receipt.person_id).total_points
        return balance
    entry = change_points(
        person_id=receipt.person_id,
        points=receipt.points_awarded,
        source=PointsSource.PHOTO_UPLOAD,
        related_id=str(receipt.pk),
    )
    return entry.balance_after
