"""Wrong passwords, counted."""

from collections.abc import Mapping
from typing import ClassVar, override

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ops.locking import LockingQuerySet
from ops.sensitive import Kind
from ops.updated_at import Mutable


class LimitPurpose(models.TextChoices):
    """What tries are counted by."""

    ACCOUNT = "account", _("Account")
    ADDRESS = "address", _("Address")
    DEVICE = "device", _("Device")
    FACTOR = "factor", _("Second factor")


class SignInLimitQuerySet(LockingQuerySet["SignInLimit"]):
    """Counts of wrong passwords, held while a try is claimed."""


class SignInLimit(Mutable):
    """How many passwords or codes were tried in vain: for an account, from an address, by a device.

    `key_hash` is a keyed hash of what is counted. An account that does not exist is counted as one
    that does, so that the answers tell nothing.
    """

    sensitive: ClassVar[Mapping[str, Kind]] = {"key_hash": Kind.SECRET}

    purpose = models.CharField(_("purpose"), max_length=8, choices=LimitPurpose)
    key_hash = models.CharField(_("key hash"), max_length=64)
    failures = models.PositiveIntegerField(_("wrong passwords"), default=0)
    last_failed_at = models.DateTimeField(_("last wrong password"), db_index=True)
    blocked_until = models.DateTimeField(_("held back until"), null=True, blank=True)

    objects: ClassVar = SignInLimitQuerySet.as_manager()

    class Meta:
        verbose_name = _("sign-in limit")
        verbose_name_plural = _("sign-in limits")
        constraints = [
            models.UniqueConstraint(fields=["purpose", "key_hash"], name="signinlimit_one_per_key"),
            models.CheckConstraint(
                condition=Q(purpose__in=LimitPurpose.values), name="signinlimit_purpose_known"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.purpose} {self.key_hash[:12]}: {self.failures}"
