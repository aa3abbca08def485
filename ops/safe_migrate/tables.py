"""The tables that a plan touches: what they hold now, and what becomes of them on the way."""

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import DatabaseError, connection

from ops.safe_migrate.statements import Action, Column, Kind, read, read_constraint

COUNTED_BYTES = 16 * 1024 * 1024  # tables up to this size are counted, of others the planner knows

_FACTS = """
    SELECT c.oid, pg_table_size(c.oid), pg_indexes_size(c.oid), pg_relation_size(c.oid),
           CASE WHEN c.relpages > 0 AND c.reltuples >= 0
                THEN c.reltuples / c.relpages
                     * (pg_relation_size(c.oid) / current_setting('block_size')::int) END,
           (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0)
            FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
            WHERE l.relation = c.oid AND l.granted AND l.pid <> pg_backend_pid())
    FROM pg_class c
    WHERE c.relname = %s AND c.relnamespace = current_schema()::regnamespace
          AND c.relkind IN ('r', 'p')
"""
_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
    WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped
"""
_UNCHECKED = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = %s AND NOT convalidated
"""
_POINTS = """
    SELECT a.attname, c.relname, k.condeferred FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.confrelid
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)
    WHERE k.contype = 'f' AND k.conrelid = %s
"""
_CONSTRAINTS = """
    SELECT conname, coalesce((SELECT relname FROM pg_class WHERE oid = confrelid), '')
    FROM pg_constraint WHERE conrelid = %s
"""
_INDEXES = """
    SELECT i.relname, pg_get_indexdef(x.indexrelid) FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = %s
"""
_TRIGGERS = """
    SELECT p.proname, t.tgname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = %s AND NOT t.tgisinternal
"""
_POINTING = """
    SELECT c.relname::text, bool_or(k.condeferred)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.confrelid = %s AND k.contype = 'f' GROUP BY 1 ORDER BY 1
"""
_OF_INDEX = """
    SELECT c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
    JOIN pg_class i ON i.oid = x.indexrelid
    WHERE i.relname = %s AND i.relnamespace = current_schema()::regnamespace
"""
_OF_FUNCTION = """
    SELECT DISTINCT c.relname::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_class c ON c.oid = t.tgrelid
    WHERE p.proname = %s AND c.relnamespace = current_schema()::regnamespace
"""
_OF_SQLITE = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = %s COLLATE NOCASE"
_PARTS_OF_SQLITE = """
    SELECT name, coalesce(sql, '') FROM sqlite_master
    WHERE type = %s AND tbl_name = %s COLLATE NOCASE
"""
_POINTING_ON_SQLITE = """
    SELECT m.name, count(*) FROM sqlite_master m, pragma_foreign_key_list(m.name)
    WHERE m.type = 'table' GROUP BY m.name
"""
_PAGES_ON_SQLITE = "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = %s AND aggregate = 1"
_FILLED = re.compile(r'\A"?(?P<name>[^"]+)"?\s+IS\s+NULL\Z', re.IGNORECASE)


@dataclass(slots=True)
class Table:
    """A table: figures of the database, and what the plan has done to it so far."""

    name: str  # in the database as it is now
    rows: int = 0
    is_exact: bool = True  # else about so many
    bytes: int = 0
    row_bytes: int = 0  # of those that lie in the table itself, and are read with every row
    index_bytes: int = 0
    oldest_use: float = 0.0  # seconds that somebody's transaction has used it for
    columns: dict[str, Column] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    constraints: dict[str, str] = field(default_factory=dict)  # the table that each points to
    unchecked: dict[str, Action] = field(default_factory=dict)  # those that are not valid yet
    points: dict[str, str] = field(default_factory=dict)  # the table that a column points to
    late: set[str] = field(default_factory=set)  # of these columns, checked when all is done
    is_pointed_to_late: bool = False  # whether a row may go is asked when all is done
    triggers: dict[str, str] = field(default_factory=dict)  # by name or function
    demands: tuple[Action, ...] = ()
    pointing: tuple[str, ...] = ()  # tables whose foreign keys point here

    is_new: bool = False  # the plan makes it, or nobody knows it
    is_missing: bool = False  # nobody knows it
    source: str = ""  # in SQL: its rows as they will be
    new_columns: set[str] = field(default_factory=set)
    filled: set[str] = field(default_factory=set)  # an UPDATE leaves no NULL in them
    has_changed_rows: bool = False  # in a way that cannot be foreseen


