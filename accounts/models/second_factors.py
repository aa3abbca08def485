"""The second factor of the console: what an app on a phone counts codes from, and spare codes."""

from collections.abc import Mapping
from typing import ClassVar, Self, override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models.people import User
from ops.sensitive import Kind
from ops.updated_at import Mutable, MutableQuerySet


class SecondFactorQuerySet(MutableQuerySet["SecondFactor"]):
    """Second factors, each of one person."""

    def of(self, person: User) -> Self:
        """The person's own, if they have one."""
        return self.filter(person=person)


class SecondFactor(Mutable):
    """That a person's sign-ins to the console ask for a code of their phone as well (RFC 6238).

    There is one as soon as a first code proved that the phone has the secret. A new one is another
    row, so that sessions which know of the one before are asked again.
    """

    sensitive: ClassVar[Mapping[str, Kind]] = {"secret_encrypted": Kind.SECRET}

    person = models.OneToOneField(
        User, verbose_name=_("person"), on_delete=models.CASCADE, related_name="second_factor"
    )
    secret_encrypted = models.TextField(_("encrypted secret"), editable=False)
    last_step = models.PositiveBigIntegerField(
        _("last step"),
        editable=False,
        help_text=_("The newest half minute whose code was taken: no code is taken twice."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    objects: ClassVar = SecondFactorQuerySet.as_manager()

    class Meta:
        verbose_name = _("second factor")
        verbose_name_plural = _("second factors")

    @override
    def __str__(self) -> str:
        return f"#{self.person_id}"


class RecoveryCodeQuerySet(MutableQuerySet["RecoveryCode"]):
    """Recovery codes, used and unused."""

    def unused(self) -> Self:
        """Those that are good still."""
        return self.filter(used_at=None)


class RecoveryCode(Mutable):
    """A code that stands in for the phone, once: its keyed hash."""

    sensitive: ClassVar[Mapping[str, Kind]] = {"code_hash": Kind.SECRET}

    factor = models.ForeignKey(
        SecondFactor,
        verbose_name=_("second factor"),
        on_delete=models.CASCADE,
        related_name="recovery_codes",
        db_index=False,  # the unique constraint begins with it
    )
    code_hash = models.CharField(_("code hash"), max_length=64, editable=False)
    key_id = models.CharField(_("key id"), max_length=16, editable=False)
    used_at = models.DateTimeField(_("used at"), null=True, blank=True)

    objects: ClassVar = RecoveryCodeQuerySet.as_manager()

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        constraints = [
            models.UniqueConstraint(
                fields=["factor", "code_hash"], name="recoverycode_once_per_factor"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"#{self.factor_id} {self.code_hash[:12]}"
