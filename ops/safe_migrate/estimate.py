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
# Of indexes of other kinds; those of texts and documents depend on what stands in them.
_INDEXED_BY = {"brin": 0.1e-6, "hash": 1.0e-6, "gin": 8e-6, "gist": 5e-6, "spgist": 3e-6}

# Rows were of so many bytes; each byte more costs as well.
_USUAL = 200
_READ_BYTE = 0.5e-9
_WRITTEN_BYTE = 4e-9
_UPDATED_BYTE = 8e-9
_COPIED_BYTE_SQLITE = 3e-9

_STATEMENT_SQLITE = 0.0005
_COPIED_SQLITE = 1.4e-6  # a row copied into a table that is remade
_INDEXED_SQLITE = 0.9e-6
_UPDATED_SQLITE = 1.0e-6
_UPDATED_INDEX_SQLITE = 0.25e-6
_DELETED_INDEX_SQLITE = 1.5e-6  # a row is looked for in each index
_POINTED_SQLITE = 0.15e-6  # a row of which a foreign key is checked

# What a default calls.
_TEXT_IN_QUOTES = re.compile(r"'(?:[^']|'')*'")
_CALLED_FUNCTION = re.compile(r"(\w+)\s*\(")
_IS_VOLATILE = "SELECT count(*) > 0 FROM pg_proc WHERE provolatile = 'v' AND proname = ANY(%s)"
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


def seconds(action: Action, tables: Tables, meant: int | None = None) -> float:
    """The seconds that an action takes, the wait for its locks not counted.

    `meant` is to how many rows it is done, where its condition leaves some out.
    """
    if action.kind is Kind.HARMLESS or action.is_of_remake:
        return 0.0
    is_sqlite = connection.vendor == "sqlite"
    fixed = _STATEMENT_SQLITE if is_sqlite else _STATEMENT
    if not action.table:
        return fixed
    work = _on_sqlite if is_sqlite else _on_postgresql
    table = tables.at(action.table)
    return fixed + work(action, table, tables, meant=table.rows if meant is None else meant)


def seconds_by_python(tables: list[Table], *, is_row_by_row: bool) -> float:
    """About what a function of a migration takes that works on these tables."""
    return _STATEMENT + sum(
        table.rows * (_BY_PYTHON if is_row_by_row else _update(table)) for table in tables
    )


def seconds_of_the_check(tables: Tables) -> float:
    """What Django takes to check all foreign keys of SQLite's file, after each migration."""
    if connection.vendor != "sqlite":
        return 0.0
    return tables.pointing_rows() * _POINTED_SQLITE


def is_rewritten(action: Action, table: Table) -> bool:
    """Whether PostgreSQL writes every row of the table anew."""
    if action.kind is Kind.ADD_COLUMN and action.column:
        column = action.column
        return not column.is_virtual and (column.is_generated or _is_called_anew(column.value))
    if action.kind is Kind.ALTER_TYPE:
        known = table.columns.get(action.name)
        return known is None or _is_other_form(_plain(known.type), _plain(action.type))
    return action.kind is Kind.REWRITE


def _is_called_anew(value: str) -> bool:
    """Whether a default calls a function that says something else for every row."""
    called = _CALLED_FUNCTION.findall(_TEXT_IN_QUOTES.sub("''", value).lower())
    if not called or connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(_IS_VOLATILE, [called])
        return bool(cursor.fetchone()[0])


def _plain(said: str) -> str:
    name = said.split(" collate ")[0].strip().lower()
    return _ALIASES.get(name, name)


def _is_other_form(before: str, after: str) -> bool:
    """Whether a value of the one type is not stored as one of the other."""
    if before == after:
        return False
    old, new = characters(before), characters(after)
    if old is not None and new is not None:
        return old > new
    old_digits, new_digits = _NUMERIC.match(before), _NUMERIC.match(after)
    if old_digits and new_digits:
        has_fewer = int(old_digits[1]) > int(new_digits[1])
        return has_fewer or old_digits[2] != new_digits[2]
    return True


def characters(said: str) -> float | None:
    """How many characters a text may have; None for what is no text."""
    if match := _VARCHAR.match(said):
        return float(match[1] or math.inf)
    return math.inf if said == _TEXT else None