class Tables:
    """All tables of a plan, looked up as they are named."""

    def __init__(self, known: dict[str, set[str]]) -> None:
        """`known` has the tables and columns that the version that runs now works with."""
        self._known = known
        self._tables: dict[str, Table] = {}
        self._moved: dict[str, str] = {}  # where an index or function was made or moved by the plan
        self._dropped: set[str] = set()  # indexes that the plan drops
        self._may_all_have_changed = False
        self._pointing_rows: int | None = None
        self.touched: dict[str, Table] = {}

    def at(self, name: str) -> Table:
        """A table under the name that it has by now."""
        if name not in self._tables:
            facts = _on_postgresql if connection.vendor == "postgresql" else _on_sqlite
            self._tables[name] = facts(name)
            self._tables[name].has_changed_rows = self._may_all_have_changed
            for index in self._dropped:
                self._tables[name].indexes.pop(index, None)
        self.touched[name] = self._tables[name]
        return self._tables[name]

    def is_in_use(self, table: str, column: str = "") -> bool:
        """Whether the version that runs now works with this table, or this column of it."""
        known = self._known.get(self.at(table).name)
        return known is not None and (not column or column in known)

    def holding(self, action: Action) -> list[str]:
        """The tables on which an index or a function lies that PostgreSQL is told by its name."""
        if action.table:
            return [action.table]
        if action.name in self._moved:
            return [self._moved[action.name]]
        with connection.cursor() as cursor:
            is_index = action.kind is Kind.DROP_INDEX
            cursor.execute(_OF_INDEX if is_index else _OF_FUNCTION, [action.name])
            return [table for (table,) in cursor.fetchall()]

    def reached(self, name: str) -> list[str]:
        """The tables that are emptied with this one, by TRUNCATE … CASCADE."""
        found = [name]
        for one in found:  # it grows meanwhile
            found += [other for other in self.at(one).pointing if other not in found]
        return found[1:]

    def pointing_rows(self) -> int:
        """About how many rows of SQLite's file point to others, once for each foreign key."""
        if self._pointing_rows is None:
            with connection.cursor() as cursor:
                cursor.execute(_POINTING_ON_SQLITE)
                keys = cursor.fetchall()
                self._pointing_rows = 0
                for name, count in keys:
                    # The greatest number, since to count them takes as long as the check itself.
                    quoted = connection.ops.quote_name(name)
                    with suppress(DatabaseError):  # a table without numbers is small
                        cursor.execute(f"SELECT max(rowid) FROM {quoted}")  # noqa: S608
                        self._pointing_rows += count * (cursor.fetchone()[0] or 0)
        return self._pointing_rows

    def all_changed(self, names: list[str]) -> None:
        """Rows of these tables are changed in a way that cannot be foreseen; of all, if none."""
        self._may_all_have_changed |= not names
        for table in [self.at(name) for name in names] or list(self._tables.values()):
            table.has_changed_rows = True

    def differences(self, remake: Action) -> list[Action]:
        """What a table of SQLite that is remade gains and loses by it."""
        before = self.at(remake.table)
        facts: dict[str, Any] = {"table": remake.table, "is_of_remake": True}
        made = {column.name: column for column in remake.made}
        renamed = {
            column.copied.strip('"'): column.name
            for column in remake.made
            if column.name not in before.columns and column.copied.strip('"') in before.columns
        }
        found = []
        for name, column in before.columns.items():
            if name in renamed:
                other = renamed[name]
                found.append(Action(kind=Kind.RENAME_COLUMN, name=name, other=other, **facts))
            elif name not in made:
                found.append(Action(kind=Kind.DROP_COLUMN, name=name, **facts))
            elif made[name].type.lower() != column.type.lower():
                kind = Kind.ALTER_TYPE
                found.append(Action(kind=kind, name=name, type=made[name].type.lower(), **facts))
        for name, column in made.items():
            old = before.columns.get(name)
            if old is None and name not in renamed.values():
                found.append(Action(kind=Kind.ADD_COLUMN, name=name, column=column, **facts))
            elif old is not None and column.is_not_null and not old.is_not_null:
                found.append(Action(kind=Kind.SET_NOT_NULL, name=name, **facts))
        known = {_demanded(one) for one in before.demands}
        return found + [
            replace(one, is_of_remake=True) for one in remake.demands if _demanded(one) not in known
        ]

    # --- On the way -----------------------------------------------------------------------------
    def go_on(self, action: Action) -> None:
        """Let the tables be as they are after this action."""
        if action.is_of_remake:
            return  # the action itself says all
        if action.kind in {Kind.DROP_INDEX, Kind.DROP_CONSTRAINT}:
            self._drop(action.name)
        table = self.at(action.table) if action.table else None
        if table is None:
            return
        match action.kind:
            case Kind.ADD_CHECK | Kind.ADD_FOREIGN_KEY | Kind.SET_NOT_NULL if action.is_unchecked:
                name = action.other if action.kind is Kind.SET_NOT_NULL else action.name
                table.unchecked[name] = replace(action, is_unchecked=False)
            case Kind.DROP_CONSTRAINT:
                for known in (table.constraints, table.unchecked):
                    known.pop(action.name, None)
            case Kind.CREATE_TABLE:
                made = {column.name: column for column in action.made}
                self._tables[action.table] = Table(action.table, columns=made, is_new=True)
                self.at(action.table)
            case Kind.RENAME_TABLE:
                self._tables[action.other] = self._tables.pop(action.table)
                self.at(action.other)
            case Kind.REMAKE:
                self._remade(table, action)
            case Kind.ADD_COLUMN if action.column:
                self._add(table, action.column)
            case Kind.RENAME_COLUMN:
                column = replace(
                    table.columns.pop(action.name, Column(name=action.name)), name=action.other
                )
                table.columns[action.other] = column
                _select(table, f'*, "{action.name}" AS "{action.other}"')
            case Kind.ALTER_TYPE:
                column = table.columns.get(action.name, Column(name=action.name))
                table.columns[action.name] = replace(column, type=action.type)
            case Kind.CREATE_INDEX:
                table.indexes[action.name] = ", ".join(action.columns)
                self._moved[action.name] = action.table
                self._dropped.discard(action.name)
            case Kind.UPDATE:
                match = _FILLED.match(action.expression)
                if match and match["name"] == action.name:
                    table.filled.add(action.name)
                else:
                    table.has_changed_rows = True
            case Kind.INSERT | Kind.DELETE | Kind.TRUNCATE:
                table.has_changed_rows = True
            case _:
                pass

    def _drop(self, index: str) -> None:
        """Know an index no more, on whichever table it lies."""
        self._dropped.add(index)
        self._moved.pop(index, None)
        for table in self._tables.values():
            table.indexes.pop(index, None)

    def _add(self, table: Table, column: Column) -> None:
        table.columns[column.name] = column
        table.new_columns.add(column.name)
        value = column.value or "NULL"
        if connection.vendor == "postgresql":
            value = f"CAST({value} AS {column.type})"
        _select(table, f'*, {value} AS "{column.name}"')

    def _remade(self, table: Table, action: Action) -> None:
        values = [
            f'{column.copied or column.value or "NULL"} AS "{column.name}"'
            for column in action.made
        ]
        table.new_columns |= {one.name for one in action.made if one.name not in table.columns}
        _select(table, ", ".join(values))
        table.columns = {column.name: column for column in action.made}
        table.demands = action.demands


