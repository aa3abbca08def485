"""What a shop offers for points, the forms it is made from, and what it might offer one day."""

from datetime import datetime
from decimal import Decimal
from typing import Self, override

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models.shops import Shop
from ops.locking import LockingQuerySet


class ProductKind(models.TextChoices):
    PHYSICAL = "physical", _("Physical")
    COUPON = "coupon", _("Coupon")
    VIRTUAL = "virtual", _("Virtual")


class ProductStatus(models.TextChoices):
    DRAFT = "draft", _("Draft")
    ACTIVE = "active", _("Active")
    INACTIVE = "inactive", _("Withdrawn")


class SelectionStatus(models.TextChoices):
    CANDIDATE = "candidate", _("Candidate")
    APPROVED = "approved", _("Approved")
    LISTED = "listed", _("Listed")
    REJECTED = "rejected", _("Rejected")


class Category(models.Model):
    """A shelf of the mall, the same for all shops."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    position = models.PositiveIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("category")
        verbose_name_plural = _("categories")
        ordering = ["position", "pk"]

    @override
    def __str__(self) -> str:
        return self.name


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


class ProductQuerySet(LockingQuerySet["Product"]):
    def visible(self) -> Self:
        """What customers see in the mall."""
        return self.filter(status=ProductStatus.ACTIVE, is_listed=True)


class Product(ProductTerms):
    """Something to be had for points. Its stock changes only by entries of the stock ledger."""

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
    sales_count = models.PositiveIntegerField(
        _("sold"), default=0, editable=False, help_text=_("Exchanged and not returned.")
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    objects = ProductQuerySet.as_manager()

    class Meta(ProductTerms.Meta):
        verbose_name = _("product")
        verbose_name_plural = _("products")
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
        """Whether customers see it in the mall; `ProductQuerySet.visible` asks the same of rows."""
        return self.status == ProductStatus.ACTIVE and self.is_listed

    def is_on_sale_at(self, moment: datetime) -> bool:
        """Whether it can be exchanged then: visible, within its window, its shop open."""
        begun = self.on_sale_from is None or self.on_sale_from <= moment
        ended = self.on_sale_until is not None and self.on_sale_until <= moment
        return self.is_visible and begun and not ended and self.shop.is_open


class ProductImage(models.Model):
    """One of a product's pictures; the one at the lowest position stands for it in lists."""

    product = models.ForeignKey(
        Product, verbose_name=_("product"), on_delete=models.CASCADE, related_name="images"
    )
    file = models.ForeignKey(
        "ops.StoredFile", verbose_name=_("file"), on_delete=models.PROTECT, related_name="+"
    )
    thumbnail = models.ForeignKey(
        "ops.StoredFile",
        verbose_name=_("thumbnail"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    position = models.PositiveIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("product picture")
        verbose_name_plural = _("product pictures")
        ordering = ["position", "pk"]

    @override
    def __str__(self) -> str:
        return f"{self.product_id} {self.position}"


class ProductTemplate(ProductTerms):
    """A product form filled in once and used many times."""

    title = models.CharField(_("title"), max_length=100)
    shop = models.ForeignKey(
        Shop,
        verbose_name=_("shop"),
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="templates",
        help_text=_("Empty: for all shops."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta(ProductTerms.Meta):
        verbose_name = _("product template")
        verbose_name_plural = _("product templates")
        constraints = [
            *ProductTerms.Meta.constraints,
            models.UniqueConstraint(
                fields=["shop", "title"],
                name="producttemplate_title_once_per_shop",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.title


class Selection(models.Model):
    """Something a shop might offer (选品): judged, then listed as a product or turned down."""

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
