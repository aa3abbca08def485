"""What commands and services did once."""

from typing import override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class OperationalEvent(Mutable):
    """Something that happened in operations: keys were rotated, ledgers sealed, a backup proven.

    A command is over before anybody could ask it for metrics; rules match these rows instead.
    Written by `ops.services.events` alone, which never changes one.
    """

    kind = models.CharField(_("kind"), max_length=64)
    facts = models.JSONField(_("facts"), default=dict)
    host = models.CharField(_("machine"), max_length=255)
    happened_at = models.DateTimeField(_("time"), default=timezone.now)

    class Meta:
        verbose_name = _("operational event")
        verbose_name_plural = _("operational events")
        indexes = [
            models.Index(fields=["-happened_at", "-id"], name="operationalevent_newest"),
            models.Index(fields=["kind", "-happened_at"], name="operationalevent_of_kind"),
        ]

    @override
    def __str__(self) -> str:
        return self.kind
