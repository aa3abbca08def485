"""How many sign-in codes were asked for, or mistyped, in a span of time."""

from collections.abc import Mapping
from typing import ClassVar, override

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ops.sensitive import Kind
from ops.updated_at import Mutable


class CountPurpose(models.TextChoices):
    """What is counted, and by what."""

    ADDRESS = "address", _("Codes for an address")
    PREFIX = "prefix", _("Codes for the first digits of a phone")
    PLATFORM = "platform", _("Codes in all")
    WRONG = "wrong", _("Wrong codes from an address")
    UNSURE = "unsure", _("Codes that may have arrived")
    TOLD = "told", _("Events that were told")


class CodeCount(Mutable):
    """How often something of sign-in codes happened since a moment.

    Kept in the database, not in the cache: the limits hold on every process and machine alike, and
    while there is no Redis. `key_hash` is a keyed hash of what is counted by.
    """

    sensitive: ClassVar[Mapping[str, Kind]] = {"key_hash": Kind.SECRET}

    purpose = models.CharField(_("purpose"), max_length=8, choices=CountPurpose)
    key_hash = models.CharField(_("key hash"), max_length=64)
    since = models.DateTimeField(_("since"), db_index=True)
    count = models.PositiveIntegerField(_("count"), default=0)

    class Meta:
        verbose_name = _("count of sign-in codes")
        verbose_name_plural = _("counts of sign-in codes")
        constraints = [
            models.UniqueConstraint(
                fields=["purpose", "key_hash", "since"], name="codecount_one_per_span"
            ),
            models.CheckConstraint(
                condition=Q(purpose__in=CountPurpose.values), name="codecount_purpose_known"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.purpose} {self.key_hash[:12]}: {self.count}"
