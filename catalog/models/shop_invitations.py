"""Who was asked to work at a shop, and has not answered yet."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Self, override

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models.shop_members import ShopRole
from catalog.models.shops import Shop
from ops.sensitive import Kind, masked
from ops.updated_at import Mutable, MutableQuerySet


class ShopInvitationQuerySet(MutableQuerySet["ShopInvitation"]):
    """Invitations, pending and expired."""

    def pending(self, now: datetime) -> Self:
        """Those that may still be accepted."""
        return self.filter(expires_at__gt=now)


class ShopInvitation(Mutable):
    """That whoever has a phone may work at a shop, once they say so themselves.

    It says nothing of whether the phone has an account. It is gone once it is answered, withdrawn
    or expired; what became of it is in the audit trail.
    """

    sensitive: ClassVar[Mapping[str, Kind]] = {"phone": Kind.MASKED}

    shop = models.ForeignKey(
        Shop,
        verbose_name=_("shop"),
        on_delete=models.CASCADE,
        related_name="invitations",
        db_index=False,  # the constraint's index begins with it
    )
    phone = models.CharField(_("phone"), max_length=20, db_index=True)
    role = models.CharField(_("role"), max_length=8, choices=ShopRole)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("invited by"),
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text=_("Who may give the role; empty: a command."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires at"))

    objects: ClassVar = ShopInvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        constraints = [
            models.UniqueConstraint(fields=["shop", "phone"], name="shopinvitation_one_per_phone"),
            models.CheckConstraint(
                condition=Q(role__in=ShopRole.values), name="shopinvitation_role_known"
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], name="shopinvitation_expired")]

    @property
    def masked_phone(self) -> str:
        """The phone as others may see it, e.g. 138****8001."""
        return masked(self.phone)

    @override
    def __str__(self) -> str:
        return f"{self.masked_phone} {self.get_role_display()}"
