"""What filling tables in bulk takes: tables without their indexes for a while, and chains in SQL.

Nothing is left out in the end: what is taken off is put back by the same transaction, word for
word, and triggers are not touched at all. Filling a ledger is INSERT alone, which they allow.
"""

from contextlib import contextmanager

from django.db import connection
from django.db.models import CheckConstraint
from django.db.models.sql.query import Query

from ops.chain import GENESIS_HASH

# What a table has besides its primary key, as the statements that make it again. Checks stay: they
# are asked row by row all the same.
_CONSTRAINTS = """
    SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
    FROM pg_constraint WHERE conrelid = ANY(%s::regclass[]) AND contype IN ('u', 'f')
    ORDER BY contype DESC, conname
"""
_INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
    FROM pg_index WHERE indrelid = ANY(%s::regclass[]) AND NOT indisprimary AND NOT EXISTS (
        SELECT FROM pg_constraint WHERE conindid = indexrelid AND conrelid = indrelid
    )
    ORDER BY 1
"""


def execute(statement, **facts):
    """Execute one statement; facts are its parameters. Returns how many rows it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(statement, facts or None)
        return cursor.rowcount


def rows_of(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall()


@contextmanager
def bare(*models):
    """Let tables be filled without indexes, unique constraints and foreign keys.

    Ten million rows through five indexes and a foreign key take an hour, to sort them once takes a
    minute. All of it is made again, and so checked, when the block is left: inside of the
    transaction around it, without which nobody would put it back after a failure.
    """
    tables = [model._meta.db_table for model in models]
    execute("SET CONSTRAINTS ALL IMMEDIATE")  # a table with checks to come cannot be altered
    as_migrated = _as_migrated(models)
    indexes = [
        (name, as_migrated.get(name, definition)) for name, definition in rows_of(_INDEXES, tables)
    ]
    constraints = rows_of(_CONSTRAINTS, tables)
    for table, name, _definition in constraints:
        execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for name, _definition in indexes:
        execute(f"DROP INDEX {name}")
    yield
    for _name, definition in indexes:
        execute(definition)
    for table, name, definition in constraints:
        execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


def _as_migrated(models):
    """By name the statements that make what the models name. PostgreSQL words conditions its way,
    and would word its own words once more in another.
    """
    editor = connection.schema_editor()
    return {
        one.name: str(one.create_sql(model, editor))
        for model in models
        for one in (*model._meta.indexes, *model._meta.constraints)
        if not isinstance(one, CheckConstraint)
    }


def chain(entries, *, moves):
    """Write the entries of a ledger, linked by their hashes, from the rows of the table `moves`.

    It has the columns of the ledger without the hashes, and `(account, sequence)` for its key. The
    hash is the model's own `hash_in_sql`, over rows that are named like its table. One statement
    for chains of every length: first everybody's first entry, then everybody's second. They are
    written as time goes by: the rows of one account do not lie beside each other, as in a shop.
    """
    table = entries._meta.db_table
    named = {"id", "previous_hash", "entry_hash"}
    own = [
        f'"{field.column}"' for field in entries._meta.concrete_fields if field.name not in named
    ]
    account = entries._meta.constraints[0].fields[0]  # of the constraint that numbers entries
    account = entries._meta.get_field(account).column
    columns = ", ".join(own)
    of_moves = ", ".join(f"{moves}.{column}" for column in own)
    sql, parameters = _compiled(entries)
    with connection.cursor() as cursor:
        # Rounds of millions of rows and rounds of one: by the key of `moves` all of them are right.
        cursor.execute("SET LOCAL enable_hashjoin = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute(
            f"""
            INSERT INTO {table} ({columns}, previous_hash, entry_hash)
            WITH RECURSIVE linked AS (
                SELECT {table}.*, {sql} AS entry_hash FROM (
                    SELECT {columns}, '{GENESIS_HASH}'::text AS previous_hash
                    FROM {moves} WHERE sequence = 1
                ) AS {table}
                UNION ALL
                SELECT {table}.*, {sql} AS entry_hash FROM (
                    SELECT {of_moves}, linked.entry_hash AS previous_hash
                    FROM linked JOIN {moves} ON {moves}.{account} = linked.{account}
                        AND {moves}.sequence = linked.sequence + 1
                ) AS {table}
            )
            SELECT {columns}, previous_hash, entry_hash FROM linked ORDER BY created_at, sequence
            """,  # noqa: S608  names of our own
            [*parameters, *parameters],
        )
        cursor.execute("SET LOCAL enable_hashjoin = on")
        cursor.execute("SET LOCAL enable_mergejoin = on")


def _compiled(entries):
    """The expression that hashes a row of this ledger, and its parameters."""
    query = Query(entries)
    compiler = query.get_compiler(connection=connection)
    return compiler.compile(entries.hash_in_sql().resolve_expression(query))


def copy_in(target, rows):
    """Send rows to `target`, a table with its columns, as fast as PostgreSQL takes them."""
    with connection.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def go_on_after(*models):
    """Let the ids of these tables go on behind the rows that were written with theirs."""
    for model in models:
        table = model._meta.db_table
        execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table} "  # noqa: S608
            "HAVING max(id) IS NOT NULL"
        )
