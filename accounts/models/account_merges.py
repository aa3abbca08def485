"""That two accounts are one person's, as staff found, and what moved."""

from collections.abc import Mapping
from typing import ClassVar, override

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User
from ops.sensitive import Kind


class AccountMerge(models.Model):
    """One account became a part of another: the cause of the pair of entries that name it.

    Append-only: triggers refuse everything but INSERT. An account is merged once, for ever.
    """

    sensitive: ClassVar[Mapping[str, Kind]] = {"reason": Kind.PERSONAL, "proof": Kind.SECRET}

    merged = models.OneToOneField(
        User,
        verbose_name=_("merged account"),
        on_delete=models.PROTECT,
        related_name="merge",
    )
    survivor = models.ForeignKey(
        User,
        verbose_name=_("account that goes on"),
        on_delete=models.PROTECT,
        related_name="merges",
    )
    points = models.PositiveBigIntegerField(_("points moved"))
    lifetime_points = models.PositiveBigIntegerField(_("lifetime points moved"))
    author = models.ForeignKey(
        User, verbose_name=_("author"), on_delete=models.PROTECT, related_name="+"
    )
    reason = models.CharField(_("reason"), max_length=500)
    key_id = models.CharField(_("key id"), max_length=16, editable=False)
    proof = models.CharField(
        _("proof"),
        max_length=64,
        editable=False,
        help_text=_("Keyed; it says that the platform merged these accounts and moved so much."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("merge of accounts")
        verbose_name_plural = _("merges of accounts")
        constraints = [
            models.CheckConstraint(
                condition=~Q(merged=F("survivor")), name="accountmerge_of_two_accounts"
            ),
            models.CheckConstraint(
                condition=~Q(author=F("survivor")) & ~Q(author=F("merged")),
                name="accountmerge_not_of_its_author",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="accountmerge_for_a_reason"),
        ]

    @override
    def __str__(self) -> str:
        return f"#{self.merged_id} → #{self.survivor_id}"
