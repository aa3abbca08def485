"""The large set in a PostgreSQL: a million people, ten million ledger entries, all of it honest.

    python -m bench.data [--people 1000000] [--products 10000] [--database postgres://…]

Without --database it is that of DATABASE_URL; it has to be empty, and is migrated first. Everything
grows with --people: as many receipts (a fiftieth of them to be decided), as many entries of the
audit trail, ten times as many ledger entries, five draws and three quarters of an order for each;
`bench/large_set.py` says how. `check_integrity` finds nothing wrong with it, under the keys that it
was filled with: use it with the same DATA_DIR.
"""

import argparse
import os
import sys
import time

SIZES = """
    SELECT c.relname, c.reltuples::bigint, pg_total_relation_size(c.oid)
    FROM pg_class AS c WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
    ORDER BY 3 DESC LIMIT 16
"""


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench.data")
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--database", help="postgres://…; DATABASE_URL if left out")
    options = parser.parse_args(arguments)
    if options.database:
        # Before Django is set up: the settings read their addresses once.
        os.environ["DATABASE_URL"] = options.database
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.db import connection

    if connection.vendor != "postgresql":
        parser.error("only PostgreSQL is filled: name one by --database or DATABASE_URL")
    return make(people=options.people, products=options.products)


def make(*, people, products):
    """Migrate, fill, and say how long it took and how large it is."""
    from django.core.management import call_command
    from django.db import connection

    from bench.large_set import NotEmpty, fill

    call_command("migrate", verbosity=0)
    begun = time.perf_counter()

    def tell(what):
        print(f"{time.perf_counter() - begun:7.1f} s  {what}", flush=True)

    try:
        fill(people=people, products=products, tell=tell)
    except NotEmpty:
        print("There are people in this database already; it has to be empty.", file=sys.stderr)
        return 1
    tell("vacuum and statistics")
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute(SIZES)
        tables = cursor.fetchall()
        cursor.execute("SELECT pg_database_size(current_database())")
        (whole,) = cursor.fetchone()
    tell("done")
    print(f"\n{'table':<28}{'rows':>13}{'MB':>9}")
    for table, rows, size in tables:
        print(f"{table:<28}{rows:>13,}{size / 1024**2:>9,.0f}")
    print(f"{'the database':<41}{whole / 1024**2:>9,.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
