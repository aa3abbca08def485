"""The stock ledger."""

from typing import override

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.limits import LONGEST_REASON
from catalog.models.products import Product
from ops.chain import ChainedEntry


class StockOperation(models.TextChoices):
    PURCHASE = "purchase", _("Exchange")
    RESTOCK = "restock", _("Restock")
    ADMIN_ADJUST = "admin_adjust", _("Adjustment")
    CANCEL = "cancel", _("Returned order")
    PRIZE = "prize", _("Prize")


# What can happen to its cause only once: an order is taken and returned, a draw is won.
ONCE_PER_CAUSE = (StockOperation.PURCHASE, StockOperation.CANCEL, StockOperation.PRIZE)


class StockEntry(ChainedEntry):
    """One change of a product's stock. Append-only: triggers refuse everything but INSERT."""

    hashed_fields = (
        "product_id",
        "sequence",
        "quantity",
        "operation",
        "stock_after",
        "related_id",
        "author_id",
        "reason",
        "created_at",
        "previous_hash",
    )

    product = models.ForeignKey(
        Product, verbose_name=_("product"), on_delete=models.PROTECT, related_name="stock_entries"
    )
    quantity = models.IntegerField(_("quantity"), help_text=_("Negative when taken out."))
    operation = models.CharField(_("operation"), max_length=12, choices=StockOperation)
    stock_after = models.PositiveIntegerField(_("stock after"))
    related_id = models.CharField(_("related to"), max_length=40, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("author"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    reason = models.CharField(_("reason"), max_length=LONGEST_REASON, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("stock entry")
        verbose_name_plural = _("stock entries")
        constraints = [
            models.UniqueConstraint(fields=["product", "sequence"], name="stockentry_one_sequence"),
            models.UniqueConstraint(
                fields=["operation", "related_id"],
                condition=Q(operation__in=ONCE_PER_CAUSE) & ~Q(related_id=""),
                name="stockentry_once_per_cause",
            ),
            models.CheckConstraint(
                condition=Q(operation__in=StockOperation.values), name="stockentry_operation_known"
            ),
            models.CheckConstraint(condition=~Q(quantity=0), name="stockentry_changes_something"),
            models.CheckConstraint(
                condition=Q(stock_after__gte=0), name="stockentry_stock_never_negative"
            ),
            models.CheckConstraint(
                condition=Q(stock_after__gte=F("quantity")), name="stockentry_stock_adds_up"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.product_id}/{self.sequence}: {self.quantity:+d}"
