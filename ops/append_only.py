"""A migration operation for ledgers: the database itself refuses everything but INSERT.

Also says which tables are guarded no more, since who has the database's password can switch a
trigger off, replace its function or let it fire on replicas alone.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, override

from django.utils.translation import gettext as _

from ops.change_marks import marking_named
from ops.table_triggers import TableTriggers

# --- The triggers, word for word ---------------------------------------------------------------
_FUNCTION_BODY = """
BEGIN
    RAISE EXCEPTION '{table} is append-only' USING ERRCODE = 'restrict_violation';
END
"""
_FUNCTION = (
    "CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql "
    "AS $$" + _FUNCTION_BODY + "$$"
)
_TRIGGER = (
    "CREATE TRIGGER {{table}}_{name} BEFORE {events} ON {{table}} "
    "FOR EACH {each} EXECUTE FUNCTION {{table}}_append_only()"
)
_POSTGRESQL = [
    _FUNCTION,
    _TRIGGER.format(name="append_only", events="UPDATE OR DELETE", each="ROW"),
    _TRIGGER.format(name="no_truncate", events="TRUNCATE", each="STATEMENT"),
]
_SQLITE_TRIGGERS = {
    f"{{table}}_no_{event.lower()}": f"CREATE TRIGGER {{table}}_no_{event.lower()} "
    f"BEFORE {event} ON {{table}} BEGIN SELECT RAISE(ABORT, '{{table}} is append-only'); END"
    for event in ("UPDATE", "DELETE")
}


class AppendOnly(TableTriggers):
    """Refuse UPDATE, DELETE and TRUNCATE on a model's table, on PostgreSQL and SQLite.

    To alter a table SQLite builds it anew, and its triggers go with the old one. So every later
    migration that alters the table ends with this operation again, written by hand; a test holds
    it, and check_integrity tells when a trigger is missing.
    """

    on_postgresql = _POSTGRESQL
    off_postgresql = ("DROP FUNCTION IF EXISTS {table}_append_only() CASCADE",)
    on_sqlite = _SQLITE_TRIGGERS.values()
    off_sqlite = tuple(f"DROP TRIGGER IF EXISTS {name}" for name in _SQLITE_TRIGGERS)

    @override
    def describe(self) -> str:
        return f"Refuse everything but INSERT on {self.model_name}"

    @property
    @override
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_append_only"


class Writable(AppendOnly):
    """Lift what `AppendOnly` put there before, for a migration that alters the table.

    The migration begins with this and ends with `AppendOnly`, so that going back it leaves the
    table guarded as well.
    """

    @override
    def database_forwards(self, *arguments: Any) -> None:
        AppendOnly.database_backwards(self, *arguments)

    @override
    def database_backwards(self, *arguments: Any) -> None:
        AppendOnly.database_forwards(self, *arguments)

    @override
    def describe(self) -> str:
        return f"Let {self.model_name} be altered"

    @property
    @override
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_writable"


# --- Whether they still stand ------------------------------------------------------------------
class Unguarded(NamedTuple):
    """A table that is not guarded as its migration left it, and why."""

    table: str
    problem: str


def unguarded(connection: Any, *tables: str) -> Iterator[Unguarded]:
    """Compare what guards these tables with the text it was made of."""
    guards = _guards_on_postgresql if connection.vendor == "postgresql" else _guards_on_sqlite
    for table in tables:
        due, found = guards(connection, table)
        # Marks of changes may stand beside the guards: as they were made, and not in other words.
        due |= marking_named(connection.vendor, table, found)
        for name in sorted({*due, *found}):
            if name not in found:
                problem = _("trigger %(name)s is missing: rows could be altered")
            elif name not in due:
                problem = _("%(name)s is not the platform's: it could alter or hide rows")
            elif due[name] != found[name]:
                problem = _("trigger %(name)s was altered: rows could be altered")
            else:
                continue
            yield Unguarded(table, problem % {"name": name})


type _Guards = dict[str, Any]

# What of pg_trigger.tgtype says when a trigger fires (PostgreSQL, catalog/pg_trigger.h).
_ROW, _BEFORE, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 8, 16, 32
# Foreign keys are triggers too, and switched off by `DISABLE TRIGGER ALL`; those that stand as
# PostgreSQL made them are of no interest. A rule could swallow a statement before any trigger.
_FOUND_ON_POSTGRESQL = """
    SELECT t.tgname, t.tgenabled, t.tgtype, t.tgqual IS NOT NULL OR t.tgattr <> '', p.prosrc
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = %s::regclass AND NOT (t.tgisinternal AND t.tgenabled = 'O')
    UNION ALL
    SELECT rulename, ev_enabled, 0, false, '' FROM pg_rewrite WHERE ev_class = %s::regclass
    UNION ALL
    SELECT inhrelid::regclass::text::name, 'O', 0, false, '' FROM pg_inherits
    WHERE inhparent = %s::regclass
    UNION ALL
    SELECT 'row level security', 'O', 0, false, '' FROM pg_class
    WHERE oid = %s::regclass AND (relrowsecurity OR relforcerowsecurity)
    UNION ALL
    SELECT 'session_replication_role', 'O', 0, false, ''
    WHERE current_setting('session_replication_role') <> 'origin' OR EXISTS (
        SELECT FROM pg_db_role_setting
        WHERE array_to_string(setconfig, ' ') LIKE '%%session_replication_role%%'
    )
"""


def _guards_on_postgresql(connection: Any, table: str) -> tuple[_Guards, _Guards]:
    body = _FUNCTION_BODY.format(table=table)
    due = {
        f"{table}_append_only": ("O", _ROW | _BEFORE | _UPDATE | _DELETE, False, body),
        f"{table}_no_truncate": ("O", _BEFORE | _TRUNCATE, False, body),
    }
    with connection.cursor() as cursor:
        cursor.execute(_FOUND_ON_POSTGRESQL, [table] * 4)
        return due, {name: tuple(guard) for name, *guard in cursor.fetchall()}


def _guards_on_sqlite(connection: Any, table: str) -> tuple[_Guards, _Guards]:
    due = {
        name.format(table=table): text.format(table=table)
        for name, text in _SQLITE_TRIGGERS.items()
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [table]
        )
        return due, dict(cursor.fetchall())
