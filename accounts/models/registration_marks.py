"""Who had their welcome points."""

from collections.abc import Mapping
from typing import ClassVar, override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User
from ops.sensitive import Kind


class RegistrationMark(models.Model):
    """That a phone or openid had its welcome points: a keyed hash, kept for ever.

    Append-only: triggers refuse everything but INSERT. Erasing a person leaves it, and it says
    nothing that they are known by.
    """

    sensitive: ClassVar[Mapping[str, Kind]] = {"key_hash": Kind.SECRET, "proof": Kind.SECRET}

    key_hash = models.CharField(_("key hash"), max_length=64, unique=True)
    key_id = models.CharField(_("key id"), max_length=16, db_default="", editable=False)
    person = models.ForeignKey(
        User,
        verbose_name=_("person"),
        null=True,
        on_delete=models.PROTECT,
        related_name="registration_marks",
    )
    points = models.PositiveBigIntegerField(_("points"), default=0)
    proof = models.CharField(
        _("proof"),
        max_length=64,
        blank=True,
        help_text=_("Keyed; it says that the platform gave these points to this person."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("registration mark")
        verbose_name_plural = _("registration marks")

    @override
    def __str__(self) -> str:
        return self.key_hash[:12]