def _wide(table: Table, size: int) -> int:
    """The bytes of a table beyond those of rows of the usual size."""
    return max(0, size - table.rows * _USUAL)


def _read(table: Table) -> float:
    """To read all rows."""
    return table.rows * _READ + _wide(table, table.row_bytes) * _READ_BYTE


def _looked_for(table: Table, meant: int) -> float:
    """To find the rows that are meant, where it is not all of them."""
    return 0.0 if meant == table.rows else _read(table)


def _on_postgresql(action: Action, table: Table, tables: Tables, *, meant: int) -> float:
    rows = table.rows
    by_width = _wide(table, table.row_bytes) * _READ_BYTE
    match action.kind:
        case Kind.ADD_COLUMN | Kind.ALTER_TYPE | Kind.REWRITE if is_rewritten(action, table):
            indexes = sum(_index(rows, said, table) for said in table.indexes.values())
            is_called = action.column and not action.column.is_generated
            written = _wide(table, table.bytes) * _WRITTEN_BYTE
            return rows * (_WRITTEN + _CALLED * bool(is_called)) + written + indexes
        case Kind.SET_NOT_NULL if not action.is_unchecked:
            return _read(table)
        case Kind.ADD_CHECK | Kind.VALIDATE if not action.is_unchecked:
            return rows * _CHECKED + by_width
        case Kind.ADD_FOREIGN_KEY if rows and not action.is_unchecked:
            return rows * _POINTED + by_width + tables.at(action.other).rows * _READ
        case Kind.ADD_UNIQUE if not action.is_unchecked:
            return _index(rows, ", ".join(action.columns), table) + by_width
        case Kind.CREATE_INDEX:
            built = _index(meant, ", ".join(action.columns), table, method=action.type)
            once = built + by_width + _looked_for(table, meant)
            return once * _CONCURRENTLY if action.is_concurrent else once
        case Kind.UPDATE:
            return _looked_for(table, meant) + meant * _update(table)
        case Kind.DELETE:
            each = _DELETED + _POINTED * len(table.pointing)
            return _looked_for(table, meant) + meant * each
        case Kind.INSERT if action.other:
            return tables.at(action.other).rows * (_WRITTEN + _INDEXED * len(table.indexes))
        case _:
            return 0.0


def _update(table: Table) -> float:
    """To update one row, whichever of its columns."""
    if connection.vendor == "sqlite":
        return _UPDATED_SQLITE + _UPDATED_INDEX_SQLITE * len(table.indexes)
    wide = _wide(table, table.row_bytes) / max(table.rows, 1) * _UPDATED_BYTE
    return _UPDATED + _UPDATED_INDEX * len(table.indexes) + _TRIGGERED * bool(table.triggers) + wide


def _index(rows: int, said: str, table: Table, *, method: str = "") -> float:
    """Building one index; `said` names its columns."""
    if method in _INDEXED_BY:
        return rows * _INDEXED_BY[method]
    is_text = any(
        name in said and any(word in _plain(column.type) for word in _TEXTS)
        for name, column in table.columns.items()
    )
    return rows * (_INDEXED_TEXT if is_text else _INDEXED)


def _on_sqlite(action: Action, table: Table, tables: Tables, *, meant: int) -> float:
    rows = table.rows
    match action.kind:
        case Kind.REMAKE:
            return rows * _COPIED_SQLITE + _wide(table, table.bytes) * _COPIED_BYTE_SQLITE
        case Kind.CREATE_INDEX:
            return _looked_for(table, meant) + meant * _INDEXED_SQLITE
        case Kind.UPDATE:
            return _looked_for(table, meant) + meant * _update(table)
        case Kind.DELETE:
            each = _UPDATED_SQLITE + _DELETED_INDEX_SQLITE * len(table.indexes)
            return _looked_for(table, meant) + meant * each
        case Kind.DROP_COLUMN:
            return rows * _UPDATED_SQLITE
        case Kind.INSERT if action.other:
            return tables.at(action.other).rows * _COPIED_SQLITE
        case _:
            return 0.0
