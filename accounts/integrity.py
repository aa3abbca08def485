"""What must always hold for points: balances, the ledger, its chain."""

from collections.abc import Iterator
from itertools import groupby

from django.db import connection
from django.db.models import Q

from accounts.models import GENESIS_HASH, PointsEntry, User
from ops.append_only import missing_triggers
from ops.services import integrity
from ops.services.integrity import Finding

BATCH_SIZE = 5000


def register() -> None:
    """Register the integrity check of the points ledger."""
    integrity.checks.register("points", points_add_up)


def points_add_up() -> Iterator[Finding]:
    """Recompute every person's chain and compare it with the balance."""
    for table in missing_triggers(connection, PointsEntry._meta.db_table):
        yield Finding("append-only", table, "its trigger is missing: rows could be altered")
    entries = PointsEntry.objects.order_by("user_id", "sequence").iterator(chunk_size=BATCH_SIZE)
    for person_id, chain in groupby(entries, key=lambda entry: entry.user_id):
        yield from _chain_findings(person_id, chain)
    without_entries = User.objects.filter(points_entries__isnull=True).exclude(
        Q(total_points=0) & Q(points_version=0)
    )
    for person in without_entries:
        yield Finding("balance", f"user {person.pk}", "has points but no ledger entry")


def _chain_findings(person_id: int, chain: Iterator[PointsEntry]) -> Iterator[Finding]:
    balance, previous_hash, sequence = 0, GENESIS_HASH, 0
    for entry in chain:
        name = f"entry {person_id}/{entry.sequence}"
        sequence += 1
        balance += entry.points
        if entry.sequence != sequence:
            yield Finding("sequence", name, f"number {sequence} was expected")
            sequence = entry.sequence
        if entry.balance_after != balance:
            yield Finding("balance", name, f"says {entry.balance_after}, adds up to {balance}")
            balance = entry.balance_after
        if entry.previous_hash != previous_hash:
            yield Finding("chain", name, "does not follow the entry before it")
        if entry.entry_hash != entry.computed_hash():
            yield Finding("hash", name, "was altered: its hash is not that of its fields")
        previous_hash = entry.entry_hash
    person = User.objects.get(pk=person_id)
    if (person.total_points, person.points_version, person.points_hash) != (
        balance,
        sequence,
        previous_hash,
    ):
        yield Finding(
            "balance",
            f"user {person_id}",
            f"keeps {person.total_points} points at version {person.points_version}, "
            f"the ledger says {balance} at {sequence}",
        )
