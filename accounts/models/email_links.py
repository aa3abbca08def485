"""Links by which people show that an e-mail address is theirs."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Self, override

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User, masked_email
from ops.sensitive import Kind
from ops.service_columns import ServiceColumns
from ops.updated_at import MutableQuerySet


class EmailLinkQuerySet(MutableQuerySet["EmailLink"]):
    """Links that were asked for."""

    def open(self, now: datetime) -> Self:
        """Those that still do what they are for."""
        return self.filter(closed_at=None, expires_at__gt=now)

    def to(self, address: str) -> Self:
        """Those to one mailbox, in whatever case its address is written; by the unique index."""
        return self.alias(address=Lower("email")).filter(address=address.lower())


class EmailLink(ServiceColumns):
    """That a person wants an address for theirs; opening the link in its mailbox makes it so.

    The link itself is not kept: it follows from the row and a key (`accounts.services.emails`). It
    is closed when it was used, and when the person asked for another one or for none.
    """

    service_columns = ("closed_at",)
    sensitive: ClassVar[Mapping[str, Kind]] = {"email": Kind.MASKED}

    person = models.ForeignKey(
        User, verbose_name=_("person"), on_delete=models.CASCADE, related_name="email_links"
    )
    email = models.EmailField(_("e-mail"))
    day = models.DateField(_("day"))
    number = models.PositiveSmallIntegerField(_("number of the day"))
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires at"))
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    objects: ClassVar = EmailLinkQuerySet.as_manager()

    class Meta:
        verbose_name = _("e-mail link")
        verbose_name_plural = _("e-mail links")
        constraints = [
            models.UniqueConstraint(
                fields=["person"],
                condition=Q(closed_at__isnull=True),
                name="emaillink_one_open_per_person",
            ),
            # However many people ask for one address at once, its mailbox gets so many a day.
            models.UniqueConstraint(
                Lower("email"), "day", "number", name="emaillink_one_at_a_time"
            ),
        ]
        indexes = [models.Index(fields=["created_at"], name="emaillink_old")]

    @property
    def masked_email(self) -> str:
        """The address as others may see it."""
        return masked_email(self.email)

    @override
    def __str__(self) -> str:
        return f"{self.masked_email} {self.created_at:%Y-%m-%d %H:%M}"
