"""Levels that people reach."""

from typing import override

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class Tier(Mutable):
    """A level reached with lifetime points; its multiplier raises what a receipt gives."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    threshold = models.PositiveBigIntegerField(
        _("threshold"), unique=True, help_text=_("Lifetime points from which it holds.")
    )
    multiplier = models.DecimalField(_("multiplier"), max_digits=4, decimal_places=2)

    class Meta:
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        ordering = ["threshold"]
        constraints = [
            models.CheckConstraint(
                condition=Q(multiplier__gte=1), name="tier_multiplier_at_least_one"
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name
