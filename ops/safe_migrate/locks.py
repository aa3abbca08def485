"""Which locks an action takes, on which tables, and whom they hold up.

From PostgreSQL's pages on ALTER TABLE, CREATE INDEX, CREATE TRIGGER and explicit locking; a test
runs each kind of statement and compares with pg_locks. SQLite has one lock, of the whole file.
"""

from enum import IntEnum
from typing import NamedTuple

from django.db import connection

from ops.safe_migrate.statements import Action, Kind
from ops.safe_migrate.tables import Tables

WHOLE_FILE = "*"  # in place of a table


class Mode(IntEnum):
    """Lock modes of PostgreSQL, the strongest last; for SQLite that of whoever writes."""

    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7  # that of SQLite's file: others read
    ACCESS_EXCLUSIVE = 8

    @property
    def words(self) -> str:
        """As PostgreSQL writes it."""
        return self.name.replace("_", " ")

    @property
    def holds_up_writers(self) -> bool:
        """Whether nobody can write meanwhile."""
        return self >= Mode.SHARE

    @property
    def holds_up_readers(self) -> bool:
        """Whether nobody can even read meanwhile."""
        return self is Mode.ACCESS_EXCLUSIVE


class Lock(NamedTuple):
    """A lock on a table."""

    table: str
    mode: Mode


_ON_THE_TABLE = {
    Kind.DROP_TABLE: Mode.ACCESS_EXCLUSIVE,
    Kind.RENAME_TABLE: Mode.ACCESS_EXCLUSIVE,
    Kind.ADD_COLUMN: Mode.ACCESS_EXCLUSIVE,
    Kind.DROP_COLUMN: Mode.ACCESS_EXCLUSIVE,
    Kind.RENAME_COLUMN: Mode.ACCESS_EXCLUSIVE,
    Kind.ALTER_TYPE: Mode.ACCESS_EXCLUSIVE,
    Kind.REWRITE: Mode.ACCESS_EXCLUSIVE,
    Kind.SET_NOT_NULL: Mode.ACCESS_EXCLUSIVE,
    Kind.DROP_DEFAULT: Mode.ACCESS_EXCLUSIVE,
    Kind.ALTER_QUICKLY: Mode.ACCESS_EXCLUSIVE,
    Kind.ALTER_OPTIONS: Mode.SHARE_UPDATE_EXCLUSIVE,
    Kind.SWITCH_TRIGGER: Mode.SHARE_ROW_EXCLUSIVE,
    Kind.ADD_CHECK: Mode.ACCESS_EXCLUSIVE,
    Kind.ADD_UNIQUE: Mode.ACCESS_EXCLUSIVE,
    Kind.ADD_FOREIGN_KEY: Mode.SHARE_ROW_EXCLUSIVE,
    Kind.VALIDATE: Mode.SHARE_UPDATE_EXCLUSIVE,
    Kind.DROP_CONSTRAINT: Mode.ACCESS_EXCLUSIVE,
    Kind.CREATE_INDEX: Mode.SHARE,
    Kind.DROP_INDEX: Mode.ACCESS_EXCLUSIVE,
    Kind.CREATE_TRIGGER: Mode.SHARE_ROW_EXCLUSIVE,
    Kind.DROP_TRIGGER: Mode.ACCESS_EXCLUSIVE,
    Kind.DROP_FUNCTION: Mode.ACCESS_EXCLUSIVE,  # of the triggers that go with it
    Kind.TRUNCATE: Mode.ACCESS_EXCLUSIVE,
    Kind.COMMENT: Mode.SHARE_UPDATE_EXCLUSIVE,
    Kind.UPDATE: Mode.ROW_EXCLUSIVE,
    Kind.INSERT: Mode.ROW_EXCLUSIVE,
    Kind.DELETE: Mode.ROW_EXCLUSIVE,
    Kind.UNKNOWN: Mode.ACCESS_EXCLUSIVE,  # of an ALTER TABLE that is not known here
}
# Those name no table where they stand.
_LIE_ON_A_TABLE = {Kind.DROP_INDEX, Kind.DROP_TRIGGER, Kind.DROP_FUNCTION}


def locks(action: Action, tables: Tables) -> list[Lock]:
    """The locks that an action takes; none on a table that the plan itself makes."""
    if connection.vendor == "sqlite":
        is_quiet = action.kind is Kind.HARMLESS or action.is_of_remake
        return [] if is_quiet else [Lock(WHOLE_FILE, Mode.EXCLUSIVE)]
    return [lock for lock in _taken(action, tables) if not tables.at(lock.table).is_new]


def _taken(action: Action, tables: Tables) -> list[Lock]:
    mode = _ON_THE_TABLE.get(action.kind)
    if action.kind is Kind.LOCK:
        mode = next((one for one in Mode if one.words == action.type), None)
    if mode is None:
        return []
    if action.is_concurrent:
        mode = Mode.SHARE_UPDATE_EXCLUSIVE
    if action.kind in _LIE_ON_A_TABLE:
        return [Lock(table, mode) for table in tables.holding(action)]
    if not action.table:
        return []
    taken = [Lock(action.table, mode)]
    if action.kind is Kind.ADD_FOREIGN_KEY:
        taken.append(Lock(action.other, mode))
    elif action.kind is Kind.DROP_CONSTRAINT:
        if other := tables.at(action.table).constraints.get(action.name):
            taken.append(Lock(other, mode))
    elif action.kind in {Kind.DROP_COLUMN, Kind.ALTER_TYPE}:
        # Its foreign key goes, or is made again.
        if other := tables.at(action.table).points.get(action.name):
            taken.append(Lock(other, mode))
    elif action.kind is Kind.TRUNCATE and action.is_cascade:
        taken += [Lock(other, mode) for other in tables.reached(action.table)]
    elif action.kind is Kind.DROP_TABLE:
        table = tables.at(action.table)
        others = {*table.constraints.values(), *table.pointing} - {"", action.table}
        taken += [Lock(other, mode) for other in sorted(others)]
    return taken
