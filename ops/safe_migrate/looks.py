"""Asks the database, and only asks: how many rows break what a migration is about to demand."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

from django.db import DatabaseError, DataError, connection, transaction

from ops.safe_migrate.estimate import characters
from ops.safe_migrate.sql_text import plain
from ops.safe_migrate.statements import Action, Kind
from ops.safe_migrate.tables import Table, Tables

LOOK_SECONDS = 60  # after so long PostgreSQL gives a question up
_MEASURES = re.compile(r"numeric|double|real|decimal|integer|bigint|time|date|interval")


class Look(NamedTuple):
    """What came of a question: how many rows stand in the way, or why nobody knows."""

    breaking: int = 0
    changed: int = 0  # values that a conversion would round or cut
    error: str = ""  # it could not be asked
    refusal: str = ""  # the database itself refused what the migration will do


@contextmanager
def reading_only() -> Iterator[None]:
    """Let the database refuse whatever would change something, until the block ends."""
    is_postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        if is_postgresql:
            cursor.execute("SET default_transaction_read_only = on")
            cursor.execute(f"SET statement_timeout = '{LOOK_SECONDS}s'")
        else:
            cursor.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            if is_postgresql:
                cursor.execute("RESET default_transaction_read_only")
                cursor.execute("RESET statement_timeout")
            else:
                cursor.execute("PRAGMA query_only = OFF")


def look(action: Action, tables: Tables) -> Look | None:
    """How many rows break what this action demands; None where it demands nothing."""
    table = tables.at(action.table) if action.table else None
    if table is None or table.is_new or not table.rows:
        return None
    question = _question(meant(action, table), table, tables)
    if not question:
        return None
    found = _ask(question)
    if found == Look() and (question := _rounded(action, table)):
        return Look(changed=_ask(question).breaking)
    return found


def meant(action: Action, table: Table) -> Action:
    """The action itself, or what is demanded by the constraint that it validates."""
    if action.kind is Kind.VALIDATE:
        return table.unchecked.get(action.name, action)
    return action


def matching(action: Action, tables: Tables) -> int | None:
    """How many rows an UPDATE, a DELETE or a partial index means; None where nobody knows."""
    if action.kind not in {Kind.UPDATE, Kind.DELETE, Kind.CREATE_INDEX} or not action.expression:
        return None
    table = tables.at(action.table)
    if table.is_new or not table.rows:
        return None
    condition = action.expression
    if action.other:
        condition = f"EXISTS (SELECT 1 FROM {action.other} WHERE {condition})"  # noqa: S608
    alias = connection.ops.quote_name(action.alias or action.table)
    found = _ask(_count(table, condition, alias=alias))
    return None if found.error or found.refusal else found.breaking


def _question(action: Action, table: Table, tables: Tables) -> str:
    name = connection.ops.quote_name(action.name)
    match action.kind:
        case _ if action.is_unchecked:
            return ""
        case Kind.SET_NOT_NULL if action.name not in table.filled:
            return _count(table, f"{name} IS NULL")
        case Kind.ADD_CHECK:
            return _count(table, f"NOT ({action.expression})")
        case Kind.ADD_UNIQUE if action.columns:
            return _duplicates(action, table)
        case Kind.CREATE_INDEX if action.is_unique and action.name not in table.indexes:
            return _duplicates(action, table)
        case Kind.ADD_FOREIGN_KEY:
            return _pointing_nowhere(action, table, tables.at(action.other))
        case Kind.ALTER_TYPE if connection.vendor == "postgresql":
            length = characters(action.type)
            if length is not None and not action.expression:
                # A cast would cut it short; an ALTER TABLE without one refuses.
                return "" if math.isinf(length) else _count(table, f"length({name}) > {length:.0f}")
            # The database refuses where a value is none of the new type.
            value = action.expression or f"CAST({name} AS {action.type})"
            return _count(table, f"({value}) IS NULL AND NOT {name} IS NULL")
        case _:
            return ""


def _rounded(action: Action, table: Table) -> str:
    """Asks how many numbers and times are others, once they were of the new type."""
    known = table.columns.get(action.name)
    if action.kind is not Kind.ALTER_TYPE or known is None or not _MEASURES.match(known.type):
        return ""
    name = connection.ops.quote_name(action.name)
    value = action.expression or f"CAST({name} AS {action.type})"
    return _count(table, f"CAST({value} AS {known.type}) <> {name}")


def _count(table: Table, condition: str, *, alias: str = "looked_at") -> str:
    # What is asked stands in the migration itself, which will run.
    return f"SELECT count(*) FROM {table.source} AS {alias} WHERE {condition}"  # noqa: S608


def _duplicates(action: Action, table: Table) -> str:
    known = ["TRUE"]
    if not action.is_of_nulls:
        known = [f"({one}) IS NOT NULL" for one in action.columns]
    if action.expression:
        known.append(f"({action.expression})")
    repeated = f"{' AND '.join(known)} GROUP BY {', '.join(action.columns)} HAVING count(*) > 1"
    return f"SELECT count(*) FROM ({_count(table, repeated)}) AS twice"  # noqa: S608


def _pointing_nowhere(action: Action, table: Table, target: Table) -> str:
    (column, *_more) = action.columns
    if target.is_new:
        return _count(table, f"{column} IS NOT NULL")
    key = connection.ops.quote_name(action.expression or "id")
    there = f"SELECT 1 FROM {target.source} AS pointed_to WHERE pointed_to.{key}"  # noqa: S608
    return _count(table, f"{column} IS NOT NULL AND NOT EXISTS ({there} = looked_at.{column})")


def _ask(question: str) -> Look:
    # What fails on PostgreSQL spoils its transaction; SQLite would lock its file for one.
    apart = transaction.atomic() if connection.vendor == "postgresql" else nullcontext()
    try:
        with apart, connection.cursor() as cursor:
            cursor.execute(question)
            return Look(cursor.fetchone()[0])
    except DataError as error:
        return Look(refusal=_first_line(error))
    except DatabaseError as error:
        return Look(error=_first_line(error))


def _first_line(error: DatabaseError) -> str:
    return str(error).strip().splitlines()[0]


def columns_of(action: Action) -> set[str]:
    """The plain names among the columns of an index or a constraint."""
    return {plain(one) for one in action.columns}
