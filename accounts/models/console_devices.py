"""Where people are signed in to the console."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar, Self, override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User
from ops.sensitive import Kind
from ops.service_columns import ServiceColumns
from ops.updated_at import MutableQuerySet

KNOWN_FOR = timedelta(days=180)  # without a sign-in


class ConsoleDeviceQuerySet(MutableQuerySet["ConsoleDevice"]):
    """Browsers in which people signed in to the console."""

    def live(self, now: datetime) -> Self:
        """Those that are known still: neither ended nor long unused."""
        return self.filter(ended_at=None, last_activity_at__gt=now - KNOWN_FOR)

    def of(self, person: User) -> Self:
        """The person's own."""
        return self.filter(person=person)


class ConsoleDevice(ServiceColumns):
    """A browser in which a person signed in to the console.

    The browser keeps a random token, the row its keyed hash. Several people may use one browser:
    each has a row of their own. A row that was ended stays so; the next sign-in makes a new one.
    """

    service_columns = (
        "token_hash",
        "address",
        "user_agent",
        "last_activity_at",
        "ended_at",
    )
    sensitive: ClassVar[Mapping[str, Kind]] = {
        "token_hash": Kind.SECRET,
        "address": Kind.PERSONAL,
        "user_agent": Kind.PERSONAL,
    }

    person = models.ForeignKey(
        User,
        verbose_name=_("person"),
        on_delete=models.CASCADE,
        related_name="console_devices",
        db_index=False,  # the unique constraint begins with it
    )
    token_hash = models.CharField(_("token hash"), max_length=64, db_index=True)
    address = models.GenericIPAddressField(_("address"), null=True, blank=True)
    user_agent = models.CharField(_("user agent"), max_length=255, blank=True)
    first_signed_in_at = models.DateTimeField(_("first signed in at"), default=timezone.now)
    last_activity_at = models.DateTimeField(_("last activity"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    objects: ClassVar = ConsoleDeviceQuerySet.as_manager()

    class Meta:
        verbose_name = _("console sign-in")
        verbose_name_plural = _("console sign-ins")
        permissions = [("end_consoledevice", "Can end console sign-ins")]
        constraints = [
            models.UniqueConstraint(
                fields=["person", "token_hash"], name="consoledevice_one_per_person_and_token"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.person_id} {self.address or ''} {self.user_agent}"[:80]
