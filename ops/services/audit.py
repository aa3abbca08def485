"""Who changed what, when, from where, before and after: written by the service that changes it.

In the same transaction, and last in it: whoever acts is locked after everything else, people and
their points included. Two requests of one person wait for each other there and nowhere crosswise.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Literal

from django.core.exceptions import FieldDoesNotExist
from django.db import connection, transaction
from django.db.models import Model
from django.db.transaction import TransactionManagementError
from django.utils import timezone

from ops import request_context, sensitive
from ops.metrics import CHANGES
from ops.models import AuditActor, AuditEntry
from ops.tally import Account, Tally, write_heads

type Values = Mapping[str, Any]

ACTORS = Account(model=AuditActor, version="entries", head="head")


class NobodyActs(Exception):
    """A change by nobody: a stranger's request reached a service that only staff may call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change to one row.

    `action` names what was done, such as "receipt.approve". `row` is a model instead where several
    rows are concerned, or none of its own. `before` and `after` are values by the name of their
    column; of these, what is alike is left out. `shop_id` is the shop that may read of it.
    """

    action: str
    row: Model | type[Model]
    before: Values = field(default_factory=dict)
    after: Values = field(default_factory=dict)
    reason: str = ""
    shop_id: int | None = None


def record(
    *,
    action: str,
    row: Model | type[Model],
    before: Values | None = None,
    after: Values | None = None,
    reason: str = "",
    shop_id: int | None = None,
    actor_id: int | None = None,
) -> AuditEntry:
    """Write one entry; see `Change` for the facts, and `record_all` for all else."""
    change = Change(
        action=action,
        row=row,
        before=before or {},
        after=after or {},
        reason=reason,
        shop_id=shop_id,
    )
    return record_all([change], actor_id=actor_id)[0]


def record_all(changes: Iterable[Change], *, actor_id: int | None = None) -> list[AuditEntry]:
    """Write an entry for each change, all of one actor, in one statement; none for no change.

    The actor is the person `actor_id` where a service knows its author, else who acts in the
    request or the command at hand. Locks the actor until commit: to be called last, inside of the
    transaction that made the changes. Raises TransactionManagementError outside of one, and
    NobodyActs for a stranger.
    """
    if not connection.in_atomic_block:
        raise TransactionManagementError("An audit entry belongs into the transaction it tells of.")
    changes = list(changes)
    if not changes:
        return []
    shops = {change.shop_id for change in changes}
    if len(shops) == 1:
        request_context.at_shop(*shops)
    acting = request_context.actor()
    actor = _lock_actor(
        {"system_user": acting.system_user}
        if actor_id is None and acting.system_user
        else {"person_id": acting.person_id if actor_id is None else actor_id}
    )
    now = timezone.now()
    entries: list[AuditEntry] = []
    tally = Tally(actor, ACTORS)
    for change in changes:
        entry = _entry(change)
        entry.chain = actor
        entry.actor_id, entry.system_user = actor.person_id, actor.system_user
        entry.address, entry.request_id = acting.address, acting.request_id
        entry.created_at = now
        tally.chain(entry)
        entries.append(entry)
    AuditEntry.objects.bulk_create(entries)
    write_heads(ACTORS, [tally])
    transaction.on_commit(partial(_count, [entry.action for entry in entries]), robust=True)
    return entries


def _count(actions: Iterable[str]) -> None:
    for action in actions:
        CHANGES.add(1, action)


def _lock_actor(who: dict[str, Any]) -> AuditActor:
    """Hold the head of an actor until commit; the first entry makes the row."""
    if not any(who.values()):
        raise NobodyActs
    while True:
        for actor in AuditActor.objects.filter(**who).locked():
            return actor
        AuditActor.objects.bulk_create([AuditActor(**who)], ignore_conflicts=True)


def _entry(change: Change) -> AuditEntry:
    # By `_meta`: the person of a request is a lazy object of another class.
    model = change.row._meta.model
    before, after = changed(change.before, change.after)
    return AuditEntry(
        action=change.action,
        object_type=model._meta.label_lower,
        object_id=_object_id(change),
        shop_id=change.shop_id,
        before=_as_json(model, before),
        after=_as_json(model, after),
        reason=change.reason,
    )


def _object_id(change: Change) -> str:
    if isinstance(change.row, type):
        return ""
    # A row that was deleted has forgotten its id; what was known of it before has not.
    pk = change.row.pk or change.before.get(change.row._meta.pk.name, "")
    return str(pk)


def _as_json(model: type[Model], values: Values) -> str:
    """The canonical JSON of what may be told of these values."""
    told = {name: _told(model, name, value) for name, value in values.items()}
    return json.dumps(
        told, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain
    )


def _told(model: type[Model], name: str, value: Any) -> Any:
    """What may be told: of a column what its model says, and a fact that is no column as it is."""
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return value
    return sensitive.told(model, name, value)


def _plain(value: Any) -> str:
    """A value that JSON does not know: times in UTC, all else as its text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value.isoformat() if isinstance(value, date) else str(value)


# --- Rows of forms --------------------------------------------------------------------------------
# What tells nothing to whoever reads of a change: when the row was written, and heads of chains.
BOOKKEEPING = ("updated_at", "points_hash", "stock_hash", "previous_hash", "entry_hash")


def values_of(row: Model) -> dict[str, Any]:
    """What a row says, by the name of its column: rows it points to by their ids.

    Also which rows it is linked with, such as the groups of a person, by their sorted ids; a query
    each. To be asked before a form writes, with the row as it is read from the database, and after
    everything of it is written.
    """
    values = {
        column.name: column.value_from_object(row)
        for column in row._meta.concrete_fields
        if not column.generated and column.name not in BOOKKEEPING
    }
    if row.pk is not None:
        for link in row._meta.many_to_many:
            values[link.name] = sorted(getattr(row, link.name).values_list("pk", flat=True))
    return values


def changed(before: Values, after: Values) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of both what is not alike, and what only one of them has."""
    alike = {name for name, value in before.items() if name in after and after[name] == value}
    return (
        {name: value for name, value in before.items() if name not in alike},
        {name: value for name, value in after.items() if name not in alike},
    )


def form_change(
    *,
    action: Literal["add", "change", "delete"],
    row: Model,
    before: Values | None = None,
    after: Values | None = None,
    reason: str = "",
    shop_id: int | None = None,
) -> Change:
    """What a form did to a row, named after its model: "product.change".

    `before` and `after` are what `values_of` said; nothing for a row that is new, or gone.
    """
    return Change(
        action=f"{row._meta.model_name}.{action}",
        row=row,
        before=before or {},
        after=after or {},
        reason=reason,
        shop_id=shop_id,
    )


def record_forms(changes: Iterable[Change], *, actor_id: int | None = None) -> list[AuditEntry]:
    """Write what a form did to its row and to those in it; of a row that stayed as it was nothing.

    Raises what `record_all` raises.
    """
    real = [change for change in changes if any(changed(change.before, change.after))]
    return record_all(real, actor_id=actor_id)


def record_form(
    *,
    action: Literal["add", "change", "delete"],
    row: Model,
    before: Values | None = None,
    after: Values | None = None,
    reason: str = "",
    shop_id: int | None = None,
    actor_id: int | None = None,
) -> AuditEntry | None:
    """The same for a form of one row; None when it stayed as it was."""
    change = form_change(
        action=action, row=row, before=before, after=after, reason=reason, shop_id=shop_id
    )
    written = record_forms([change], actor_id=actor_id)
    return written[0] if written else None
