"""The pictures of products."""

from typing import override

from django.db import models
from django.utils.translation import gettext_lazy as _

from catalog.models.products import Product
from ops.updated_at import Mutable


class ProductImage(Mutable):
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
        return f"{_('picture')} {self.position}"
