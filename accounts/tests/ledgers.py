"""The ledger seen from outside: its hash recomputed, its rows damaged."""

import hashlib
from contextlib import contextmanager
from datetime import UTC

from django.db import connection

from accounts.models import PointsEntry
from tests.ledgers import without_triggers

TABLE = PointsEntry._meta.db_table


def quoted(text):
    """A JSON string, by hand."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(letter, letter) for letter in text) + '"'


def hash_by_the_words_of_the_specification(entry):
    """The rule of the hash, written down a second time without the code under test."""
    moment = entry.created_at.astimezone(UTC)
    created_at = moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{moment.microsecond:06d}+00:00"
    canonical = (
        "{"
        f'"balance_after":{entry.balance_after},'
        f'"created_at":{quoted(created_at)},'
        f'"points":{entry.points},'
        f'"previous_hash":{quoted(entry.previous_hash)},'
        f'"related_id":{quoted(entry.related_id)},'
        f'"sequence":{entry.sequence},'
        f'"source":{quoted(entry.source)},'
        f'"user_id":{entry.user_id}'
        "}"
    )
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


@contextmanager
def unguarded():
    """The ledger without its triggers and checks."""
    with without_triggers(PointsEntry) as cursor:
        if connection.vendor == "postgresql":
            yield cursor
            return
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        try:
            yield cursor
        finally:
            cursor.execute("PRAGMA ignore_check_constraints = OFF")
