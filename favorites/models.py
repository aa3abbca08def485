"""What people keep to find it again."""

from typing import override

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models import Product
from ops.updated_at import Mutable


class Favorite(Mutable):
    """That a person keeps a product; it outlives the product's time in the mall."""

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        on_delete=models.CASCADE,
        related_name="favorites",
    )
    product = models.ForeignKey(
        Product, verbose_name=_("product"), on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("favorite")
        verbose_name_plural = _("favorites")
        constraints = [
            models.UniqueConstraint(fields=["person", "product"], name="favorite_kept_once"),
        ]
        indexes = [models.Index(fields=["person", "-id"], name="favorite_newest_of_person")]

    @override
    def __str__(self) -> str:
        return f"{self.person_id} {self.product_id}"
