"""What people got for their points or won on the wheel."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Self, override

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.limits import MAX_QUANTITY
from catalog.models.product_terms import ProductKind
from catalog.models.products import Product
from catalog.models.shops import Shop
from ops.sensitive import Kind
from ops.service_columns import ServiceColumns
from ops.updated_at import MutableQuerySet


class OrderSource(models.TextChoices):
    EXCHANGE = "exchange", _("Exchange")
    LOTTERY = "lottery", _("Lottery")


class OrderStatus(models.TextChoices):
    PENDING = "pending", _("To be collected")
    REDEEMED = "redeemed", _("Redeemed")
    DELIVERED = "delivered", _("Delivered")
    CANCELLED = "cancelled", _("Cancelled")
    EXPIRED = "expired", _("Expired")


# Orders that were taken back: they count towards no limit.
RETURNED = (OrderStatus.CANCELLED, OrderStatus.EXPIRED)


class OrderQuerySet(MutableQuerySet["Order"]):
    def not_returned(self) -> Self:
        """Orders that were not taken back; these count towards a person's limit."""
        return self.exclude(status__in=RETURNED)

    def collectable(self, *, now: datetime) -> Self:
        """Orders that wait at the counter and whose time is not over."""
        return self.filter(status=OrderStatus.PENDING, expires_at__gt=now)


class Order(ServiceColumns):
    """A deal, with its facts as they were: later edits of the product change nothing here."""

    service_columns = (
        "status",
        "expires_at",
        "redeemed_at",
        "redeemed_by",
        "delivered_at",
        "returned_at",
        "returned_to",
    )
    sensitive: ClassVar[Mapping[str, Kind]] = {"exchange_code": Kind.SECRET}

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        on_delete=models.PROTECT,
        related_name="orders",
        db_index=False,  # an index below begins with it
    )
    shop = models.ForeignKey(
        Shop,
        verbose_name=_("shop"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="orders",
        db_index=False,  # an index below begins with it
        help_text=_("Where it is redeemed. Empty: a prize that every shop honours."),
    )
    product = models.ForeignKey(
        Product,
        verbose_name=_("product"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="orders",
    )
    product_name = models.CharField(_("product name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=8, choices=ProductKind)
    # Big: a price times a quantity may be, though nobody can pay it.
    unit_points = models.PositiveBigIntegerField(_("price"), help_text=_("In points."))
    quantity = models.PositiveSmallIntegerField(_("quantity"), default=1)
    total_points = models.PositiveBigIntegerField(_("points paid"))
    limit_per_person = models.PositiveIntegerField(
        _("limit per person"),
        null=True,
        blank=True,
        help_text=_("As it was when this was ordered."),
    )
    source = models.CharField(_("source"), max_length=8, choices=OrderSource)
    related_id = models.CharField(
        _("related to"), max_length=40, blank=True, help_text=_("The draw of a prize.")
    )
    exchange_code = models.CharField(_("exchange code"), max_length=20, unique=True)
    status = models.CharField(_("status"), max_length=9, choices=OrderStatus)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    redeemed_at = models.DateTimeField(_("redeemed at"), null=True, blank=True)
    redeemed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("redeemed by"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="redemptions",
    )
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    returned_at = models.DateTimeField(
        _("returned at"), null=True, blank=True, help_text=_("When it was cancelled or expired.")
    )
    returned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("returned to"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,  # nobody asks by it
        help_text=_("Who got its points back, where the account was merged before."),
    )

    objects: ClassVar = OrderQuerySet.as_manager()

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        permissions = [
            ("cancel_order", _("Can cancel orders of customers")),
            ("redeem_order", _("Can hand orders over at the counter")),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=ProductKind.values), name="order_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(source__in=OrderSource.values), name="order_source_known"
            ),
            models.CheckConstraint(
                condition=Q(quantity__gte=1, quantity__lte=MAX_QUANTITY),
                name="order_quantity_in_range",
            ),
            models.CheckConstraint(
                condition=Q(total_points=F("unit_points") * F("quantity")),
                name="order_total_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(
                    source=OrderSource.EXCHANGE,
                    related_id="",
                    product__isnull=False,
                    shop__isnull=False,
                    total_points__gt=0,
                )
                | (Q(source=OrderSource.LOTTERY, total_points=0) & ~Q(related_id="")),
                name="order_bought_or_won",
            ),
            models.UniqueConstraint(
                fields=["related_id"],
                condition=Q(source=OrderSource.LOTTERY),
                name="order_one_per_draw",
            ),
            models.CheckConstraint(
                condition=Q(
                    status=OrderStatus.PENDING,
                    expires_at__isnull=False,
                    redeemed_at__isnull=True,
                    redeemed_by__isnull=True,
                    delivered_at__isnull=True,
                    returned_at__isnull=True,
                )
                | Q(
                    status=OrderStatus.REDEEMED,
                    redeemed_at__isnull=False,
                    redeemed_by__isnull=False,
                    delivered_at__isnull=True,
                    returned_at__isnull=True,
                )
                | Q(
                    status=OrderStatus.DELIVERED,
                    kind=ProductKind.VIRTUAL,
                    expires_at__isnull=True,
                    redeemed_at__isnull=True,
                    redeemed_by__isnull=True,
                    delivered_at__isnull=False,
                    returned_at__isnull=True,
                )
                | Q(
                    status__in=RETURNED,
                    redeemed_at__isnull=True,
                    redeemed_by__isnull=True,
                    delivered_at__isnull=True,
                    returned_at__isnull=False,
                ),
                name="order_status_fits_its_times",
            ),
            models.CheckConstraint(
                condition=Q(returned_to__isnull=True)
                | (Q(status__in=RETURNED, total_points__gt=0) & ~Q(returned_to=F("person"))),
                name="order_returned_to_another_account",
            ),
        ]
        indexes = [
            models.Index(fields=["person", "-id"], name="order_newest_of_person"),
            # Whom a shop knows, without a look at the rows.
            models.Index(fields=["shop", "person"], name="order_person_of_shop"),
            # What a person has of a product, for its limit.
            models.Index(
                fields=["person", "product"],
                condition=~Q(status__in=RETURNED),
                name="order_kept_of_person",
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(status="pending"),
                name="order_to_expire",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"#{self.pk} {self.product_name}"