def _select(table: Table, values: str) -> None:
    if not table.is_new:
        table.source = f"(SELECT {values} FROM {table.source} AS before_it)"  # noqa: S608  # parts of the migration itself


def _demanded(action: Action) -> tuple[object, ...]:
    return action.kind, action.columns, action.expression, action.other


# --- What the database says ---------------------------------------------------------------------
def _on_postgresql(name: str) -> Table:
    with connection.cursor() as cursor:
        cursor.execute(_FACTS, [name])
        facts = cursor.fetchone()
        if facts is None:
            return Table(name, is_new=True, is_missing=True)
        oid, size, index_size, heap, about, oldest = facts
        table = Table(
            name,
            bytes=size,
            row_bytes=heap,
            index_bytes=index_size,
            oldest_use=float(oldest),
            source=connection.ops.quote_name(name),
        )
        table.is_exact = about is None or heap <= COUNTED_BYTES
        table.rows = _count(cursor, table) if table.is_exact else round(about)
        cursor.execute(_COLUMNS, [oid])
        table.columns = {
            column: Column(name=column, type=said, is_not_null=is_not_null)
            for column, said, is_not_null in cursor.fetchall()
        }
        for part, statement in (
            ("indexes", _INDEXES),
            ("constraints", _CONSTRAINTS),
            ("triggers", _TRIGGERS),
        ):
            cursor.execute(statement, [oid])
            setattr(table, part, dict(cursor.fetchall()))
        cursor.execute(_UNCHECKED, [oid])
        table.unchecked = {
            said: replace(
                read_constraint(f'CONSTRAINT "{said}" {definition}', name), is_unchecked=False
            )
            for said, definition in cursor.fetchall()
        }
        cursor.execute(_POINTS, [oid])
        for column, other, is_late in cursor.fetchall():
            table.points[column] = other
            table.late |= {column} if is_late else set()
        cursor.execute(_POINTING, [oid])
        pointing = dict(cursor.fetchall())
        table.pointing = tuple(pointing)
        table.is_pointed_to_late = any(pointing.values())
    return table


