"""A migration operation for tables that public answers are made of: each change leaves a mark.

What a process keeps in memory is as good as its last look at the marks (`ops.services.freshness`).
Nothing of a mark moves before its transaction commits, and no two transactions write one row: on
PostgreSQL each inserts a row of its own, under its transaction's number. SQLite has one writer at a
time, and one row for each topic.
"""

from collections.abc import Iterable
from typing import Any, override

from ops.table_triggers import TableTriggers

# --- The triggers, word for word ---------------------------------------------------------------
_NAME = "{table}_marks_{topic}"
_FUNCTION_BODY = """
BEGIN
    INSERT INTO ops_changemark (topic, number)
    VALUES ('{topic}', pg_current_xact_id()::text::bigint) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
"""
_FUNCTION = (
    "CREATE OR REPLACE FUNCTION {table}_marks_{topic}() RETURNS trigger LANGUAGE plpgsql "
    "AS $$" + _FUNCTION_BODY + "$$"
)
_TRIGGER = (
    "CREATE TRIGGER {table}_marks_{topic} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION {table}_marks_{topic}()"
)
# A random number, not the next one: after an older file was put back, no number is there again.
_SQLITE_ACTION = (
    "BEGIN INSERT INTO ops_changemark (topic, number) SELECT '{topic}', 0 "
    "WHERE NOT EXISTS (SELECT 1 FROM ops_changemark WHERE topic = '{topic}'); "
    "UPDATE ops_changemark SET number = random() & 9223372036854775807, "
    "updated_at = STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW') WHERE topic = '{topic}'; END"
)
_SQLITE_TRIGGERS = {
    f"{_NAME}_{event.lower()}": f"CREATE TRIGGER {_NAME}_{event.lower()} AFTER {event} "
    "ON {table} " + _SQLITE_ACTION
    for event in ("INSERT", "UPDATE", "DELETE")
}


class MarksChanges(TableTriggers):
    """Mark every change of a model's table for its topic, on PostgreSQL and SQLite.

    A topic is a short word, such as catalog: what was kept of it is asked for anew after a mark.

    To alter a table SQLite builds it anew, and its triggers go with the old one. So every later
    migration that alters the table ends with this operation again, written by hand; a test holds
    it. One that alters the table of the marks takes the triggers off all others before.
    """

    on_postgresql = (_FUNCTION, _TRIGGER)
    off_postgresql = ("DROP FUNCTION IF EXISTS {table}_marks_{topic}() CASCADE",)
    on_sqlite = _SQLITE_TRIGGERS.values()
    off_sqlite = tuple(f"DROP TRIGGER IF EXISTS {name}" for name in _SQLITE_TRIGGERS)

    def __init__(self, model_name: str, topic: str) -> None:
        super().__init__(model_name)
        self.topic = topic

    @override
    def words(self) -> dict[str, str]:
        return {"topic": self.topic}

    @override
    def describe(self) -> str:
        return f"Mark changes of {self.model_name} for {self.topic}"

    @property
    @override
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_marks_{self.topic}"


# --- Whether they still stand ------------------------------------------------------------------
# What of pg_trigger.tgtype says when a trigger fires: after a statement of any of the four kinds.
_INSERT, _DELETE, _UPDATE, _TRUNCATE = 4, 8, 16, 32
_EVERY_STATEMENT = _INSERT | _DELETE | _UPDATE | _TRUNCATE
_FOUND_ON_POSTGRESQL = """
    SELECT t.tgname, t.tgenabled, t.tgtype, t.tgqual IS NOT NULL OR t.tgattr <> '', p.prosrc
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = %s::regclass AND NOT t.tgisinternal
"""
_FOUND_ON_SQLITE = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s"


def marking(vendor: str, table: str, topic: str) -> dict[str, Any]:
    """The triggers by which a table marks changes for a topic, as pg_trigger or SQLite has them."""
    names = {"table": table, "topic": topic}
    if vendor == "postgresql":
        body = _FUNCTION_BODY.format(**names)
        return {_NAME.format(**names): ("O", _EVERY_STATEMENT, False, body)}
    return {name.format(**names): text.format(**names) for name, text in _SQLITE_TRIGGERS.items()}


def marking_named(vendor: str, table: str, found: Iterable[str]) -> dict[str, Any]:
    """Those of `marking` that triggers of these names ought to be, whatever their topic."""
    beginning = _NAME.format(table=table, topic="")
    topics = {
        name.removeprefix(beginning).partition("_")[0]
        for name in found
        if name.startswith(beginning)
    }
    return {
        name: said
        for topic in topics
        for name, said in marking(vendor, table, topic).items()
        if name in found
    }


def unmarked(connection: Any, table: str, topic: str) -> list[str]:
    """The names of the triggers of a topic that a table has not, or not as they were made."""
    is_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute(_FOUND_ON_POSTGRESQL if is_postgresql else _FOUND_ON_SQLITE, [table])
        rows = cursor.fetchall()
    found = {name: tuple(rest) if is_postgresql else rest[0] for name, *rest in rows}
    due = marking(connection.vendor, table, topic)
    return sorted(name for name, said in due.items() if found.get(name) != said)
