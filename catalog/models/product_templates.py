"""Product forms that are filled in once and used many times."""

from typing import override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models.product_terms import ProductTerms
from catalog.models.shops import Shop
from ops.updated_at import Mutable


class ProductTemplate(Mutable, ProductTerms):
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
