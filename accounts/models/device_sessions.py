"""Where people are signed in."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Self, override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User
from ops.sensitive import Kind
from ops.service_columns import ServiceColumns
from ops.updated_at import MutableQuerySet


class DeviceSessionQuerySet(MutableQuerySet["DeviceSession"]):
    """Sign-ins, to be asked for."""

    def live(self, now: datetime) -> Self:
        """Those that are neither ended nor over: their tokens are good."""
        return self.filter(revoked_at__isnull=True, expires_at__gt=now)


class DeviceSession(ServiceColumns):
    """One sign-in on one device: the family of its refresh tokens.

    The tokens themselves are not kept. `generation` counts the rotations and `rotated_at` dates
    the newest, which is enough to sign the same pair again when its answer was lost on the way,
    under the token key that `key_id` names.
    """

    service_columns = (
        "generation",
        "key_id",
        "rotated_at",
        "last_activity_at",
        "expires_at",
        "revoked_at",
        "takes_unnamed",
    )
    sensitive: ClassVar[Mapping[str, Kind]] = {
        "device_info": Kind.PERSONAL,
        "ip_address": Kind.PERSONAL,
        "user_agent": Kind.PERSONAL,
    }

    user = models.ForeignKey(
        User, verbose_name=_("person"), on_delete=models.CASCADE, related_name="sessions"
    )
    generation = models.PositiveIntegerField(_("generation"), default=0)
    rotated_at = models.DateTimeField(_("rotated at"))
    key_id = models.CharField(_("key id"), max_length=16, db_default="", editable=False)
    # Its tokens may name no issuer and no audience. Every row of the version before has it, also of
    # those that it writes while it is being replaced: the database says so by itself.
    takes_unnamed = models.BooleanField(
        _("tokens without an issuer"), default=False, db_default=True, editable=False
    )
    device_info = models.JSONField(_("device"), null=True, blank=True)
    ip_address = models.GenericIPAddressField(_("address"), null=True, blank=True)
    user_agent = models.CharField(_("user agent"), max_length=255, blank=True)
    created_at = models.DateTimeField(_("signed in at"), default=timezone.now)
    last_activity_at = models.DateTimeField(_("last activity"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires at"))
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, db_index=True)

    objects: ClassVar = DeviceSessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        permissions = [("end_devicesession", _("Can end sign-ins"))]
        indexes = [
            models.Index(
                fields=["user"], condition=Q(revoked_at__isnull=True), name="devicesession_live"
            ),
            models.Index(fields=["expires_at"], name="devicesession_expired"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.user_id} {self.device_info or self.user_agent}"[:80]
