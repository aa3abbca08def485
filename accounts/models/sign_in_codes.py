"""Codes that were sent by SMS."""

from collections.abc import Mapping
from typing import ClassVar, override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.sensitive import Kind, masked
from ops.service_columns import ServiceColumns


class CodePurpose(models.TextChoices):
    """What a code opens: one that was asked for there, and nothing else."""

    APP = "app", _("App")
    CONSOLE = "console", _("Console")


class SignInCode(ServiceColumns):
    """A code sent by SMS; only the newest one of a phone and purpose counts."""

    service_columns = (
        "wrong_tries",
        "used_at",
    )
    sensitive: ClassVar[Mapping[str, Kind]] = {
        "phone": Kind.MASKED,
        "code_hash": Kind.SECRET,
        "ip_address": Kind.PERSONAL,
    }

    phone = models.CharField(_("phone"), max_length=20)
    purpose = models.CharField(
        _("purpose"),
        max_length=8,
        choices=CodePurpose,
        default=CodePurpose.APP,
        db_default=CodePurpose.APP,
    )
    day = models.DateField(_("day"))
    number = models.PositiveSmallIntegerField(_("number of the day"))
    is_known = models.BooleanField(
        _("signed in before"),
        db_default=False,
        default=False,
        help_text=_("Whether somebody had signed in by this phone before."),
    )
    is_held_back = models.BooleanField(
        _("held back"),
        db_default=False,
        default=False,
        help_text=_(
            "It was never sent: few codes were used, and nobody had signed in by this phone."
        ),
    )
    code_hash = models.CharField(_("code hash"), max_length=64)
    ip_address = models.GenericIPAddressField(_("address"), null=True, blank=True)
    wrong_tries = models.PositiveSmallIntegerField(_("wrong tries"), default=0)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires at"))
    used_at = models.DateTimeField(_("used at"), null=True, blank=True)

    class Meta:
        verbose_name = _("sign-in code")
        verbose_name_plural = _("sign-in codes")
        constraints = [
            # Two requests at once want the same number: one of them was too fast.
            models.UniqueConstraint(
                fields=["phone", "day", "number"], name="signincode_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(purpose__in=CodePurpose.values), name="signincode_purpose_known"
            ),
        ]
        indexes = [
            models.Index(fields=["phone", "-created_at"], name="signincode_newest"),
            models.Index(fields=["created_at"], name="signincode_old"),
        ]

    @override
    def __str__(self) -> str:
        return f"{masked(self.phone)} {self.created_at:%Y-%m-%d %H:%M}"
