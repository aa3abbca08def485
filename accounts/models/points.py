"""The ledger of points."""

import hashlib
import json
from datetime import UTC
from typing import Any, override

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User


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
)


# What an entry's hash covers: everything that it says.
HASHED_FIELDS = (
    "user_id",
    "sequence",
    "points",
    "source",
    "related_id",
    "balance_after",
    "created_at",
    "previous_hash",
)


class PointsEntry(models.Model):
    """One change of a person's points. Append-only: a trigger refuses UPDATE and DELETE.

    Each entry carries the hash of the one before it, so that no row can be altered, taken out or
    slipped in without breaking the chain. It holds no personal data: erasing a person leaves it.
    """

    user = models.ForeignKey(
        User, verbose_name=_("person"), on_delete=models.PROTECT, related_name="points_entries"
    )
    sequence = models.PositiveBigIntegerField(_("number"))
    points = models.BigIntegerField(_("points"))
    source = models.CharField(_("source"), max_length=12, choices=PointsSource)
    related_id = models.CharField(_("related to"), max_length=40, blank=True)
    balance_after = models.PositiveBigIntegerField(_("balance after"))
    previous_hash = models.CharField(_("previous hash"), max_length=64)
    entry_hash = models.CharField(_("hash"), max_length=64)
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

    @override
    def __str__(self) -> str:
        return f"{self.user_id}/{self.sequence}: {self.points:+d}"

    def computed_hash(self) -> str:
        """The hash this entry must carry.

        SHA-256, in hex, of the canonical JSON of its hashed fields: UTF-8, sorted keys, no spaces.
        The time is written in UTC, as ISO 8601 with microseconds
        (2026-01-31T04:05:06.000007+00:00).
        """
        facts: dict[str, Any] = {name: getattr(self, name) for name in HASHED_FIELDS}
        facts["created_at"] = self.created_at.astimezone(UTC).isoformat(timespec="microseconds")
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()
