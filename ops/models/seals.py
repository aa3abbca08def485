"""Seals of all ledgers."""

from typing import override

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ops.chain import ChainedEntry


class LedgerSeal(ChainedEntry):
    """What all ledgers came to at one moment, signed with a key that is not in the database.

    Append-only: triggers refuse everything but INSERT. Seals follow each other as entries do. The
    heads behind the root are in the seal's file; see `ops.services.seals`.
    """

    hashed_fields = (
        "sequence",
        "date",
        "root",
        "changes",
        "accounts",
        "entries",
        "sealed_at",
        "key_id",
        "previous_hash",
    )

    date = models.DateField(_("date"), unique=True)
    root = models.CharField(
        _("root"), max_length=64, help_text=_("Merkle root over the heads of all accounts.")
    )
    changes = models.CharField(
        _("changes"),
        max_length=64,
        help_text=_("Merkle root over the heads that changed since the seal before: its file."),
    )
    accounts = models.PositiveBigIntegerField(_("accounts"))
    entries = models.PositiveBigIntegerField(_("entries"))
    sealed_at = models.DateTimeField(_("sealed at"))
    key_id = models.CharField(pgettext_lazy("of signing", "key"), max_length=12)
    signature = models.CharField(
        _("signature"), max_length=128, help_text=_("Ed25519, of the hash in hex.")
    )

    class Meta:
        verbose_name = _("ledger seal")
        verbose_name_plural = _("ledger seals")
        constraints = [
            models.UniqueConstraint(fields=["sequence"], name="ledgerseal_one_sequence"),
        ]

    @override
    def __str__(self) -> str:
        return str(self.date)
