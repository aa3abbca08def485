"""A migration operation that puts triggers on a model's table, and takes them off again."""

from collections.abc import Iterable
from typing import Any, ClassVar, override

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState


class TableTriggers(Operation):
    """Put these triggers on, in place of those of the same names, on PostgreSQL and SQLite.

    The statements are texts with `{table}` in them, and what else `words` says.
    """

    reduces_to_sql = True
    reversible = True

    on_postgresql: ClassVar[Iterable[str]]
    off_postgresql: ClassVar[Iterable[str]]
    on_sqlite: ClassVar[Iterable[str]]
    off_sqlite: ClassVar[Iterable[str]]

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    def words(self) -> dict[str, str]:
        """What the statements say beside the table."""
        return {}

    def put_on(self, app_label: str, schema_editor: Any, state: ProjectState) -> None:
        """Put the triggers on as they are due, whatever stood there under their names."""
        self.take_off(app_label, schema_editor, state)
        is_postgresql = schema_editor.connection.vendor == "postgresql"
        statements = self.on_postgresql if is_postgresql else self.on_sqlite
        self._execute(statements, schema_editor, table=self._table(app_label, state))

    def take_off(self, app_label: str, schema_editor: Any, state: ProjectState) -> None:
        """Take the triggers off, those of them that are there."""
        is_postgresql = schema_editor.connection.vendor == "postgresql"
        statements = self.off_postgresql if is_postgresql else self.off_sqlite
        self._execute(statements, schema_editor, table=self._table(app_label, state))

    def _table(self, app_label: str, state: ProjectState) -> str:
        table: str = state.apps.get_model(app_label, self.model_name)._meta.db_table
        return table

    def _execute(self, statements: Iterable[str], schema_editor: Any, *, table: str) -> None:
        for statement in statements:
            schema_editor.execute(statement.format(table=table, **self.words()), params=None)

    @override
    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Triggers are no part of the models' state."""

    @override
    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self.put_on(app_label, schema_editor, to_state)

    @override
    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self.take_off(app_label, schema_editor, to_state)
