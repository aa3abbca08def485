"""Columns that services write and no form writes back."""

from collections.abc import Iterable
from typing import Any, ClassVar, override

from ops.updated_at import Mutable


class ServiceColumns(Mutable):
    """A model some of whose columns only services write.

    Whoever reads a row, shows it and saves it (a form of the console, `changepassword`, a library)
    would write back every column as it was: a sale, a draw or a ban of the meantime is undone, and
    a ledger no longer fits its balance. So a save that names no fields leaves `service_columns` as
    they stand in the database; services name what they write, or use UPDATE.
    """

    service_columns: ClassVar[tuple[str, ...]] = ()

    class Meta(Mutable.Meta):
        abstract = True

    @override
    def save(self, **options: Any) -> None:
        """Save a new row whole, and of an existing one what is no service's."""
        is_new = self._state.adding or options.get("force_insert")
        if not is_new and options.get("update_fields") is None:
            options["update_fields"] = list(self._own_columns())
        super().save(**options)

    def _own_columns(self) -> Iterable[str]:
        deferred = self.get_deferred_fields()
        for field in self._meta.concrete_fields:
            is_written = not (field.primary_key or field.generated or field.attname in deferred)
            if is_written and field.name not in self.service_columns:
                yield field.name
