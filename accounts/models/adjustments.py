"""Why points were booked by hand: who did it, for what reason, and what that put right."""

from collections.abc import Mapping
from typing import ClassVar, override

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User
from accounts.models.points import PointsEntry
from ops.sensitive import Kind


class PointsAdjustment(models.Model):
    """The cause of an entry of the kind `adjust`, which names it.

    Append-only: triggers refuse everything but INSERT. One that `corrects` an entry takes back
    exactly what that entry did, once; the entry itself stays as it is.
    """

    sensitive: ClassVar[Mapping[str, Kind]] = {"reason": Kind.PERSONAL, "proof": Kind.SECRET}

    person = models.ForeignKey(
        User, verbose_name=_("person"), on_delete=models.PROTECT, related_name="adjustments"
    )
    points = models.BigIntegerField(_("points"))
    corrects = models.OneToOneField(
        PointsEntry,
        verbose_name=_("corrected entry"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="correction",
    )
    finding = models.TextField(
        _("finding"), blank=True, help_text=_("What check_integrity said, where this answers it.")
    )
    author = models.ForeignKey(
        User,
        verbose_name=_("author"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    system_user = models.TextField(
        _("system user"), blank=True, help_text=_("Of a command: name and host.")
    )
    reason = models.CharField(_("reason"), max_length=500)
    key_id = models.CharField(_("key id"), max_length=16, editable=False)
    proof = models.CharField(
        _("proof"),
        max_length=64,
        editable=False,
        help_text=_("Keyed; it says that the platform booked this, for whom and why."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("adjustment of points")
        verbose_name_plural = _("adjustments of points")
        constraints = [
            models.CheckConstraint(
                condition=~Q(points=0), name="pointsadjustment_changes_something"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="pointsadjustment_for_a_reason"),
            models.CheckConstraint(
                condition=Q(author__isnull=False, system_user="")
                | (Q(author__isnull=True) & ~Q(system_user="")),
                name="pointsadjustment_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(author__isnull=True) | ~Q(author=F("person")),
                name="pointsadjustment_not_of_its_author",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"#{self.person_id}: {self.points:+d}"
