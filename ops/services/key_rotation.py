"""Replacing keys: what can be made anew under the newest key, and which older key may go."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import InvalidToken
from django.db import IntegrityError, transaction
from django.db.models import Model

from ops import security_log
from ops.services import audit, key_ring, key_uses
from ops.services.key_ring import Purpose
from ops.services.key_uses import Alive, KeyUse

BATCH_SIZE = 500


@dataclass(slots=True)
class Batch:
    """What became of some rows: how many were made anew, and the ids of those that cannot be."""

    renewed: int = 0
    unreadable: list[Any] = field(default_factory=list)
    refused: list[Any] = field(default_factory=list)


def renew(use: KeyUse, *, batch_size: int = BATCH_SIZE) -> Generator[Batch]:
    """Make the rows of a column anew under the newest key, each batch committed by itself.

    A column that nobody can make anew has none. Stopping after any batch and starting again goes
    on where it stopped. A row that changed meanwhile is left as it is. Each batch is audited, by
    the column and the number of its rows.
    """
    if use.renewal is None:
        return
    newest = key_ring.newest(use.purpose).id
    outdated = use.rows().exclude(needed_key=newest).order_by("pk")
    rows = list(outdated[:batch_size])
    renewed = 0
    try:
        while rows:
            batch = _renew(use, use.renewal, rows)
            renewed += batch.renewed
            yield batch
            rows = list(outdated.filter(pk__gt=rows[-1].pk)[:batch_size])
    finally:  # what was committed is told, wherever it stops
        if renewed:
            column = f"{use.model._meta.label}.{use.column}"
            security_log.note("keys_rotated", column=column, key_id=newest, rows=renewed)


@transaction.atomic
def _renew(use: KeyUse, renewal: Callable[[Any], dict[str, str]], rows: list[Any]) -> Batch:
    batch = Batch()
    anew = []
    for row in rows:
        try:
            anew.append((row, renewal(row)))
        except InvalidToken:
            batch.unreadable.append(row.pk)
    try:
        batch.renewed = _write(use.model, anew)
    except IntegrityError:  # one of them cannot be: the others must not wait for it
        for row, values in anew:
            try:
                batch.renewed += _write(use.model, [(row, values)])
            except IntegrityError:
                batch.refused.append(row.pk)
    if batch.renewed:
        audit.record(
            action="keys.renew",
            row=use.model,
            after={
                "purpose": use.purpose,
                "newest_key": key_ring.newest(use.purpose).id,
                "rows": batch.renewed,
            },
        )
    return batch


@transaction.atomic
def _write(model: type[Model], anew: list[tuple[Any, dict[str, str]]]) -> int:
    """Write the rows that still are what they were made anew from; returns how many."""
    written = 0
    for row, values in anew:
        as_read = {name: getattr(row, name) for name in values}
        same = model._base_manager.filter(pk=row.pk, **as_read)
        written += same.update(**values)
    return written


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a key is still needed: by rows of columns, and by what ends by itself.

    `lends_hash` says of a field key that only hashes hang on it: HASH_KEYS would do for them.
    """

    purpose: Purpose
    key_id: str
    is_newest: bool
    lends_hash: bool
    rows: dict[str, int]
    alive: dict[str, Alive]

    @property
    def may_go(self) -> bool:
        """Whether nothing hangs on the key any more."""
        return not (self.is_newest or self.rows or self.alive)


def verdicts() -> Iterator[Verdict]:
    """Look at every key of the ring, purpose by purpose and newest first.

    While the first hash key stands among the field keys alone, what needs it keeps that one.
    """
    counts = {name: use.count_by_key() for name, use in key_uses.columns.items()}
    borrowed = key_ring.borrowed_hash_key()
    for purpose in key_ring.SETTINGS:
        for key in key_ring.keys(purpose):
            if key == borrowed:
                continue
            rows, alive = _needs(counts, purpose, key.id)
            hashes: dict[str, int] = {}
            if purpose == "field" and borrowed and borrowed.secret == key.secret:
                hashes, codes = _needs(counts, "hash", borrowed.id)
                alive |= codes
            yield Verdict(
                purpose=purpose,
                key_id=key.id,
                is_newest=key == key_ring.newest(purpose),
                lends_hash=bool(hashes) and not rows,
                rows=rows | hashes,
                alive=alive,
            )


def _needs(
    counts: dict[str, dict[str, int]], purpose: Purpose, key_id: str
) -> tuple[dict[str, int], dict[str, Alive]]:
    rows = {
        name: count
        for name, by_key in counts.items()
        if key_uses.columns[name].purpose == purpose and (count := by_key.get(key_id, 0))
    }
    alive = {
        name: found
        for name, use in key_uses.passing.items()
        if use.purpose == purpose and (found := use.alive(key_id)).count
    }
    return rows, alive
