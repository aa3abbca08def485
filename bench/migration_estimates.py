"""How well the plan of `safe_migrate` foresees how long migrations take, at 1,000,000 rows.

    python -m tests.servers --durable -- .venv/bin/python -m bench.migration_estimates [ROWS]
    python -m tests.servers --embedded -- .venv/bin/python -m bench.migration_estimates [ROWS]

A PostgreSQL of its own, a table of a million rows of about 120 bytes with four indexes, and
one of 100,000 that it points to. Each of 20 migrations is planned, then run and taken back. Printed
is what was foreseen, what it took, and how far apart the two are; the goal is a factor of three for
all that take longer than 0.2 s. The exit status is 1 where it is missed. Of
SQLite, the second form, there are eight. The rates in
`ops/safe_migrate/estimate.py` were read off this table.
"""

import os
import sys
import time

import django
from django.db import connection, migrations, models, transaction
from django.db.migrations.state import ProjectState

GOAL = 3.0
SHORT = 0.2  # seconds
APP = "trial"
SQL = migrations.RunSQL
PROTECT = models.PROTECT


def fields():
    """What the big table has."""
    return [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=40)),
        ("text", models.CharField(max_length=100)),
        ("number", models.IntegerField(null=True)),
        ("other", models.ForeignKey("trial.Other", PROTECT, null=True)),
        ("price", models.DecimalField(max_digits=8, decimal_places=2, default=0)),
        ("code", models.IntegerField(null=True, db_index=True)),
        ("at", models.DateTimeField(db_index=True)),
    ]


def state_of_the_tables():
    """Both models, as the migrations find them."""
    state = ProjectState(real_apps=set())
    other = migrations.CreateModel("Other", [("id", models.BigAutoField(primary_key=True))])
    thing = migrations.CreateModel("Thing", fields())
    with connection.schema_editor(atomic=False) as editor:
        for operation in (other, thing):
            before = state.clone()
            operation.state_forwards(APP, state)
            operation.database_forwards(APP, editor, before, state)
    return state


def number_all(apps, schema_editor):
    """Give all things a number, in one statement."""
    apps.get_model("trial", "Thing").objects.update(number=1)


def set_all(apps, schema_editor):
    """Give all things a price, in one statement."""
    apps.get_model("trial", "Thing").objects.update(price=1)


def add(name, field):
    return migrations.AddField("thing", name, field)


def alter(name, field):
    return migrations.AlterField("thing", name, field)


def index(*names, concurrently=False):
    listed = ", ".join(names)
    word = "CONCURRENTLY " if concurrently else ""
    return SQL(f"CREATE INDEX {word}one ON trial_thing ({listed})")


def constraint(made):
    return migrations.AddConstraint("thing", made)


MIGRATIONS = {
    "add a column without a value": add("more", models.IntegerField(null=True)),
    "add a column with a default": add("more", models.IntegerField(db_default=7)),
    "add a column with a random default": SQL(
        "ALTER TABLE trial_thing ADD more uuid DEFAULT gen_random_uuid()"
    ),
    "add a generated column": add(
        "twice",
        models.GeneratedField(
            expression=models.F("number") * 2,
            output_field=models.BigIntegerField(),
            db_persist=True,
        ),
    ),
    "add a foreign key column": add("second", models.ForeignKey("trial.Other", PROTECT, null=True)),
    "integer to bigint": alter("number", models.BigIntegerField(null=True)),
    "integer to text": alter("number", models.TextField(null=True)),
    "make a text longer": alter("name", models.CharField(max_length=80)),
    "more digits": alter("price", models.DecimalField(max_digits=12, decimal_places=2, default=0)),
    "NOT NULL": SQL("ALTER TABLE trial_thing ALTER number SET NOT NULL"),
    "CHECK": constraint(models.CheckConstraint(condition=models.Q(number__gte=0), name="positive")),
    "UNIQUE on a number": constraint(models.UniqueConstraint(fields=["number"], name="once")),
    "UNIQUE on a text": constraint(models.UniqueConstraint(fields=["name"], name="once")),
    "foreign key on rows": SQL(
        "ALTER TABLE trial_thing ADD FOREIGN KEY (other_id) REFERENCES trial_other (id)"
    ),
    "index on a number": index("number"),
    "index on a text": index("text"),
    "index on two": index("other_id", "at"),
    "index beside work": index("number", concurrently=True),
    "drop a column": migrations.RemoveField("thing", "text"),
    "UPDATE of all rows": migrations.RunPython(number_all, migrations.RunPython.noop),
}


