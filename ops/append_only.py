"""A migration operation for ledgers: the database itself refuses UPDATE and DELETE."""

from typing import Any, override

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

_POSTGRESQL = """
CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{table} is append-only' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION {table}_append_only();
"""
_POSTGRESQL_REVERSE = "DROP FUNCTION IF EXISTS {table}_append_only() CASCADE;"
_SQLITE = [
    f"CREATE TRIGGER {{table}}_no_{event.lower()} BEFORE {event} ON {{table}} "
    "BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    for event in ("UPDATE", "DELETE")
]


class AppendOnly(Operation):
    """Refuse UPDATE and DELETE on a model's table with a trigger, on PostgreSQL and SQLite.

    makemigrations alone drops the SQLite trigger: to alter a table SQLite builds it anew, and the
    trigger goes with the old one. So a later migration that alters the table has to end with this
    operation again, written by hand. check_integrity tells when a trigger is missing.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    @override
    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Triggers are no part of the models' state."""

    def _table(self, app_label: str, state: ProjectState) -> str:
        table: str = state.apps.get_model(app_label, self.model_name)._meta.db_table
        return table

    @override
    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        self.database_backwards(app_label, schema_editor, from_state, to_state)
        table = self._table(app_label, to_state)
        statements = [_POSTGRESQL] if _is_postgresql(schema_editor) else _SQLITE
        for statement in statements:
            schema_editor.execute(statement.format(table=table), params=None)

    @override
    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        table = self._table(app_label, to_state)
        if _is_postgresql(schema_editor):
            schema_editor.execute(_POSTGRESQL_REVERSE.format(table=table), params=None)
        else:
            for event in ("update", "delete"):
                schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_no_{event}", params=None)

    @override
    def describe(self) -> str:
        return f"Refuse UPDATE and DELETE on {self.model_name}"

    @property
    @override
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_append_only"


def _is_postgresql(schema_editor: Any) -> bool:
    return bool(schema_editor.connection.vendor == "postgresql")


def missing_triggers(connection: Any, *tables: str) -> list[str]:
    """Name those of the tables whose append-only trigger is not in the database."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # tgenabled: a trigger that was switched off guards nothing.
            cursor.execute(
                "SELECT tgrelid::regclass::text FROM pg_trigger "
                "WHERE tgname LIKE '%_append_only' AND tgenabled <> 'D'"
            )
            guarded = {row[0] for row in cursor.fetchall()}
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            names = {row[0] for row in cursor.fetchall()}
            guarded = {
                table for table in tables if {f"{table}_no_update", f"{table}_no_delete"} <= names
            }
    return [table for table in tables if table not in guarded]
