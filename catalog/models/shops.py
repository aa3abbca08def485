"""Where receipts come from and where goods are handed over."""

from typing import override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class Shop(Mutable):
    """A place where receipts come from and where goods are handed over."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    address = models.CharField(_("address"), max_length=200, blank=True)
    is_open = models.BooleanField(
        _("open"),
        default=True,
        help_text=_("A closed shop takes no receipts and sells nothing; its orders stay valid."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("shop")
        verbose_name_plural = _("shops")

    @override
    def __str__(self) -> str:
        return self.name
