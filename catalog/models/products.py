"""What a shop offers for points."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models.product_terms import ProductTerms
from catalog.models.shops import Shop
from ops.chain import GENESIS_HASH
from ops.locking import LockingQuerySet
from ops.service_columns import ServiceColumns


class ProductStatus(models.TextChoices):
    DRAFT = "draft", _("Draft")
    ACTIVE = "active", _("Active")
    INACTIVE = "inactive", _("Withdrawn")


def mall_shows(status: str, *, is_listed: bool) -> bool:
    """Whether the mall shows such a product; `ProductQuerySet.visible` asks the same of rows."""
    return status == ProductStatus.ACTIVE and is_listed


class ProductQuerySet(LockingQuerySet["Product"]):
    def visible(self) -> Self:
        """What customers see in the mall."""
        return self.filter(status=ProductStatus.ACTIVE, is_listed=True)


class Product(ServiceColumns, ProductTerms):
    """Something to be had for points. Its stock changes only by entries of the stock ledger."""

    service_columns = ("stock", "stock_version", "stock_hash", "sales_count")

    shop = models.ForeignKey(
        Shop, verbose_name=_("shop"), on_delete=models.PROTECT, related_name="products"
    )
    status = models.CharField(
        _("status"), max_length=8, choices=ProductStatus, default=ProductStatus.DRAFT
    )
    is_listed = models.BooleanField(
        _("listed in the mall"),
        default=True,
        help_text=_("Off: hidden from the mall, its stock is reserved for a prize."),
    )
    on_sale_from = models.DateTimeField(_("on sale from"), null=True, blank=True)
    on_sale_until = models.DateTimeField(_("on sale until"), null=True, blank=True)
    stock = models.PositiveIntegerField(_("stock"), default=0, editable=False)
    stock_version = models.PositiveBigIntegerField(
        _("stock version"), default=0, editable=False, help_text=_("The newest ledger entry.")
    )
    stock_hash = models.CharField(
        _("stock hash"), max_length=64, default=GENESIS_HASH, editable=False
    )
    sales_count = models.PositiveIntegerField(
        _("sold"), default=0, editable=False, help_text=_("Exchanged and not returned.")
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    objects: ClassVar = ProductQuerySet.as_manager()

    class Meta(ProductTerms.Meta):
        verbose_name = _("product")
        verbose_name_plural = _("products")
        permissions = [("stock_product", _("Can change the stock of products"))]
        constraints = [
            *ProductTerms.Meta.constraints,
            models.CheckConstraint(
                condition=Q(status__in=ProductStatus.values), name="product_status_known"
            ),
            models.CheckConstraint(condition=Q(stock__gte=0), name="product_never_oversold"),
            models.CheckConstraint(
                condition=Q(sales_count__gte=0), name="product_sales_never_negative"
            ),
            models.CheckConstraint(
                condition=Q(on_sale_from__isnull=True)
                | Q(on_sale_until__isnull=True)
                | Q(on_sale_from__lt=F("on_sale_until")),
                name="product_sale_begins_before_it_ends",
            ),
        ]
        # The sorts of the mall, each over what is visible alone.
        indexes = [
            models.Index(
                fields=["points_price", "id"],
                condition=Q(status="active", is_listed=True),
                name="product_mall_by_points",
            ),
            models.Index(
                fields=["-sales_count", "-id"],
                condition=Q(status="active", is_listed=True),
                name="product_mall_by_sales",
            ),
        ]

    @property
    def is_visible(self) -> bool:
        """Whether customers see it in the mall."""
        return mall_shows(self.status, is_listed=self.is_listed)

    def is_on_sale_at(self, moment: datetime) -> bool:
        """Whether it can be exchanged then: visible, within its window, its shop open."""
        begun = self.on_sale_from is None or self.on_sale_from <= moment
        ended = self.on_sale_until is not None and self.on_sale_until <= moment
        return self.is_visible and begun and not ended and self.shop.is_open
