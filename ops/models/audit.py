"""What staff, merchants and commands changed: one chain of entries for each who acts."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, override

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ops.chain import GENESIS_HASH, ChainedEntry
from ops.locking import LockingQuerySet
from ops.sensitive import Kind
from ops.updated_at import Mutable


class AuditActorQuerySet(LockingQuerySet["AuditActor"]):
    """Those who act, to be held while an entry of theirs is written."""


class AuditActor(Mutable):
    """Who acts, and the head of their entries: a person, or whoever runs a command on a machine."""

    person_id = models.BigIntegerField(_("person"), null=True, blank=True, unique=True)
    system_user = models.TextField(
        _("system user"), blank=True, help_text=_("Of a command: name and host.")
    )
    entries = models.PositiveBigIntegerField(
        _("entries"), default=0, help_text=_("The number of the newest one.")
    )
    head = models.CharField(_("hash"), max_length=64, default=GENESIS_HASH)

    objects: ClassVar = AuditActorQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit actor")
        verbose_name_plural = _("audit actors")
        constraints = [
            models.CheckConstraint(
                condition=Q(person_id__isnull=False, system_user="")
                | (Q(person_id__isnull=True) & ~Q(system_user="")),
                name="auditactor_person_or_system_user",
            ),
            models.UniqueConstraint(
                fields=["system_user"],
                condition=~Q(system_user=""),
                name="auditactor_one_system_user",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.system_user or f"#{self.person_id}"


class AuditEntry(ChainedEntry):
    """One change to one row. Append-only: triggers refuse everything but INSERT.

    Who acted stands in the row, under its hash: whoever gives the chain to somebody else is found
    out. No erasure reaches it, so what is declared sensitive stands here masked or as a keyed hash.
    The object and its shop are named by bare ids: an entry outlives the row.
    """

    hashed_fields = (
        "chain_id",
        "actor_id",
        "system_user",
        "sequence",
        "action",
        "object_type",
        "object_id",
        "shop_id",
        "before",
        "after",
        "reason",
        "address",
        "request_id",
        "created_at",
        "previous_hash",
    )

    sensitive: ClassVar[Mapping[str, Kind]] = {"address": Kind.PERSONAL}

    chain = models.ForeignKey(
        AuditActor, verbose_name=_("chain"), on_delete=models.PROTECT, related_name="+"
    )
    actor_id = models.BigIntegerField(
        _("person"), null=True, blank=True, db_index=True, help_text=_("Who acted.")
    )
    system_user = models.TextField(
        _("system user"), blank=True, help_text=_("Of a command: name and host.")
    )
    action = models.CharField(_("action"), max_length=64)
    object_type = models.CharField(_("kind of object"), max_length=64)
    object_id = models.CharField(
        _("object"), max_length=64, blank=True, help_text=_("Empty: several, or none of its own.")
    )
    shop_id = models.BigIntegerField(_("shop"), null=True, blank=True)
    before = models.TextField(_("before"), help_text=_("Of the columns that changed, as JSON."))
    after = models.TextField(_("after"), help_text=_("Of the columns that changed, as JSON."))
    reason = models.TextField(_("reason"), blank=True)
    address = models.CharField(_("address"), max_length=64, blank=True)
    request_id = models.CharField(_("request id"), max_length=128, blank=True)
    created_at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        constraints = [
            models.UniqueConstraint(fields=["chain", "sequence"], name="auditentry_one_sequence"),
        ]
        indexes = [
            models.Index(fields=["object_type", "object_id", "-id"], name="auditentry_of_object"),
            models.Index(fields=["shop_id", "-created_at"], name="auditentry_of_shop"),
            models.Index(fields=["-created_at"], name="auditentry_newest"),
            models.Index(fields=["request_id"], name="auditentry_of_request"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.action} {self.object_name}"

    @property
    def actor_name(self) -> str:
        """Who acted, as commands name it: #12, or name@host."""
        return self.system_user or f"#{self.actor_id}"

    @property
    def object_name(self) -> str:
        """The object as commands name it: catalog.order:12."""
        return f"{self.object_type}:{self.object_id}" if self.object_id else self.object_type

    @property
    def changes(self) -> list[tuple[str, Any, Any]]:
        """What changed, column by column: name, before, after; None where there was nothing."""
        before, after = _columns(self.before), _columns(self.after)
        return [(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]


def _columns(text: str) -> dict[str, Any]:
    """The columns of a JSON object; of anything else, which somebody forged, its text."""
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    return values if isinstance(values, dict) else {"": text}
