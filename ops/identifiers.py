"""Ids as clients send them. There is one way to say that nothing has this id: None."""

from uuid import UUID

from django.db.models import Model, QuerySet

MAX_ID = 2**63 - 1


def read_identifier(text: str) -> int | None:
    """Read an id out of a path or a query; None when it cannot be one."""
    if text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= MAX_ID:
        return int(text)
    return None


def find[Row: Model](rows: QuerySet[Row], pk: int | UUID | None) -> Row | None:
    """The row with this id among these rows; None when there is none, and for the id None."""
    return None if pk is None else rows.filter(pk=pk).first()
