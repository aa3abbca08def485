"""The ledger of points."""

from typing import override

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User
from ops.chain import ChainedEntry


class PointsSource(models.TextChoices):
    REGISTER = "register", _("Welcome")
    PHOTO_UPLOAD = "photo_upload", _("Receipt")
    LOTTERY = "lottery", _("Draw")
    PRIZE = "prize", _("Prize")
    EXCHANGE = "exchange", _("Exchange")
    CANCEL = "cancel", _("Returned order")
    EXPIRE = "expire", _("Expired")
    ADJUST = "adjust", _("Adjustment")
    REVERSE = "reverse", _("Reversal")
    MERGE = "merge", _("Merged accounts")


# What can happen to its cause only once; a receipt may be paid, reversed and paid again.
ONCE_PER_CAUSE = (
    PointsSource.REGISTER,
    PointsSource.LOTTERY,
    PointsSource.PRIZE,
    PointsSource.EXCHANGE,
    PointsSource.CANCEL,
    PointsSource.REVERSE,
)
OFTEN_PER_CAUSE = tuple(source for source in PointsSource if source not in ONCE_PER_CAUSE)
# What most entries are. Each of these kinds goes one way: the checks of their causes see to it.
OFTEN_EARNED = (PointsSource.PRIZE, PointsSource.PHOTO_UPLOAD)
OFTEN_SPENT = (PointsSource.LOTTERY, PointsSource.EXCHANGE)
# What of somebody's entries is rare: whoever asks for these alone has them far apart.
RARE = tuple(source for source in PointsSource if source not in {*OFTEN_EARNED, *OFTEN_SPENT})


class PointsEntry(ChainedEntry):
    """One change of a person's points. Append-only: triggers refuse everything but INSERT.

    It holds no personal data: erasing a person leaves it. It gains no column any more, since its
    hash covers what it says for ever: what a kind needs beyond (an author, a reason, a policy)
    stands in append-only rows that `related_id` names. A reversal names the entry it reverses.
    """

    hashed_fields = (
        "user_id",
        "sequence",
        "points",
        "source",
        "related_id",
        "balance_after",
        "created_at",
        "previous_hash",
    )

    user = models.ForeignKey(
        User,
        verbose_name=_("person"),
        on_delete=models.PROTECT,
        related_name="points_entries",
        db_index=False,  # the constraint on their numbers begins with it
    )
    points = models.BigIntegerField(_("points"))
    source = models.CharField(_("source"), max_length=12, choices=PointsSource)
    related_id = models.CharField(_("related to"), max_length=40, blank=True)
    balance_after = models.PositiveBigIntegerField(_("balance after"))
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        constraints = [
            models.UniqueConstraint(fields=["user", "sequence"], name="pointsentry_one_sequence"),
            models.UniqueConstraint(
                fields=["source", "related_id"],
                condition=Q(source__in=ONCE_PER_CAUSE),
                name="pointsentry_once_per_cause",
            ),
            models.CheckConstraint(
                condition=Q(source__in=PointsSource.values), name="pointsentry_source_known"
            ),
            models.CheckConstraint(condition=~Q(points=0), name="pointsentry_changes_something"),
            models.CheckConstraint(
                condition=Q(balance_after__gte=0), name="pointsentry_balance_never_negative"
            ),
            models.CheckConstraint(
                condition=Q(balance_after__gte=F("points")), name="pointsentry_balance_adds_up"
            ),
        ]
        # Every draw pays for them: the first grows at its end alone, the others leave draws out.
        indexes = [
            models.Index(fields=["created_at"], name="pointsentry_by_time"),
            models.Index(
                fields=["user", "source", "-sequence"],
                condition=Q(source__in=RARE),
                name="pointsentry_rare_of_person",
            ),
            models.Index(
                fields=["source", "related_id"],
                condition=Q(source__in=OFTEN_PER_CAUSE),
                name="pointsentry_of_cause",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.user_id}/{self.sequence}: {self.points:+d}"
