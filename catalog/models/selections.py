"""What a shop might offer one day."""

from decimal import Decimal
from typing import override

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models.product_templates import ProductTemplate
from catalog.models.products import Product
from catalog.models.shops import Shop
from ops.service_columns import ServiceColumns


class SelectionStatus(models.TextChoices):
    CANDIDATE = "candidate", _("Candidate")
    APPROVED = "approved", _("Approved")
    LISTED = "listed", _("Listed")
    REJECTED = "rejected", _("Rejected")


class Selection(ServiceColumns):
    """Something a shop might offer (选品): judged, then listed as a product or turned down."""

    service_columns = (
        "status",
        "product",
    )

    shop = models.ForeignKey(
        Shop, verbose_name=_("shop"), on_delete=models.CASCADE, related_name="selections"
    )
    name = models.CharField(_("name"), max_length=100)
    supplier = models.CharField(_("supplier"), max_length=100, blank=True)
    cost = models.DecimalField(_("cost"), max_digits=10, decimal_places=2)
    market_price = models.DecimalField(_("market price"), max_digits=10, decimal_places=2)
    margin = models.GeneratedField(
        verbose_name=_("margin"),
        expression=F("market_price") - F("cost"),
        output_field=models.DecimalField(max_digits=10, decimal_places=2),
        db_persist=True,
    )
    suggested_points = models.PositiveIntegerField(_("suggested points"))
    score = models.DecimalField(
        _("score"), max_digits=4, decimal_places=1, default=Decimal(0), help_text=_("0 to 100.")
    )
    status = models.CharField(
        _("status"),
        max_length=9,
        choices=SelectionStatus,
        default=SelectionStatus.CANDIDATE,
        editable=False,
    )
    template = models.ForeignKey(
        ProductTemplate,
        verbose_name=_("template"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    product = models.OneToOneField(
        Product,
        verbose_name=_("product"),
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="selection",
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("selection")
        verbose_name_plural = _("selections")
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=SelectionStatus.values), name="selection_status_known"
            ),
            models.CheckConstraint(
                condition=Q(status=SelectionStatus.LISTED, product__isnull=False)
                | (~Q(status=SelectionStatus.LISTED) & Q(product__isnull=True)),
                name="selection_listed_as_a_product",
            ),
            models.CheckConstraint(
                condition=Q(cost__gte=0, market_price__gte=0), name="selection_prices_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(score__gte=0, score__lte=100), name="selection_score_in_range"
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name
