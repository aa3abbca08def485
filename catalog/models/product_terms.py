"""What a product and the template it is made from have in common."""

from typing import override

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from catalog.models.categories import Category


class ProductKind(models.TextChoices):
    PHYSICAL = "physical", _("Physical")
    COUPON = "coupon", _("Coupon")
    VIRTUAL = "virtual", _("Virtual")


class ProductTerms(models.Model):
    """What a product and the template it is made from have in common."""

    category = models.ForeignKey(
        Category, verbose_name=_("category"), null=True, blank=True, on_delete=models.PROTECT
    )
    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("description"), blank=True)
    kind = models.CharField(_("kind"), max_length=8, choices=ProductKind)
    points_price = models.PositiveIntegerField(_("price"), help_text=_("In points."))
    market_price = models.DecimalField(
        _("market price"), max_digits=10, decimal_places=2, help_text=_("In yuan.")
    )
    limit_per_person = models.PositiveIntegerField(
        _("limit per person"), null=True, blank=True, help_text=_("Empty: no limit.")
    )

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=ProductKind.values), name="%(class)s_kind_known"
            ),
            models.CheckConstraint(condition=Q(points_price__gte=1), name="%(class)s_costs_points"),
            models.CheckConstraint(
                condition=Q(market_price__gte=0), name="%(class)s_market_price_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(limit_per_person__isnull=True) | Q(limit_per_person__gte=1),
                name="%(class)s_limit_at_least_one",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name
