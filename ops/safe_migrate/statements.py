"""What a statement does, read from its text: Django's own statements, and those of RunSQL."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from ops.safe_migrate.sql_text import Reader, plain, split


class Kind(StrEnum):
    """What is done; its value is the word of the JSON."""

    CREATE_TABLE = "create table"
    DROP_TABLE = "drop table"
    RENAME_TABLE = "rename table"
    REMAKE = "remake table"  # of SQLite: a new table, the rows copied, under the old name
    ADD_COLUMN = "add column"
    DROP_COLUMN = "drop column"
    RENAME_COLUMN = "rename column"
    ALTER_TYPE = "alter type"
    REWRITE = "rewrite table"  # in another order, at another place, by another formula
    SET_NOT_NULL = "set not null"
    DROP_DEFAULT = "drop default"
    ALTER_QUICKLY = "alter quickly"  # defaults, names: the catalog alone
    ALTER_OPTIONS = "alter options"  # storage and statistics
    SWITCH_TRIGGER = "switch trigger"
    ADD_CHECK = "add check"
    ADD_UNIQUE = "add unique"
    ADD_FOREIGN_KEY = "add foreign key"
    VALIDATE = "validate constraint"
    DROP_CONSTRAINT = "drop constraint"
    CREATE_INDEX = "create index"
    DROP_INDEX = "drop index"
    CREATE_TRIGGER = "create trigger"
    DROP_TRIGGER = "drop trigger"
    DROP_FUNCTION = "drop function"
    UPDATE = "update"
    INSERT = "insert"
    DELETE = "delete"
    TRUNCATE = "truncate"
    COMMENT = "comment"
    LOCK = "lock table"
    CHECK_NOW = "check now"  # what waited for the end of the transaction
    HARMLESS = "harmless"  # takes no lock on a table, changes no row
    UNKNOWN = "unknown"


CHANGES_ROWS = frozenset({Kind.UPDATE, Kind.INSERT, Kind.DELETE, Kind.TRUNCATE})
# What PostgreSQL does to no table of which checks still wait.
ALTERS = frozenset(
    {
        *(Kind.DROP_TABLE, Kind.RENAME_TABLE, Kind.ADD_COLUMN, Kind.DROP_COLUMN),
        *(Kind.ALTER_TYPE, Kind.REWRITE, Kind.SET_NOT_NULL, Kind.DROP_DEFAULT),
        *(Kind.ALTER_QUICKLY, Kind.ALTER_OPTIONS, Kind.SWITCH_TRIGGER, Kind.ADD_CHECK),
        *(Kind.ADD_UNIQUE, Kind.ADD_FOREIGN_KEY, Kind.VALIDATE, Kind.DROP_CONSTRAINT),
        *(Kind.CREATE_INDEX, Kind.TRUNCATE),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as a statement makes it; values are SQL."""

    name: str
    type: str = ""
    is_not_null: bool = False
    value: str = ""  # its default, that the database keeps
    copied: str = ""  # what the rows that are there get, where that is something else
    is_generated: bool = False  # worked out, or numbered
    is_virtual: bool = False  # worked out as it is read: no row is written
    is_unique: bool = False
    check: str = ""
    references: str = ""
    referenced_column: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that a statement does to one table. What does not apply is empty."""

    kind: Kind
    table: str = ""
    name: str = ""  # of the column, the index, the constraint, the trigger
    other: str = ""  # the table that is pointed to or read; the new name
    alias: str = ""  # the name under which its table is meant in an expression
    columns: tuple[str, ...] = ()  # in SQL: names and expressions
    expression: str = ""  # of a check, of a conversion, of the rows that are meant
    type: str = ""  # of a column; the method of an index, the mode of a lock
    column: Column | None = None
    made: tuple[Column, ...] = ()  # of a table that is made
    demands: tuple["Action", ...] = ()  # of a table that is remade: its constraints
    is_unique: bool = False
    is_concurrent: bool = False
    is_unchecked: bool = False  # NOT VALID, NOT ENFORCED, USING INDEX: nothing is read
    is_of_nulls: bool = False  # NULLS NOT DISTINCT: NULL may stand once
    is_optional: bool = False  # IF EXISTS: nothing to do is no failure
    is_cascade: bool = False
    is_of_remake: bool = False  # what a table that is remade gains or loses: no work of its own


def read(statement: str) -> list[Action]:
    """What a statement does, one thing after another; never empty."""
    reader = Reader(statement)
    reading = _READING.get(reader.word().upper(), _unknown)
    return reading(reader) or [Action(kind=Kind.UNKNOWN)]


def read_column(text: str) -> Column:
    """A column from its definition."""
    return _column(Reader(text))


def fold(read_before: list[list[Action]]) -> list[list[Action]]:
    """The same, where four statements of SQLite that remake a table are one action.

    What is done by Python alone has none.

    Django makes `new__table`, copies the rows, drops `table` and gives the new one its name. The
    action stands where the rows are copied.
    """
    folded = [list(actions) for actions in read_before]
    made: dict[str, list[Action]] = {}
    for actions in folded:
        first = actions[0] if actions else Action(kind=Kind.HARMLESS)
        table = first.table.removeprefix(_NEW)
        if first.kind is Kind.CREATE_TABLE and table != first.table:
            made[table] = list(actions)
            actions[:] = [Action(kind=Kind.HARMLESS)]
        elif first.kind is Kind.INSERT and table != first.table and table in made:
            copied = {column.name: column.copied for column in first.made}
            begun, *demands = made[table]
            actions[:] = [
                Action(
                    kind=Kind.REMAKE,
                    table=table,
                    made=tuple(
                        replace(column, copied=copied.get(column.name, "")) for column in begun.made
                    ),
                    demands=tuple(replace(one, table=table) for one in demands),
                )
            ]
        elif first.kind is Kind.DROP_TABLE and table in made:
            actions[:] = [Action(kind=Kind.HARMLESS)]
        elif first.kind is Kind.RENAME_TABLE and first.other in made and table == first.other:
            del made[table]
            actions[:] = [Action(kind=Kind.HARMLESS)]
    return folded


# --- Tables -----------------------------------------------------------------------------------
_NEW = "new__"
_AFTER_TYPE = (
    *("NOT", "NULL", "DEFAULT", "REFERENCES", "UNIQUE", "PRIMARY", "CHECK", "GENERATED"),
    *("CONSTRAINT", "AS", "DEFERRABLE", "INITIALLY", "ON", "AUTOINCREMENT"),
)
_CONSTRAINTS = ("CONSTRAINT", "CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "EXCLUDE", "NOT")
_NUMBERED = {
    **dict.fromkeys(("serial", "serial4"), "integer"),
    **dict.fromkeys(("bigserial", "serial8"), "bigint"),
    **dict.fromkeys(("smallserial", "serial2"), "smallint"),
}


def _column(reader: Reader) -> Column:
    column = Column(name=reader.name(), type=reader.until(*_AFTER_TYPE))
    if numbered := _NUMBERED.get(column.type.lower()):
        column = replace(column, type=numbered, is_generated=True, is_not_null=True)
    while word := reader.word().upper():
        if word == "NOT" and reader.take("NULL"):
            column = replace(column, is_not_null=True)
        elif word == "DEFAULT":
            column = replace(column, value=reader.until(*_AFTER_TYPE))
        elif word == "REFERENCES":
            table = reader.name()
            column = replace(column, references=table, referenced_column=plain(reader.group()))
        elif word == "UNIQUE" or (word == "PRIMARY" and reader.take("KEY")):
            column = replace(column, is_unique=True)
        elif word == "CHECK":
            column = replace(column, check=reader.group())
        elif word in {"GENERATED", "AS"}:
            reader.take("ALWAYS")
            reader.take("BY", "DEFAULT")
            reader.take("AS")
            value = reader.group()
            column = replace(
                column,
                is_generated=True,
                is_virtual=bool(value) and not reader.take("STORED"),
                value=value or column.value,
            )
    return column


def _parts_of_column(table: str, column: Column) -> list[Action]:
    """The column, and what its definition demands of the rows."""
    name = f'"{column.name}"'
    actions = [Action(kind=Kind.ADD_COLUMN, table=table, name=column.name, column=column)]
    if column.is_unique:
        actions.append(Action(kind=Kind.ADD_UNIQUE, table=table, columns=(name,)))
    if column.check:
        actions.append(Action(kind=Kind.ADD_CHECK, table=table, expression=column.check))
    if column.references:
        actions.append(
            Action(
                kind=Kind.ADD_FOREIGN_KEY,
                table=table,
                columns=(name,),
                other=column.references,
                expression=column.referenced_column,
            )
        )
    return actions


def _constraint(reader: Reader, table: str) -> Action:
    name = reader.name() if reader.take("CONSTRAINT") else ""
    word = reader.word().upper()
    if word == "CHECK":
        return Action(
            kind=Kind.ADD_CHECK,
            table=table,
            name=name,
            expression=reader.group(),
            is_unchecked=_is_unchecked(reader),
        )
    if word == "NOT" and reader.take("NULL"):
        column = reader.name()
        is_unchecked = _is_unchecked(reader)
        return Action(
            kind=Kind.SET_NOT_NULL, table=table, name=column, other=name, is_unchecked=is_unchecked
        )
    if word == "FOREIGN":
        reader.take("KEY")
        columns = tuple(split(reader.group(), ","))
        reader.take("REFERENCES")
        other = reader.name()
        referenced = plain(reader.group())
        return Action(
            kind=Kind.ADD_FOREIGN_KEY,
            table=table,
            name=name,
            columns=columns,
            other=other,
            expression=referenced,
            is_unchecked=_is_unchecked(reader),
        )
    if word in {"UNIQUE", "PRIMARY"}:
        reader.take("KEY")
        is_of_nulls = reader.take("NULLS", "NOT", "DISTINCT")
        columns = tuple(split(reader.group(), ","))
        return Action(
            kind=Kind.ADD_UNIQUE,
            table=table,
            name=name,
            columns=columns,
            is_unchecked=not columns,  # USING INDEX
            is_of_nulls=is_of_nulls,
        )
    return Action(kind=Kind.UNKNOWN, table=table, name=name)


def _is_unchecked(reader: Reader) -> bool:
    """Whether the rows that are there are let be, by what is said at the end of a constraint."""
    said = " ".join(reader.until().upper().split())
    return "NOT VALID" in said or "NOT ENFORCED" in said


def read_constraint(text: str, table: str) -> Action:
    """What a constraint demands, from its definition."""
    return _constraint(Reader(text), table)


def _alter(reader: Reader) -> list[Action]:
    if not reader.take("TABLE"):
        # A sequence, an index, a type: none of them keeps a table.
        is_known = any(reader.take(word) for word in ("SEQUENCE", "INDEX"))
        return [Action(kind=Kind.HARMLESS if is_known else Kind.UNKNOWN)]
    is_optional = reader.take("IF", "EXISTS")
    reader.take("ONLY")
    table = reader.name()
    return [
        replace(action, is_optional=is_optional)
        for part in split(reader.until(), ",")
        for action in _altered(Reader(part), table)
    ]


_ELSEWHERE = ("LOGGED", "UNLOGGED", "TABLESPACE", "ACCESS")


def _altered(reader: Reader, table: str) -> list[Action]:
    word = reader.word().upper()
    if word == "ADD":
        if any(reader.next_is(one) for one in _CONSTRAINTS):
            return [_constraint(reader, table)]
        reader.take("COLUMN")
        reader.take("IF", "NOT", "EXISTS")
        return _parts_of_column(table, _column(reader))
    if word == "DROP":
        kind = Kind.DROP_CONSTRAINT if reader.take("CONSTRAINT") else Kind.DROP_COLUMN
        reader.take("COLUMN")
        reader.take("IF", "EXISTS")
        return [Action(kind=kind, table=table, name=reader.name())]
    if word == "RENAME":
        if reader.take("TO"):
            return [Action(kind=Kind.RENAME_TABLE, table=table, other=reader.name())]
        kind = Kind.ALTER_QUICKLY if reader.take("CONSTRAINT") else Kind.RENAME_COLUMN
        reader.take("COLUMN")
        name = reader.name()
        reader.take("TO")
        return [Action(kind=kind, table=table, name=name, other=reader.name())]
    if word == "ALTER":
        reader.take("COLUMN")
        return [_altered_column(reader, table)]
    if word == "VALIDATE":
        reader.take("CONSTRAINT")
        return [Action(kind=Kind.VALIDATE, table=table, name=reader.name())]
    if word in {"ENABLE", "DISABLE"} and reader.take("TRIGGER"):
        return [Action(kind=Kind.SWITCH_TRIGGER, table=table, name=reader.name())]
    if word == "SET" and any(reader.next_is(one) for one in _ELSEWHERE):
        return [Action(kind=Kind.REWRITE, table=table)]
    if word in {"SET", "RESET"} and reader.group():
        return [Action(kind=Kind.ALTER_OPTIONS, table=table)]
    return [Action(kind=Kind.UNKNOWN, table=table)]


def _altered_column(reader: Reader, table: str) -> Action:
    name = reader.name()
    reader.take("SET", "DATA")
    if reader.take("TYPE"):
        said = reader.until("USING")
        reader.take("USING")
        using = reader.until()
        return Action(
            kind=Kind.ALTER_TYPE, table=table, name=name, type=said.lower(), expression=using
        )
    if reader.take("SET", "NOT", "NULL"):
        return Action(kind=Kind.SET_NOT_NULL, table=table, name=name)
    if reader.take("SET", "EXPRESSION"):
        return Action(kind=Kind.REWRITE, table=table, name=name)
    if reader.take("SET", "STATISTICS"):
        return Action(kind=Kind.ALTER_OPTIONS, table=table)
    kind = Kind.DROP_DEFAULT if reader.take("DROP", "DEFAULT") else Kind.ALTER_QUICKLY
    return Action(kind=kind, table=table, name=name)


# --- What is made and dropped -------------------------------------------------------------------
def _create(reader: Reader) -> list[Action]:
    reader.take("OR", "REPLACE")
    is_unique = reader.take("UNIQUE")
    if reader.take("INDEX"):
        return [_index(reader, is_unique=is_unique)]
    for word in ("TEMP", "TEMPORARY", "UNLOGGED"):
        reader.take(word)
    if reader.take("TABLE"):
        return _create_table(reader)
    if reader.take("TRIGGER") or reader.take("CONSTRAINT", "TRIGGER"):
        name = reader.name()
        reader.until("ON")
        reader.take("ON")
        return [Action(kind=Kind.CREATE_TRIGGER, table=reader.name(), name=name)]
    is_known = reader.word().upper() in {"FUNCTION", "SEQUENCE", "EXTENSION", "TYPE", "VIEW"}
    return [Action(kind=Kind.HARMLESS if is_known else Kind.UNKNOWN)]


def _index(reader: Reader, *, is_unique: bool) -> Action:
    is_concurrent = reader.take("CONCURRENTLY")
    reader.take("IF", "NOT", "EXISTS")
    name = "" if reader.next_is("ON") else reader.name()
    reader.take("ON")
    reader.take("ONLY")
    table = reader.name()
    method = reader.word().lower() if reader.take("USING") else ""
    columns = tuple(_bare(one) for one in split(reader.group(), ","))
    between = " ".join(reader.until("WHERE").upper().split())
    reader.take("WHERE")
    return Action(
        kind=Kind.CREATE_INDEX,
        table=table,
        name=name,
        columns=columns,
        expression=reader.until(),
        type=method,
        is_unique=is_unique,
        is_of_nulls="NULLS NOT DISTINCT" in between,
        is_concurrent=is_concurrent,
    )


def _bare(column: str) -> str:
    """The column or expression of an index, without its order and operator class."""
    reader = Reader(column)
    first = reader.word()
    group = reader.group()
    return f"{first}({group})" if group else first


def _create_table(reader: Reader) -> list[Action]:
    reader.take("IF", "NOT", "EXISTS")
    table = reader.name()
    made, constraints = [], []
    for part in split(reader.group(), ","):
        if any(Reader(part).next_is(one) for one in _CONSTRAINTS):
            constraints.append(_constraint(Reader(part), table))
        else:
            made.append(read_column(part))
    actions = [Action(kind=Kind.CREATE_TABLE, table=table, made=tuple(made))]
    for column in made:
        actions += _parts_of_column(table, column)[1:]
    return actions + constraints


def _drop(reader: Reader) -> list[Action]:
    word = reader.word().upper()
    kind = {
        "TABLE": Kind.DROP_TABLE,
        "INDEX": Kind.DROP_INDEX,
        "TRIGGER": Kind.DROP_TRIGGER,
        "FUNCTION": Kind.DROP_FUNCTION,
        "SEQUENCE": Kind.HARMLESS,
        "VIEW": Kind.HARMLESS,
    }.get(word, Kind.UNKNOWN)
    is_concurrent = reader.take("CONCURRENTLY")
    is_optional = reader.take("IF", "EXISTS")
    names = [Reader(one).name() for one in split(reader.until("ON", "CASCADE", "RESTRICT"), ",")]
    table = reader.name() if reader.take("ON") else ""
    is_cascade = "CASCADE" in reader.until().upper()
    return [
        Action(
            kind=kind,
            table=name if kind is Kind.DROP_TABLE else table,
            name=name,
            is_concurrent=is_concurrent,
            is_cascade=is_cascade,
            is_optional=is_optional,
        )
        for name in names
    ]


# --- Rows -------------------------------------------------------------------------------------
def _alias(said: str) -> str:
    """Under which name a table is meant in the rest of a statement."""
    reader = Reader(said)
    reader.take("AS")
    return reader.name()


def _others(reader: Reader) -> str:
    """The tables that are read beside the one that is changed."""
    if not (reader.take("FROM") or reader.take("USING")):
        reader.until("WHERE")
    others = reader.until("WHERE")
    reader.take("WHERE")
    return others


def _changed(said: str) -> list[str]:
    """The columns that `a = 1` or `(a, b) = (1, 2)` changes."""
    reader = Reader(said)
    several = reader.group()
    return [plain(one) for one in split(several, ",")] if several else [reader.name()]


def _update(reader: Reader) -> list[Action]:
    reader.take("ONLY")
    table = reader.name()
    alias = _alias(reader.until("SET"))
    reader.take("SET")
    values = split(reader.until("FROM", "WHERE"), ",")
    others = _others(reader)
    return [
        Action(
            kind=Kind.UPDATE,
            table=table,
            name=Reader(values[0]).name() if values else "",
            columns=tuple(name for one in values for name in _changed(one)),
            other=others,
            alias=alias,
            expression=reader.until(),
        )
    ]


def _insert(reader: Reader) -> list[Action]:
    reader.until("INTO")
    reader.take("INTO")
    table = reader.name()
    names = tuple(plain(one) for one in split(reader.group(), ","))
    if not reader.take("SELECT"):
        return [Action(kind=Kind.INSERT, table=table)]
    values = split(reader.until("FROM"), ",")
    reader.take("FROM")
    made = tuple(
        Column(name=name, copied=value) for name, value in zip(names, values, strict=False)
    )
    return [Action(kind=Kind.INSERT, table=table, other=reader.name(), made=made)]


def _delete(reader: Reader) -> list[Action]:
    reader.take("FROM")
    reader.take("ONLY")
    table = reader.name()
    alias = _alias(reader.until("USING", "WHERE"))
    others = _others(reader)
    return [
        Action(kind=Kind.DELETE, table=table, other=others, alias=alias, expression=reader.until())
    ]


def _truncate(reader: Reader) -> list[Action]:
    reader.take("TABLE")
    reader.take("ONLY")
    names = split(reader.until("RESTART", "CONTINUE", "CASCADE", "RESTRICT"), ",")
    is_cascade = "CASCADE" in reader.until().upper()
    return [
        Action(kind=Kind.TRUNCATE, table=Reader(name).name(), is_cascade=is_cascade)
        for name in names
    ]


# --- The rest -----------------------------------------------------------------------------------
def _lock(reader: Reader) -> list[Action]:
    reader.take("TABLE")
    reader.take("ONLY")
    names = split(reader.until("IN", "NOWAIT"), ",")
    mode = reader.until("MODE", "NOWAIT").upper().removeprefix("IN").strip()
    mode = mode or "ACCESS EXCLUSIVE"
    return [Action(kind=Kind.LOCK, table=Reader(one).name(), type=mode) for one in names]


def _cluster(reader: Reader) -> list[Action]:
    return [Action(kind=Kind.REWRITE, table=reader.name())]


def _vacuum(reader: Reader) -> list[Action]:
    """Which changes no table, unless it is FULL."""
    is_full = "FULL" in reader.group().upper() or reader.take("FULL")
    if not is_full:
        return []
    for word in ("FREEZE", "VERBOSE", "ANALYZE"):
        reader.take(word)
    return [Action(kind=Kind.REWRITE, table=reader.name())]


def _set(reader: Reader) -> list[Action]:
    is_check = reader.take("CONSTRAINTS", "ALL", "IMMEDIATE")
    return [Action(kind=Kind.CHECK_NOW if is_check else Kind.HARMLESS)]


def _comment(reader: Reader) -> list[Action]:
    reader.take("ON")
    of_column = reader.take("COLUMN")
    if not of_column and not reader.take("TABLE"):
        return [Action(kind=Kind.HARMLESS)]
    names = reader.until("IS").split(".")
    return [Action(kind=Kind.COMMENT, table=plain(names[-2 if of_column else -1]))]


def _harmless(_reader: Reader) -> list[Action]:
    return [Action(kind=Kind.HARMLESS)]


def _unknown(_reader: Reader) -> list[Action]:
    return []


_READING: dict[str, Callable[[Reader], list[Action]]] = {
    "ALTER": _alter,
    "CREATE": _create,
    "DROP": _drop,
    "UPDATE": _update,
    "INSERT": _insert,
    "DELETE": _delete,
    "TRUNCATE": _truncate,
    "COMMENT": _comment,
    "LOCK": _lock,
    "CLUSTER": _cluster,
    "VACUUM": _vacuum,
    "SET": _set,
    **dict.fromkeys(("PRAGMA", "BEGIN", "COMMIT", "SELECT", "ANALYZE"), _harmless),
}
