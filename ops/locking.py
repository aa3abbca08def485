"""The one way to hold rows, so that no two places hold them in another order."""

from typing import Any, Self

from django.db.models import Model, QuerySet

from ops.updated_at import MutableQuerySet


def locked[Rows: QuerySet[Any]](rows: Rows) -> Rows:
    """Hold these rows until commit: in pk order always, without blocking foreign-key inserts.

    Only an evaluated queryset locks anything. SQLite has one writer at a time instead.
    """
    return rows.order_by("pk").select_for_update(of=("self",), no_key=True)


class LockingQuerySet[M: Model](MutableQuerySet[M]):
    """Rows that services hold while they change them."""

    def locked(self) -> Self:
        """Hold these rows until commit, as everybody does; see the function above."""
        return locked(self)
