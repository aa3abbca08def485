"""Who had their welcome points."""

from typing import override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class RegistrationMark(models.Model):
    """That a phone or openid had its welcome points: a keyed hash, kept for ever."""

    key_hash = models.CharField(_("key hash"), max_length=64, unique=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("registration mark")
        verbose_name_plural = _("registration marks")

    @override
    def __str__(self) -> str:
        return self.key_hash[:12]
