"""Who works at a shop, and as what."""

from typing import override

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models.shops import Shop
from ops.updated_at import Mutable


class ShopRole(models.TextChoices):
    OWNER = "owner", _("Owner")
    MANAGER = "manager", _("Manager")
    REVIEWER = "reviewer", _("Reviewer")
    CASHIER = "cashier", _("Cashier")


class ShopMember(Mutable):
    """That a person works at a shop, and as what; this alone makes somebody a merchant."""

    shop = models.ForeignKey(
        Shop, verbose_name=_("shop"), on_delete=models.CASCADE, related_name="members"
    )
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        on_delete=models.CASCADE,
        related_name="memberships",
    )
    role = models.CharField(_("role"), max_length=8, choices=ShopRole)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("shop member")
        verbose_name_plural = _("shop members")
        constraints = [
            models.UniqueConstraint(fields=["shop", "person"], name="shopmember_one_role_per_shop"),
            models.CheckConstraint(
                condition=Q(role__in=ShopRole.values), name="shopmember_role_known"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.person_id} {self.get_role_display()}"