def _on_sqlite(name: str) -> Table:
    with connection.cursor() as cursor:
        cursor.execute(_OF_SQLITE, [name])
        found = cursor.fetchone()
        if found is None:
            return Table(name, is_new=True, is_missing=True)
        made, *demands = read(found[0])
        table = Table(
            name,
            columns={column.name: column for column in made.made},
            demands=tuple(demands),
            source=connection.ops.quote_name(name),
        )
        table.rows = _count(cursor, table)
        for part, kind in (("indexes", "index"), ("triggers", "trigger")):
            cursor.execute(_PARTS_OF_SQLITE, [kind, name])
            setattr(table, part, dict(cursor.fetchall()))
        table.bytes, table.index_bytes = _sizes_on_sqlite(cursor, table)
        table.row_bytes = table.bytes
    return table


def _sizes_on_sqlite(cursor: Any, table: Table) -> tuple[int, int]:
    """The bytes of its pages and of its indexes' pages; zeros where SQLite was built without."""
    sizes: dict[str, int] = {}
    with suppress(DatabaseError):
        for name in (table.name, *table.indexes):
            cursor.execute(_PAGES_ON_SQLITE, [name])
            sizes[name] = cursor.fetchone()[0]
    return sizes.pop(table.name, 0), sum(sizes.values())


def _count(cursor: Any, table: Table) -> int:
    cursor.execute(f"SELECT count(*) FROM {table.source}")  # noqa: S608  # a quoted name
    rows: int = cursor.fetchone()[0]
    return rows
