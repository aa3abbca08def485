"""The statements that make what a schema is missing, as the migrations would have made it."""

from collections.abc import Iterator

from django.db import connection

from ops.diagnosis.schema import Schema, Table

_quoted = connection.ops.quote_name


def make_table(name: str, schema: Schema) -> tuple[str, ...]:
    """A whole table: columns, constraints, indexes, functions and triggers; foreign keys last."""
    made = schema.tables[name]
    if connection.vendor == "sqlite":
        return (made.sql, *made.indexes.values(), *made.triggers.values())
    keys = {key: said for key, said in made.constraints.items() if _is_foreign_key(said)}
    others = {key: said for key, said in made.constraints.items() if key not in keys}
    lines = [f"    {_quoted(column)} {said}" for column, said in made.columns.items()]
    lines += [f"    CONSTRAINT {_quoted(key)} {said}" for key, said in others.items()]
    body = ",\n".join(lines)
    return (
        f"CREATE TABLE {_quoted(name)} (\n{body}\n)",
        *made.indexes.values(),
        *_functions(made, schema),
        *made.triggers.values(),
        *(make_constraint(name, key, said) for key, said in keys.items()),
    )


def make_column(table: str, name: str, said: str) -> str:
    """A column. Rows that are there get its default, or nothing: NOT NULL may refuse them."""
    return f"ALTER TABLE {_quoted(table)} ADD COLUMN {_quoted(name)} {said}"


def make_constraint(table: str, name: str, said: str) -> str:
    """A constraint, under which the rows that are there have to fall."""
    return f"ALTER TABLE {_quoted(table)} ADD CONSTRAINT {_quoted(name)} {said}"


def make_index(said: str) -> str:
    """An index, which on PostgreSQL holds up nobody who writes.

    One that is unique does: made beside their work it would stay, and be worth nothing, where rows
    break it.
    """
    if connection.vendor == "sqlite":
        return said
    return said.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1)


def make_trigger(name: str, table: str, schema: Schema) -> tuple[str, ...]:
    """A trigger, with the function that it calls."""
    made = schema.tables[table]
    if connection.vendor == "sqlite":
        return (f"DROP TRIGGER IF EXISTS {_quoted(name)}", made.triggers[name])
    return (
        *_functions(Table(triggers={name: made.triggers[name]}), schema),
        f"DROP TRIGGER IF EXISTS {_quoted(name)} ON {_quoted(table)}",
        made.triggers[name],
    )


def _functions(made: Table, schema: Schema) -> Iterator[str]:
    for name, said in schema.functions.items():
        if any(f" {name}(" in trigger for trigger in made.triggers.values()):
            yield said


def _is_foreign_key(said: str) -> bool:
    return said.startswith("FOREIGN KEY")
