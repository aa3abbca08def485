"""Receipts that people photographed, and what became of them."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar, Self, override

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.locking import LockingQuerySet
from ops.service_columns import ServiceColumns
from reviews.limits import LARGEST_AMOUNT, LEAST_AMOUNT
from reviews.models.process_records import UNFINISHED, ProcessRecord, readings


class ReceiptStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")


def being_read() -> Exists:
    """Whether a process is still at the receipt at hand; over rows of receipts."""
    processes = ProcessRecord.objects.filter(receipt=OuterRef("pk"), status__in=UNFINISHED)
    return Exists(processes)


class ReceiptQuerySet(LockingQuerySet["Receipt"]):
    def with_process(self) -> Self:
        """Bring along what `Receipt.process` needs, in one more query for all rows."""
        return self.prefetch_related(
            models.Prefetch("process_records", queryset=readings(), to_attr="processes")
        )

    def with_survivor(self) -> Self:
        """Bring along as `survivor_id` into whose account that of the person was merged, if any."""
        return self.annotate(survivor_id=F("person__merged_into"))

    def waiting(self) -> Self:
        """Pending ones whose reading has ended: those about which somebody can decide now."""
        return self.filter(~being_read(), status=ReceiptStatus.PENDING)


class Receipt(ServiceColumns):
    """One photo of a receipt, submitted by a person for points, and what became of it."""

    service_columns = (
        "status",
        "recognized_amount",
        "confidence",
        "receipt_number",
        "issued_at",
        "read_as",
        "estimated_points",
        "points_awarded",
        "risk_score",
        "risk_reasons",
        "reviewer",
        "review_reason",
        "reviewed_at",
        "paid_as",
        "paid_to",
    )

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        on_delete=models.PROTECT,
        related_name="receipts",
        db_index=False,  # three indexes below begin with it
    )
    shop = models.ForeignKey(
        "catalog.Shop",
        verbose_name=_("shop"),
        on_delete=models.PROTECT,
        related_name="receipts",
        db_index=False,  # three indexes below begin with it
    )
    status = models.CharField(
        _("status"), max_length=8, choices=ReceiptStatus, default=ReceiptStatus.PENDING
    )
    input_amount = models.DecimalField(
        _("entered amount"),
        max_digits=6,
        decimal_places=2,
        validators=[MinValueValidator(LEAST_AMOUNT), MaxValueValidator(LARGEST_AMOUNT)],
        help_text=_("In yuan."),
    )
    recognized_amount = models.DecimalField(
        _("read amount"),
        max_digits=12,
        decimal_places=2,
        null=True,
        blank=True,
        help_text=_("In yuan; empty when no total was read."),
    )
    confidence = models.DecimalField(
        _("confidence"), max_digits=5, decimal_places=4, null=True, blank=True
    )
    receipt_number = models.CharField(_("receipt number"), max_length=64, blank=True)
    issued_at = models.DateTimeField(_("issued at"), null=True, blank=True)

    picture = models.OneToOneField(
        "ops.StoredFile", verbose_name=_("picture"), on_delete=models.PROTECT, related_name="+"
    )
    thumbnail = models.OneToOneField(
        "ops.StoredFile", verbose_name=_("thumbnail"), on_delete=models.PROTECT, related_name="+"
    )
    sha256 = models.CharField(
        _("SHA-256"), max_length=64, help_text=_("Of the file as it was received.")
    )
    submission = models.PositiveSmallIntegerField(
        _("submission"),
        default=1,
        help_text=_("2: the same file once more, after its first submission was rejected."),
    )
    difference_hash = models.CharField(
        _("difference hash"), max_length=64, help_text=_("Similar pictures differ in few bits.")
    )

    points_per_yuan = models.PositiveIntegerField(_("points per yuan"))
    multiplier = models.DecimalField(_("tier multiplier"), max_digits=4, decimal_places=2)
    estimated_points = models.PositiveIntegerField(_("estimated points"))
    points_awarded = models.PositiveIntegerField(_("points awarded"), null=True, blank=True)

    risk_score = models.PositiveSmallIntegerField(_("risk"), default=0)
    risk_reasons = models.JSONField(_("risk reasons"), default=list, blank=True)

    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("reviewer"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="reviewed_receipts",
    )
    review_reason = models.TextField(_("review reason"), blank=True)
    reviewed_at = models.DateTimeField(_("reviewed at"), null=True, blank=True)
    read_as = models.CharField(
        _("read as"),
        max_length=64,
        blank=True,
        db_index=True,
        help_text=_("Equal for photos of one receipt: its shop, number, time and amount as read."),
    )
    paid_as = models.CharField(  # noqa: DJ001  two empty keys would collide
        _("paid as"), max_length=64, null=True, blank=True, editable=False
    )
    paid_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("paid to"),
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,  # nobody asks by it
        help_text=_("Who got its points, where the account was merged before."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    objects: ClassVar = ReceiptQuerySet.as_manager()

    # Filled by `with_process`.
    processes: list[ProcessRecord]
    # Filled by `with_survivor`.
    survivor_id: int | None

    class Meta:
        verbose_name = _("receipt")
        verbose_name_plural = _("receipts")
        permissions = [("review_receipt", _("Can approve and reject receipts"))]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=ReceiptStatus.values), name="receipt_status_known"
            ),
            models.CheckConstraint(
                condition=Q(input_amount__gte=LEAST_AMOUNT, input_amount__lte=LARGEST_AMOUNT),
                name="receipt_input_amount_in_range",
            ),
            models.CheckConstraint(
                condition=Q(recognized_amount__isnull=True) | Q(recognized_amount__gt=0),
                name="receipt_recognized_amount_positive",
            ),
            models.CheckConstraint(
                condition=Q(confidence__isnull=True) | Q(confidence__gte=0, confidence__lte=1),
                name="receipt_confidence_in_range",
            ),
            models.CheckConstraint(
                condition=Q(risk_score__lte=100), name="receipt_risk_score_in_range"
            ),
            models.CheckConstraint(
                condition=Q(
                    status=ReceiptStatus.PENDING,
                    points_awarded__isnull=True,
                    reviewer__isnull=True,
                    reviewed_at__isnull=True,
                )
                | Q(
                    ~Q(status=ReceiptStatus.PENDING),
                    points_awarded__isnull=False,
                    reviewer__isnull=False,
                    reviewed_at__isnull=False,
                ),
                name="receipt_decided_wholly_or_not",
            ),
            models.CheckConstraint(
                condition=~Q(status=ReceiptStatus.REJECTED)
                | (Q(points_awarded=0) & ~Q(review_reason="")),
                name="receipt_rejected_for_a_reason_without_points",
            ),
            models.CheckConstraint(
                condition=~Q(reviewer=F("person")), name="receipt_not_reviewed_by_its_owner"
            ),
            # One receipt is paid at most once, however often it is photographed.
            models.CheckConstraint(
                condition=Q(paid_as__isnull=True)
                | Q(status=ReceiptStatus.APPROVED, paid_as=F("read_as")),
                name="receipt_paid_as_it_was_read",
            ),
            models.UniqueConstraint(fields=["paid_as"], name="receipt_paid_once"),
            models.CheckConstraint(
                condition=Q(paid_to__isnull=True)
                | (
                    Q(status=ReceiptStatus.APPROVED, points_awarded__gt=0)
                    & ~Q(paid_to=F("person"))
                    & ~Q(paid_to=F("reviewer"))
                ),
                name="receipt_paid_to_another_account",
            ),
            # The same file comes once, and once more after a rejection. The service decides who
            # may send it again; this decides between those who send it at the same time.
            models.UniqueConstraint(fields=["sha256", "submission"], name="receipt_file_once"),
            models.CheckConstraint(
                condition=Q(submission__gte=1, submission__lte=2),
                name="receipt_submitted_at_most_twice",
            ),
        ]
        indexes = [
            models.Index(fields=["person", "-created_at"], name="receipt_of_person"),
            models.Index(fields=["person", "-id"], name="receipt_newest_of_person"),
            models.Index(fields=["shop", "status", "-id"], name="receipt_of_shop"),
            # Whom a shop knows, without a look at the rows.
            models.Index(fields=["shop", "person"], name="receipt_person_of_shop"),
            # The risky ones are few: found here and sorted, where the newest that are would be far.
            models.Index(fields=["shop", "risk_score"], name="receipt_risk_of_shop"),
            models.Index(fields=["person", "-reviewed_at"], name="receipt_reviewed"),
        ]

    @override
    def __str__(self) -> str:
        return f"#{self.pk} {self.input_amount}"

    @property
    def owner_id(self) -> int:
        """Whose it is now; of what `with_survivor` brought."""
        return self.person_id if self.survivor_id is None else self.survivor_id

    @property
    def amount(self) -> Decimal:
        """What points are given for, in yuan: the smaller of entered and read."""
        if self.recognized_amount is None:
            return self.input_amount
        return min(self.input_amount, self.recognized_amount)

    @property
    def worth(self) -> int:
        """The estimate in points, rounded down, by the rules as they stood at upload."""
        return int(self.amount * self.points_per_yuan * self.multiplier)

    @property
    def amount_difference(self) -> Decimal | None:
        """By how much more was entered than read, in yuan; None when no amount was read."""
        if self.recognized_amount is None:
            return None
        return self.input_amount - self.recognized_amount

    @property
    def is_being_read(self) -> bool:
        """Whether a process is still at it; the queryset brings them by `with_process`."""
        return any(process.status in UNFINISHED for process in self.processes)

    @property
    def process(self) -> ProcessRecord:
        """The newest process that read it; the queryset brings it by `with_process`."""
        return self.processes[0]


def reading_key(
    *, shop_id: int, receipt_number: str, issued_at: datetime | None, amount: Decimal | None
) -> str:
    """What tells a receipt from all others, as read off it; empty unless all of it was read."""
    if not receipt_number or issued_at is None or amount is None:
        return ""
    moment = issued_at.astimezone(UTC).isoformat(timespec="seconds")
    facts = f"{shop_id}|{receipt_number}|{moment}|{amount:.2f}"
    return hashlib.sha256(facts.encode()).hexdigest()
