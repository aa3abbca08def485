"""Deleting what is no longer kept, so many rows at a time."""

from django.db.models import Model, QuerySet

from ops.metrics import ROWS_PURGED


def purge[Row: Model](rows: QuerySet[Row], *, batch_size: int) -> int:
    """Delete rows of a query, `batch_size` at most, in its order; returns how many.

    Several machines may purge the same rows at once: each is deleted once.
    """
    batch = list(rows.values_list("pk", flat=True)[:batch_size])
    if not batch:
        return 0
    # Asked again while deleting: a row that is used anew meanwhile is kept.
    deleted, _by_model = rows.order_by().filter(pk__in=batch).delete()
    if deleted:
        ROWS_PURGED.add_on_commit(deleted, rows.model._meta.label_lower)
    return deleted
