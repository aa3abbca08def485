"""About how long an action takes, from what a table holds.

The rates were measured by `bench/migration_estimates.py` at 1,000,000 rows of 120 bytes, on
2 cores of x86-64 with a local disk, PostgreSQL 18.6 with its own settings and SQLite 3.40 in a file
(November 2026). Other machines differ by a factor of two or three; what a dry run measured takes
their place.
"""

import math
import re

from django.db import connection

from ops.safe_migrate.statements import Action, Kind
from ops.safe_migrate.tables import Table, Tables

# --- Seconds for a row, unless they say otherwise -------------------------------------------------
_STATEMENT = 0.001  # of any statement: parsing, the catalog, the log
_READ = 0.08e-6  # a row looked at
_CHECKED = 0.09e-6  # a row put to a CHECK
_POINTED = 0.12e-6  # a row whose foreign key is looked up by a join
_WRITTEN = 0.9e-6  # a row written anew with its table
_CALLED = 2.0e-6  # more, where a function is called for each
_UPDATED = 4.0e-6  # a row updated, its old version kept
_UPDATED_INDEX = 1.5e-6  # more for each index
_DELETED = 1.0e-6
_INDEXED = 0.25e-6  # a row sorted into an index of numbers
_INDEXED_TEXT = 0.75e-6
_CONCURRENTLY = 1.6  # times as long
_TRIGGERED = 1.5e-6  # a row for which a trigger fires
_BY_PYTHON = 350e-6  # a row that Python reads, changes and saves

_STATEMENT_SQLITE = 0.0005
_COPIED_SQLITE = 1.4e-6  # a row copied into a table that is remade
_INDEXED_SQLITE = 0.9e-6
_UPDATED_SQLITE = 1.0e-6
_UPDATED_INDEX_SQLITE = 0.25e-6

# What a default calls, if it is not the same for all rows.
_SAME_FOR_ALL = re.compile(
    r"\A(?:now\(\)|statement_timestamp\(\)|transaction_timestamp\(\)|current_\w+|localtime\w*|"
    r"\(?(?:'(?:[^']|'')*'|-?[\d.]+|true|false|null)\)?(?:\s*::[\w\s()\[\]]+)?)\Z",
    re.IGNORECASE,
)
_VARCHAR = re.compile(r"(?:character varying|varchar)(?:\((\d+)\))?\Z")
_NUMERIC = re.compile(r"numeric\((\d+), ?(\d+)\)\Z")
_TEXT = "text"
_ALIASES = {
    "int": "integer",
    "int4": "integer",
    "int8": "bigint",
    "int2": "smallint",
    "bool": "boolean",
    "timestamptz": "timestamp with time zone",
    "double": "double precision",
}
_TEXTS = ("text", "char", "uuid", "json", "varying")


def seconds(action: Action, tables: Tables) -> float:
    """The seconds that an action takes, the wait for its locks not counted."""
    if action.kind is Kind.HARMLESS or action.is_of_remake:
        return 0.0
    is_sqlite = connection.vendor == "sqlite"
    fixed = _STATEMENT_SQLITE if is_sqlite else _STATEMENT
    if not action.table:
        return fixed
    work = _on_sqlite if is_sqlite else _on_postgresql
    return fixed + work(action, tables.at(action.table), tables)


def seconds_by_python(tables: list[Table], *, is_row_by_row: bool) -> float:
    """About what a function of a migration takes that works on these tables."""
    return _STATEMENT + sum(
        table.rows * (_BY_PYTHON if is_row_by_row else _update(table)) for table in tables
    )


def is_rewritten(action: Action, table: Table) -> bool:
    """Whether PostgreSQL writes every row of the table anew."""
    if action.kind is Kind.ADD_COLUMN and action.column:
        column = action.column
        return column.is_generated or bool(
            column.value and not _SAME_FOR_ALL.match(column.value.strip())
        )
    if action.kind is Kind.ALTER_TYPE:
        known = table.columns.get(action.name)
        return known is None or _is_other_form(_plain(known.type), _plain(action.type))
    return False


def _plain(said: str) -> str:
    name = said.split(" collate ")[0].strip().lower()
    return _ALIASES.get(name, name)


def _is_other_form(before: str, after: str) -> bool:
    """Whether a value of the one type is not stored as one of the other."""
    if before == after:
        return False
    old, new = _characters(before), _characters(after)
    if old is not None and new is not None:
        return old > new
    old_digits, new_digits = _NUMERIC.match(before), _NUMERIC.match(after)
    if old_digits and new_digits:
        has_fewer = int(old_digits[1]) > int(new_digits[1])
        return has_fewer or old_digits[2] != new_digits[2]
    return True


def _characters(said: str) -> float | None:
    """How many characters a text may have; None for what is no text."""
    if match := _VARCHAR.match(said):
        return float(match[1] or math.inf)
    return math.inf if said == _TEXT else None


def _on_postgresql(action: Action, table: Table, tables: Tables) -> float:
    rows = table.rows
    match action.kind:
        case Kind.ADD_COLUMN | Kind.ALTER_TYPE if is_rewritten(action, table):
            indexes = sum(_index(rows, said, table) for said in table.indexes.values())
            is_called = action.column and not action.column.is_generated
            return rows * (_WRITTEN + _CALLED * bool(is_called)) + indexes
        case Kind.SET_NOT_NULL:
            return rows * _READ
        case Kind.ADD_CHECK | Kind.VALIDATE if not action.is_unchecked:
            return rows * _CHECKED
        case Kind.ADD_FOREIGN_KEY if not action.is_unchecked:
            return rows * _POINTED + tables.at(action.other).rows * _READ
        case Kind.ADD_UNIQUE if not action.is_unchecked:
            return _index(rows, ", ".join(action.columns), table)
        case Kind.CREATE_INDEX:
            once = _index(rows, ", ".join(action.columns), table)
            return once * _CONCURRENTLY if action.is_concurrent else once
        case Kind.UPDATE:
            return rows * _update(table)
        case Kind.DELETE:
            return rows * (_DELETED + _POINTED * len(table.pointing))
        case Kind.INSERT if action.other:
            return tables.at(action.other).rows * (_WRITTEN + _INDEXED * len(table.indexes))
        case _:
            return 0.0


def _update(table: Table) -> float:
    """To update one row, whichever of its columns."""
    if connection.vendor == "sqlite":
        return _UPDATED_SQLITE + _UPDATED_INDEX_SQLITE * len(table.indexes)
    return _UPDATED + _UPDATED_INDEX * len(table.indexes) + _TRIGGERED * bool(table.triggers)


def _index(rows: int, said: str, table: Table) -> float:
    """Building one index; `said` names its columns."""
    is_text = any(
        name in said and any(word in _plain(column.type) for word in _TEXTS)
        for name, column in table.columns.items()
    )
    return rows * (_INDEXED_TEXT if is_text else _INDEXED)


def _on_sqlite(action: Action, table: Table, tables: Tables) -> float:
    rows = table.rows
    match action.kind:
        case Kind.REMAKE:
            return rows * _COPIED_SQLITE
        case Kind.CREATE_INDEX:
            return rows * _INDEXED_SQLITE
        case Kind.UPDATE:
            return rows * _update(table)
        case Kind.DELETE | Kind.DROP_COLUMN:
            return rows * _UPDATED_SQLITE
        case Kind.INSERT if action.other:
            return tables.at(action.other).rows * _COPIED_SQLITE
        case _:
            return 0.0
