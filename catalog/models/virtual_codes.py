"""The codes that are a virtual product's stock."""

from collections.abc import Mapping
from typing import ClassVar, Self, override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models.orders import Order
from catalog.models.products import Product
from ops.locking import LockingQuerySet
from ops.sensitive import Kind
from ops.service_columns import ServiceColumns


class VirtualCodeQuerySet(LockingQuerySet["VirtualCode"]):
    def free(self) -> Self:
        """Codes that were handed to nobody yet."""
        return self.filter(order__isnull=True)


class VirtualCode(ServiceColumns):
    """One unit of a virtual product: encrypted at rest, handed out once."""

    service_columns = (
        "code_encrypted",
        "code_hash",
        "key_id",
        "order",
        "delivered_at",
    )
    sensitive: ClassVar[Mapping[str, Kind]] = {
        "code_encrypted": Kind.SECRET,
        "code_hash": Kind.SECRET,
    }

    product = models.ForeignKey(
        Product, verbose_name=_("product"), on_delete=models.PROTECT, related_name="codes"
    )
    code_encrypted = models.TextField(_("encrypted code"), editable=False)
    code_hash = models.CharField(
        _("code hash"),
        max_length=64,
        editable=False,
        help_text=_("Keyed; tells that the same code is loaded twice."),
    )
    key_id = models.CharField(_("key id"), max_length=16, db_default="", editable=False)
    order = models.ForeignKey(
        Order,
        verbose_name=_("order"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="codes",
    )
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    objects: ClassVar = VirtualCodeQuerySet.as_manager()

    class Meta:
        verbose_name = _("virtual code")
        verbose_name_plural = _("virtual codes")
        constraints = [
            models.UniqueConstraint(
                fields=["product", "code_hash"], name="virtualcode_loaded_once"
            ),
            models.CheckConstraint(
                condition=Q(order__isnull=True, delivered_at__isnull=True)
                | Q(order__isnull=False, delivered_at__isnull=False),
                name="virtualcode_delivered_with_its_order",
            ),
        ]
        indexes = [
            models.Index(
                fields=["product", "id"], condition=Q(order__isnull=True), name="virtualcode_free"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.product_id} {self.code_hash[:8]}"
