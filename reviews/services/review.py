"""Deciding about receipts: who may, on what, and the points that follow."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, models, transaction
from django.db.models import BigIntegerField, Case, Q, Value, When
from django.db.models.functions import NullIf
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import PointsSource
from accounts.services.points import Change as PointsChange
from accounts.services.points import lock_receivers, write_entries
from ops.errors import DomainError, Unavailable
from ops.per_row import per_row
from ops.services import audit
from ops.services.audit import Change
from ops.transactions import in_transaction
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
from reviews.live_settings import SECOND_PERSON_ABOVE
from reviews.metrics import DECISIONS
from reviews.models import Receipt, ReceiptStatus, being_read
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


@in_transaction
def review(*, reviewer: Reviewer, decision: Decision) -> Reviewed:
    """Approve or reject one receipt; an approval pays its points at most once. Audited.

    A batch of one. Raises ReviewNotFound, OwnReceipt, AlreadyReviewed, ProcessNotEnded,
    PaidBefore, PointsNeedManager, PointsNeedSecondPerson; Unavailable when it took too long.
    """
    (outcome,) = _decide_all(reviewer, [decision])
    if isinstance(outcome, DomainError):
        raise outcome
    person = outcome.paid_to or outcome.person
    return Reviewed(outcome, (person.merged_into or person).total_points)


@in_transaction
def review_batch(*, reviewer: Reviewer, decisions: Sequence[Decision]) -> list[DomainError | None]:
    """Decide about many receipts, each on its own: one refusal changes nothing for the others.

    Returns, in the order of `decisions`, None or the refusal. All of it is one transaction, so
    that a failure half way leaves nothing half done. Two batches may name the same receipts and
    people in any order: neither waits for the other in a circle (see `_Held`). Audited, each by an
    entry. The number of statements is that of one review. Raises Unavailable when it took too long.
    """
    outcomes = _decide_all(reviewer, decisions)
    return [outcome if isinstance(outcome, DomainError) else None for outcome in outcomes]


def _decide_all(reviewer: Reviewer, decisions: Sequence[Decision]) -> list[Receipt | DomainError]:
    """For each decision the receipt as it was decided, written and paid, or the refusal."""
    held = _Held(reviewer, decisions)
    try:
        outcomes = held.decide(decisions)
    except (IntegrityError, _DecidedMeanwhile):
        # Somebody came in between who should have waited: now each is written on its own.
        held.read_again()
        outcomes = [held.decide_alone(decision) for decision in decisions]
    decided = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    if decided:
        for receipt in decided:
            events.receipt_reviewed(receipt, owner_id=receipt.owner_id)
            DECISIONS.add_on_commit(1, receipt.status)
        _pay(decided)
        audit.record_all(map(_as_change, decided), actor_id=reviewer.person.pk)
        _check_written_in_time(held.since)
    return outcomes


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


class _DecidedMeanwhile(Exception):
    """A receipt that was pending when it was held is not any more: the lock is gone."""


class _Held:
    """The receipts that decisions name, held until commit, and what is known of them.

    With them every other photo of the same receipts is held, all at once and by pk. So whoever
    takes payment keys holds all who could want them, and one UPDATE takes them in whatever order.
    """

    def __init__(self, reviewer: Reviewer, decisions: Iterable[Decision]) -> None:
        self.reviewer = reviewer
        wanted = {decision.upload_id for decision in decisions if decision.upload_id is not None}
        # Asked without a lock: what is being read now may get another payment key, and is refused;
        # the key of what was read stays.
        asked = list(
            Receipt.objects.filter(pk__in=wanted, shop__in=reviewer.shops).values_list(
                "pk", "read_as", being_read()
            )
        )
        self.named = {pk for pk, _key, _is_being_read in asked}
        self.being_read = {pk for pk, _key, is_being_read in asked if is_being_read}
        keys = {key for _pk, key, _is_being_read in asked if key}
        photos = Receipt.objects.filter(Q(pk__in=self.named) | Q(read_as__in=keys))
        self.photos = photos.with_survivor()
        self._note(self.photos.locked())
        self.since = timezone.now()

    def read_again(self) -> None:
        """Forget what was read and what was decided, and see what is written."""
        self._note(self.photos.all())

    def _note(self, photos: Iterable[Receipt]) -> None:
        read = list(photos)
        self.receipts: dict[int | None, Receipt] = {
            photo.pk: photo for photo in read if photo.pk in self.named
        }
        self.payers = {photo.paid_as: photo.pk for photo in read if photo.paid_as}

    def decide(self, decisions: Iterable[Decision]) -> list[Receipt | DomainError]:
        """Write the decisions in one statement: for each the decided receipt, or the refusal.

        Raises _DecidedMeanwhile or IntegrityError, with nothing written, where a row is not what
        is known of it.
        """
        outcomes = [self._outcome(decision) for decision in decisions]
        _write([outcome for outcome in outcomes if isinstance(outcome, Receipt)])
        return outcomes

    def decide_alone(self, decision: Decision) -> Receipt | DomainError:
        """Write one decision; where somebody came in between, what they did is the refusal.

        Raises IntegrityError where no refusal says why.
        """
        try:
            return self.decide([decision])[0]
        except (IntegrityError, _DecidedMeanwhile):
            self.read_again()
            outcome = self._outcome(decision)
            if isinstance(outcome, Receipt):
                raise
            return outcome

    def _outcome(self, decision: Decision) -> Receipt | DomainError:
        try:
            return self._decided(decision)
        except DomainError as refusal:
            return refusal

    def _decided(self, decision: Decision) -> Receipt:
        """The receipt as the decision leaves it; nothing is written."""
        receipt = self.receipts.get(decision.upload_id)
        if receipt is None:
            raise ReviewNotFound
        if self.reviewer.person.pk in {receipt.person_id, receipt.owner_id}:
            raise OwnReceipt
        if receipt.status != ReceiptStatus.PENDING:
            raise AlreadyReviewed(current_status=receipt.status)
        if receipt.pk in self.being_read:
            raise ProcessNotEnded
        if decision.action == Action.REJECT:
            receipt.status, receipt.points_awarded = ReceiptStatus.REJECTED, 0
        else:
            if receipt.read_as in self.payers:
                raise PaidBefore(upload_id=self.payers[receipt.read_as])
            points = receipt.estimated_points if decision.points is None else decision.points
            _check_excess(receipt, self.reviewer, points)
            receipt.status, receipt.points_awarded = ReceiptStatus.APPROVED, points
            if points:
                receipt.paid_to_id = receipt.survivor_id
            if receipt.read_as:
                receipt.paid_as = receipt.read_as
                self.payers[receipt.read_as] = receipt.pk
        receipt.review_reason = decision.reason
        receipt.reviewer, receipt.reviewed_at = self.reviewer.person, self.since
        return receipt


def _check_excess(receipt: Receipt, reviewer: Reviewer, points: int) -> None:
    """Points above the estimate need a manager, and far above it a second person."""
    excess = points - receipt.estimated_points
    if excess <= 0:
        return
    if not reviewer.may_exceed_estimate(receipt.shop_id):
        raise PointsNeedManager(estimate=receipt.estimated_points)
    if excess > SECOND_PERSON_ABOVE.value:
        raise PointsNeedSecondPerson(limit=SECOND_PERSON_ABOVE.value)


def _write(decided: Sequence[Receipt]) -> None:
    """Write what was decided, if all the rows are pending still.

    With the lock gone, the condition and the constraint on `paid_as` would decide. Raises
    _DecidedMeanwhile and IntegrityError, with nothing written.
    """
    if not decided:
        return
    paid = [receipt.pk for receipt in decided if receipt.status == ReceiptStatus.APPROVED]
    pending = Receipt.objects.filter(
        pk__in=[receipt.pk for receipt in decided], status=ReceiptStatus.PENDING
    )
    with transaction.atomic():
        written = pending.update(
            status=per_row({one.pk: one.status for one in decided}),
            points_awarded=per_row({one.pk: one.points_awarded for one in decided}),
            review_reason=per_row({one.pk: one.review_reason for one in decided}),
            reviewer=decided[0].reviewer,
            reviewed_at=decided[0].reviewed_at,
            paid_to=per_row(
                {one.pk: one.paid_to_id for one in decided}, output_field=BigIntegerField()
            ),
            paid_as=Case(When(pk__in=paid, then=NullIf("read_as", Value("")))),
        )
        if written < len(decided):
            raise _DecidedMeanwhile


def _pay(decided: Iterable[Receipt]) -> None:
    """Give the awarded points, and let the receipts know their people as they are now.

    Of an account that was merged they go to the one it was merged into. Locks the people by pk:
    call it last. Raises Unavailable where one is merged at this moment.
    """
    paid = [receipt for receipt in decided if receipt.points_awarded]
    people = lock_receivers(receipt.owner_id for receipt in paid)
    changes = []
    for receipt in paid:
        if receipt.paid_to_id is None:
            receipt.person = people[receipt.person_id]
        else:
            receipt.paid_to = people[receipt.paid_to_id]
        changes.append(
            PointsChange(
                person=people[receipt.owner_id],
                points=receipt.points_awarded or 0,
                source=PointsSource.PHOTO_UPLOAD,
                related_id=str(receipt.pk),
            )
        )
    write_entries(changes)
