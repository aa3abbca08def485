"""The PostgreSQL of a test that committed, put back as migrations left it; what did not change is
not touched.

Django empties every table instead and lets each app write its permissions anew: half a second a
test, after which rows that a migration made (the default rules of alerts) are there in some tests
and not in others.
"""

from django.db import connection

COPIES = "as_migrated"  # a schema beside the one under test


EMPTY = "IF EXISTS (SELECT FROM {table}) THEN DELETE FROM {table}; END IF;"
WRITE_AGAIN = """
    IF EXISTS (TABLE {table} EXCEPT ALL TABLE {copy})
            OR EXISTS (TABLE {copy} EXCEPT ALL TABLE {table}) THEN
        DELETE FROM {table};
        INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {copy};
    END IF;
"""
COLUMNS = """
    SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
    WHERE table_schema = current_schema AND table_name = %s AND is_generated = 'NEVER'
"""
# The setting takes it past foreign keys and the guards of ledgers.
PUT_BACK = """
    CREATE FUNCTION {schema}.put_back() RETURNS void LANGUAGE plpgsql
    SET session_replication_role = replica AS $body$ BEGIN {steps} END $body$
"""


def keep():
    """Copy the rows that migrations made, and make the function that puts them back."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {COPIES} CASCADE")
        cursor.execute(f"CREATE SCHEMA {COPIES}")
        steps = "".join(_step(cursor, table) for table in sorted(tables))
        cursor.execute(PUT_BACK.format(schema=COPIES, steps=steps))


def put_back():
    """Delete what was written since, and write again what was changed or deleted."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COPIES}.put_back()")


def _step(cursor, table):
    cursor.execute(COLUMNS, [table])
    names = {"table": f'"{table}"', "copy": f'{COPIES}."{table}"', "columns": cursor.fetchone()[0]}
    cursor.execute("CREATE TABLE {copy} AS TABLE {table}".format(**names))
    return (WRITE_AGAIN if cursor.rowcount else EMPTY).format(**names)
