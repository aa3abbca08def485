"""The shelves of the mall."""

from typing import override

from django.db import models
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class Category(Mutable):
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
