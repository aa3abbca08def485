"""The seeds that decide a person's draws."""

from collections.abc import Mapping
from typing import ClassVar, override

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.locking import LockingQuerySet
from ops.sensitive import Kind
from ops.service_columns import ServiceColumns


class SeedState(models.TextChoices):
    NEXT = "next", _("Next")
    ACTIVE = "active", _("In use")
    REVEALED = "revealed", _("Revealed")


class SeedMaker(models.TextChoices):
    CLIENT = "client", _("Client")
    SERVER = "server", _("Server")


class SeedPairQuerySet(LockingQuerySet["SeedPair"]):
    """Seed pairs, to be held while their nonces are used."""


class SeedPair(ServiceColumns):
    """The two seeds behind a run of a person's draws; the server's is secret until revealed.

    Pairs of a person come into use in the order of their ids, so that pair and nonce order all
    draws of a person without a clock.
    """

    service_columns = (
        "server_seed_encrypted",
        "client_seed",
        "client_seed_by",
        "next_nonce",
        "state",
        "activated_at",
        "revealed_at",
    )
    # The hash of the server seed is public; the client seed is a text that somebody chose.
    sensitive: ClassVar[Mapping[str, Kind]] = {
        "server_seed_encrypted": Kind.SECRET,
        "client_seed": Kind.PERSONAL,
    }

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        on_delete=models.PROTECT,
        related_name="seed_pairs",
    )
    server_seed_encrypted = models.TextField(_("encrypted server seed"), editable=False)
    server_seed_hash = models.CharField(_("hash of the server seed"), max_length=64, unique=True)
    client_seed = models.CharField(_("client seed"), max_length=64, blank=True)
    # The server until the client says otherwise: a row that names nobody claims no fairness.
    client_seed_by = models.CharField(
        _("client seed made by"),
        max_length=6,
        choices=SeedMaker,
        db_default=SeedMaker.SERVER,
        help_text=_("Made by the server, its proofs show consistency, not fairness."),
    )
    next_nonce = models.PositiveIntegerField(_("next nonce"), default=0)
    state = models.CharField(_("state"), max_length=8, choices=SeedState)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    activated_at = models.DateTimeField(_("in use since"), null=True, blank=True)
    revealed_at = models.DateTimeField(_("revealed at"), null=True, blank=True)

    objects: ClassVar = SeedPairQuerySet.as_manager()

    class Meta:
        verbose_name = _("seed pair")
        verbose_name_plural = _("seed pairs")
        constraints = [
            models.UniqueConstraint(
                fields=["person"], condition=Q(state="active"), name="seedpair_one_active"
            ),
            models.UniqueConstraint(
                fields=["person"], condition=Q(state="next"), name="seedpair_one_next"
            ),
            models.CheckConstraint(
                condition=Q(
                    state="next",
                    client_seed="",
                    next_nonce=0,
                    activated_at__isnull=True,
                    revealed_at__isnull=True,
                )
                | (
                    Q(state="active", activated_at__isnull=False, revealed_at__isnull=True)
                    & ~Q(client_seed="")
                )
                | (
                    Q(state="revealed", activated_at__isnull=False, revealed_at__isnull=False)
                    & ~Q(client_seed="")
                ),
                name="seedpair_state_fits_its_times",
            ),
            models.CheckConstraint(
                condition=Q(client_seed_by="server")
                | (Q(client_seed_by="client") & ~Q(client_seed="")),
                name="seedpair_client_seed_has_its_maker",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.server_seed_hash[:12]} {self.get_state_display()}"