# One after another, each on what the one before left: a file has no way back.
ON_SQLITE = {
    "add a column without a value": add("more", models.IntegerField(null=True)),
    "add a column with a default": add("kind", models.IntegerField(default=7)),
    "integer to bigint": alter("number", models.BigIntegerField(null=True)),
    "CHECK": MIGRATIONS["CHECK"],
    "index on a text": migrations.AddIndex("thing", models.Index(fields=["text"], name="by_text")),
    "UNIQUE on a number": MIGRATIONS["UNIQUE on a number"],
    "UPDATE of all rows": migrations.RunPython(set_all, migrations.RunPython.noop),
    "drop a column": migrations.RemoveField("thing", "price"),
}


def fill(rows):
    """Rows that look like something."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "INSERT INTO trial_thing (id, name, text, number, price, code, at) "
                "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %s) "
                "SELECT n, hex(randomblob(18)), hex(randomblob(32)), n, n / 100.0, n %% 5000, "
                "'2026-11-27 09:00:00' FROM s",
                [rows],
            )
            return
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("INSERT INTO trial_other SELECT generate_series(1, 100000)")
        cursor.execute(
            "INSERT INTO trial_thing (id, name, text, number, other_id, price, code, at) "
            "SELECT n, 'name ' || md5(n::text), repeat(md5((n * 7)::text), 2), n, "
            "1 + n %% 100000, n / 100.0, n %% 5000, now() - n * interval '1 second' "
            "FROM generate_series(1, %s) AS n",
            [rows],
        )
        cursor.execute("VACUUM ANALYZE trial_thing")
        cursor.execute("VACUUM ANALYZE trial_other")


def measure(state, operation):
    """The seconds that a migration of this operation was foreseen to take, and took."""
    from ops.safe_migrate.collecting import Waiting
    from ops.safe_migrate.plan import make_plan

    words = " ".join(getattr(operation, "sql", "").split())
    is_apart = "CONCURRENTLY" in words
    facts = {"operations": [operation], "atomic": not is_apart}
    migration = type("Migration", (migrations.Migration,), facts)("0002_next", APP)
    foreseen = make_plan(Waiting(state.clone(), [migration])).seconds
    if connection.vendor == "sqlite":
        begun = time.perf_counter()
        with connection.schema_editor(atomic=True) as editor:
            migration.apply(state, editor)
        return foreseen, time.perf_counter() - begun
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("CHECKPOINT")
    begun = time.perf_counter()
    if is_apart:
        with connection.schema_editor(atomic=False) as editor:
            migration.apply(state.clone(), editor)
    else:
        with transaction.atomic():
            with connection.schema_editor(atomic=True) as editor:
                migration.apply(state.clone(), editor)
            transaction.set_rollback(True)
    took = time.perf_counter() - begun
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX IF EXISTS one")
        if isinstance(operation, migrations.RunPython):
            cursor.execute("VACUUM trial_thing")
    return foreseen, took


def main(rows):
    """Print the table; how many missed the goal is returned."""
    state = state_of_the_tables()
    fill(rows)
    missed = 0
    print(f"{rows:,} rows\n\n| migration | foreseen s | took s | factor |\n|---|---:|---:|---:|")
    chosen = ON_SQLITE if connection.vendor == "sqlite" else MIGRATIONS
    for words, operation in chosen.items():
        foreseen, took = measure(state, operation)
        factor = max(foreseen, took) / min(foreseen, took)
        is_missed = factor > GOAL and max(foreseen, took) > SHORT
        missed += is_missed
        print(f"| {words} | {foreseen:.3f} | {took:.3f} | {factor:.1f}{' !' * is_missed} |")
    print(f"\n{len(chosen) - missed} of {len(chosen)} within a factor of {GOAL:.0f}")
    return missed


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    sys.exit(bool(main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000)))
