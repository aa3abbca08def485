"""What is told of migrations before they run: what they risk and why, and nothing is changed."""

import json

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import CommandError, call_command
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.models import F, Q
from django.utils import translation

from ops.append_only import AppendOnly
from ops.diagnosis import schema
from ops.safe_migrate import tables as facts
from ops.safe_migrate.collecting import waiting
from ops.safe_migrate.estimate import is_rewritten
from ops.safe_migrate.locks import Mode, locks
from ops.safe_migrate.plan import make_plan
from ops.safe_migrate.rules import Risk, of_lock
from ops.safe_migrate.statements import Column, read
from ops.safe_migrate.tables import Table, Tables
from ops.tests.databases import elsewhere, on_sqlite
from ops.tests.trial_migrations import (
    BIG,
    OTHER,
    THING,
    errors,
    make_tables,
    migration,
    planned,
    rules,
    run,
    waits,
)
from tests.migration_risk import make

pytestmark = pytest.mark.django_db

POSTGRESQL = pytest.mark.postgresql
SQL = migrations.RunSQL
NOTHING = migrations.RunPython.noop


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=POSTGRESQL)])
def database(request):
    """Each kind of database, one after another."""
    if request.param == "postgresql":
        yield
        return
    with on_sqlite():
        yield


def fill(apps, schema_editor):
    """Give every thing a number."""
    for thing in apps.get_model("trial", "Thing").objects.all():
        thing.number = 1
        thing.save()


def fill_at_once(apps, schema_editor):
    apps.get_model("trial", "Thing").objects.update(number=1)
    apps.get_model("trial", "Gone")


# --- High, and why ------------------------------------------------------------------------------
SINGLE = models.UniqueConstraint(fields=["name"], name="thing_named_once")
SINGLE_LOWER = models.UniqueConstraint(
    "number", name="thing_numbered_once", condition=Q(number__gt=0)
)
SMALL = models.CheckConstraint(condition=Q(number__lt=2), name="thing_is_small")
INTEGER = models.IntegerField(null=True)
RISKY = [
    (migrations.RemoveField("thing", "name"), "drops-column", False),
    (migrations.RemoveField("thing", "other"), "drops-column", False),
    (migrations.DeleteModel("Thing"), "drops-table", False),
    (migrations.RenameField("thing", "name", "title"), "renames", False),
    (migrations.RenameField("thing", "other", "another"), "renames", False),
    (migrations.AlterModelTable("thing", "trial_item"), "renames", False),
    (migrations.AddConstraint("thing", SINGLE), "unique", True),
    (migrations.AlterUniqueTogether("thing", {("name",)}), "unique", True),
    (migrations.AddConstraint("thing", SMALL), "check", True),
    (migrations.AlterField("thing", "number", models.IntegerField()), "not-null", None),
    (migrations.AddField("thing", "more", models.IntegerField(default=1)), "not-null", False),
    (
        migrations.AddField("thing", "more", models.IntegerField(default=1, unique=True)),
        "unique",
        True,
    ),
    (SQL("ALTER TABLE trial_thing ADD COLUMN more integer NOT NULL"), "not-null", True),
    (
        migrations.AlterField(
            "thing",
            "number",
            models.ForeignKey("trial.Other", models.PROTECT, null=True, db_column="number"),
        ),
        "foreign-key",
        True,
    ),
    (SQL("DELETE FROM trial_thing"), "loses-data", False),
]


@pytest.mark.parametrize(("operation", "rule", "is_error"), RISKY)
def test_what_is_risky_is_called_high_for_the_right_reason(database, operation, rule, is_error):
    state = make_tables(rows=3)
    run("UPDATE trial_thing SET name = 'a1' WHERE id = 2")
    plan, one = planned(state, operation)
    assert rule in rules(one), one.reasons
    assert plan.risk == Risk.HIGH
    assert all(reason.text for reason in one.reasons)
    if is_error is not None:
        assert (rule in errors(one)) is is_error
        assert plan.is_valid() is not is_error
    assert not plan.is_valid(fail_on_high=True)


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddConstraint("thing", SINGLE_LOWER),
        SQL("CREATE UNIQUE INDEX once ON trial_thing (number DESC) WHERE number > 0"),
    ],
)
def test_duplicates_are_counted_where_the_rule_holds(database, operation):
    state = make_tables(rows=4)
    run(
        "UPDATE trial_thing SET number = 1 WHERE id < 3",
        "UPDATE trial_thing SET number = 0 WHERE id > 2",
    )
    _plan, one = planned(state, operation)
    (reason,) = [reason for reason in one.reasons if reason.is_error]
    assert reason.rule == "unique"
    assert "1 values stand twice" in reason.text


@POSTGRESQL
@pytest.mark.parametrize(
    ("operation", "rule"),
    [
        (SQL("ALTER TABLE trial_thing ALTER COLUMN name TYPE varchar(1)"), "type-change"),
        (migrations.AlterField("thing", "name", models.IntegerField()), "type-change"),
        (
            SQL(
                "ALTER TABLE trial_thing ALTER name SET DATA TYPE numeric(3, 1) USING name::numeric"
            ),
            "type-change",
        ),
        (SQL("CREATE INDEX CONCURRENTLY one ON trial_thing USING btree (name)"), "in-transaction"),
        (SQL("ALTER TABLE trial_thing ALTER number SET NOT NULL"), "not-null"),
        (SQL("TRUNCATE TABLE trial_thing"), "loses-data"),
    ],
)
def test_what_postgresql_would_refuse_or_lose(operation, rule):
    state = make_tables(rows=3)
    run("UPDATE trial_thing SET number = NULL WHERE id = 2")
    _plan, one = planned(state, operation)
    assert rule in rules(one)
    assert (rule in errors(one)) is (rule != "loses-data")


def test_nothing_in_a_column_that_must_have_something(database):
    """Django fills it where a default is said; then nobody is in the way."""
    state = make_tables(rows=3)
    run("UPDATE trial_thing SET number = NULL WHERE id = 2")
    _plan, one = planned(
        state, migrations.AlterField("thing", "number", models.IntegerField(default=7))
    )
    assert errors(one) == set()
    assert "not-null" in rules(one), "the version before may still write nothing"
    if connection.vendor == "postgresql":
        _plan, one = planned(state, migrations.AlterField("thing", "number", models.IntegerField()))
        (reason,) = [reason for reason in one.reasons if reason.is_error]
        assert "1 rows of trial_thing have nothing in number" in reason.text


@POSTGRESQL
@pytest.mark.parametrize(
    ("operation", "rule"),
    [
        (
            migrations.AlterField("thing", "number", models.BigIntegerField(null=True)),
            "rewrites-table",
        ),
        (
            SQL("ALTER TABLE trial_thing ADD COLUMN more uuid DEFAULT gen_random_uuid()"),
            "rewrites-table",
        ),
        (
            migrations.AddField(
                "thing",
                "twice",
                models.GeneratedField(
                    expression=F("number") * 2, output_field=models.IntegerField(), db_persist=True
                ),
            ),
            "rewrites-table",
        ),
        (
            migrations.AddIndex("thing", models.Index(fields=["name"], name="thing_name")),
            "blocking-index",
        ),
    ],
)
def test_work_on_a_big_table_is_risky_and_on_a_small_one_it_is_not(operation, rule):
    small = make_tables(rows=3)
    _plan, one = planned(small, operation)
    assert rule not in rules(one)
    quick = one.seconds
    run("SET CONSTRAINTS ALL IMMEDIATE", "DROP TABLE trial_thing, trial_other")
    _plan, one = planned(make_tables(is_big=True), operation)
    assert rule in rules(one)
    assert one.seconds > quick + 0.03
    (table,) = [table for table in one.tables if table.name == THING]
    assert (table.rows, table.is_exact) == (BIG, True)
    assert table.bytes > 1_000_000


# --- Low ------------------------------------------------------------------------------------------
HARMLESS = [
    migrations.CreateModel(
        "Third",
        [
            ("id", models.BigAutoField(primary_key=True)),
            ("to", models.ForeignKey("trial.Other", models.PROTECT)),
            ("code", models.CharField(max_length=3, unique=True)),
        ],
    ),
    migrations.AddField("thing", "more", models.IntegerField(null=True)),
    migrations.AddField("thing", "more", models.IntegerField(db_default=5)),
    migrations.AddField(
        "thing", "more", models.ForeignKey("trial.Other", models.PROTECT, null=True)
    ),
    migrations.AddIndex("thing", models.Index(fields=["name"], name="thing_name")),
    migrations.RemoveIndex("thing", "thing_number"),
    migrations.RemoveConstraint("thing", "thing_counts"),
    migrations.AlterField("thing", "name", models.CharField(max_length=40)),
    migrations.AlterField("thing", "name", models.TextField()),
    migrations.AlterField("thing", "name", models.CharField(max_length=20, null=True)),
    migrations.AlterField("thing", "name", models.CharField(max_length=20, choices=[("a", "A")])),
    migrations.AlterModelOptions("thing", {"ordering": ["name"]}),
    migrations.AlterModelTableComment("thing", "Things."),
    migrations.RunPython(fill, NOTHING),
    AppendOnly("Thing"),
    SQL("UPDATE trial_thing SET number = 2 WHERE id = 1", SQL.noop),
    SQL("DELETE FROM trial_thing WHERE id = 1", SQL.noop),
    SQL("INSERT INTO trial_thing (name, number) SELECT name, 1 FROM trial_thing", SQL.noop),
    SQL("INSERT INTO trial_thing (name) VALUES ('b')", SQL.noop),
    migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("thing", "name")]),
]


@pytest.mark.parametrize("operation", HARMLESS)
def test_what_is_harmless_is_called_low(database, operation):
    plan, one = planned(make_tables(rows=3), operation)
    assert one.risk == Risk.LOW, one.reasons
    assert plan.errors == plan.warnings == []
    assert plan.is_valid(fail_on_high=True)
    assert one.seconds < 0.2


@POSTGRESQL
@pytest.mark.parametrize(
    "operation",
    [
        SQL("CREATE INDEX CONCURRENTLY one ON trial_thing (name)", SQL.noop),
        SQL("ALTER TABLE trial_thing ADD COLUMN more timestamptz DEFAULT now() NOT NULL", SQL.noop),
        SQL("ALTER TABLE trial_thing ALTER number SET STATISTICS 500", SQL.noop),
        SQL("ALTER TABLE trial_thing SET (fillfactor = 80)", SQL.noop),
        SQL("ALTER TABLE trial_thing ALTER number TYPE int", SQL.noop),
    ],
)
def test_what_is_harmless_on_a_big_table(operation):
    _plan, one = planned(make_tables(is_big=True), operation, atomic=False)
    assert one.risk == Risk.LOW, one.reasons


@POSTGRESQL
@pytest.mark.django_db(transaction=True)
def test_an_index_of_django_made_beside_the_work_of_others():
    state = make_tables(is_big=True)
    try:
        index = models.Index(fields=["name"], name="thing_name")
        _plan, one = planned(state, AddIndexConcurrently("thing", index), atomic=False)
    finally:
        run("DROP TABLE trial_thing, trial_other")
    assert one.risk == Risk.LOW
    assert "CREATE INDEX CONCURRENTLY" in one.steps[0].step.statements[0]
    assert [held.lock.mode for held in one.held] == [Mode.SHARE_UPDATE_EXCLUSIVE]


# --- Two releases -------------------------------------------------------------------------------
def test_what_the_version_that_runs_does_not_use_may_go(database):
    state = make_tables(rows=1)
    state.remove_field("trial", "thing", "name")
    drop = SQL("ALTER TABLE trial_thing DROP COLUMN name", SQL.noop)
    _plan, one = planned(state, drop)
    assert rules(one) == set()
    assert rules(one, Risk.LOW) == {"loses-data"}
    state.remove_model("trial", "thing")
    _plan, one = planned(state, SQL("DROP TABLE trial_thing", SQL.noop))
    assert rules(one, Risk.MEDIUM) == {"loses-data"}
    run("DELETE FROM trial_thing")
    _plan, one = planned(state, drop)
    assert one.risk == Risk.LOW
    _plan, one = planned(state, SQL("DROP TABLE trial_thing", SQL.noop))
    assert one.risk == Risk.LOW


@POSTGRESQL
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE trial_thing RENAME TO trial_item",
        "ALTER TABLE trial_thing RENAME name TO title",
        "ALTER TABLE trial_thing ADD more integer NOT NULL",
        "ALTER TABLE trial_thing ADD z int DEFAULT 1 NOT NULL, ALTER z DROP DEFAULT",
        "ALTER TABLE trial_thing ALTER number SET NOT NULL",
        "ALTER TABLE trial_thing ADD CONSTRAINT u UNIQUE (name)",
        "ALTER TABLE trial_thing ALTER number TYPE bigint",
        "TRUNCATE trial_thing",
        "CREATE INDEX i ON trial_thing (name); DROP INDEX i",
    ],
)
def test_of_an_empty_table_that_no_version_knows_anything_may_be_changed(statement):
    state = make_tables()
    state.remove_model("trial", "thing")
    _plan, one = planned(state, SQL(statement, SQL.noop))
    assert one.risk == Risk.LOW, one.reasons


@pytest.mark.parametrize(
    ("before", "after", "is_other"),
    [
        ("character varying(20)", "varchar(20)", False),
        ("character varying(20)", "varchar(40)", False),
        ("character varying(20)", "varchar", False),
        ("character varying(20)", "text", False),
        ("text", "varchar(20)", True),
        ("character varying(40)", "varchar(20)", True),
        ("numeric(5,2)", "numeric(7, 2)", False),
        ("numeric(5,2)", "numeric(4, 2)", True),
        ("numeric(5,2)", "numeric(7, 3)", True),
        ("integer", "int", False),
        ("integer", "bigint", True),
        ("text", "bytea", True),
    ],
)
def test_which_types_are_stored_alike(before, after, is_other):
    """As PostgreSQL sees it: it writes the others anew."""
    table = Table(THING, columns={"name": Column(name="name", type=before)})
    (action,) = read(f"ALTER TABLE trial_thing ALTER COLUMN name TYPE {after}")
    assert is_rewritten(action, table) is is_other
    if connection.vendor == "postgresql":
        run(f"CREATE TABLE trial_thing (name {before})")
        node = "SELECT pg_relation_filenode('trial_thing')"
        with connection.cursor() as cursor:
            files = []
            for statement in ("SELECT 1", f"ALTER TABLE trial_thing ALTER name TYPE {after}"):
                if "bytea" in statement:
                    statement += " USING name::bytea"
                cursor.execute(statement)
                cursor.execute(node)
                files.append(cursor.fetchone())
        assert (files[0] != files[1]) is is_other


def test_a_rule_on_columns_that_are_new_concerns_nobody(database):
    more = migrations.AddField("thing", "more", models.IntegerField(null=True))
    both = [
        migrations.AddConstraint(
            "thing", models.CheckConstraint(condition=Q(more__gt=0), name="more_than_none")
        ),
        migrations.AddConstraint("thing", models.UniqueConstraint(fields=["more"], name="once")),
    ]
    _plan, one = planned(make_tables(rows=2), more, *both)
    assert one.risk == Risk.LOW, one.reasons


def test_a_rule_on_columns_that_are_there_is_told(database):
    state = make_tables(rows=2)
    positive = models.CheckConstraint(condition=Q(number__gt=0), name="positive")
    plan, one = planned(state, migrations.AddConstraint("thing", positive))
    assert rules(one, Risk.MEDIUM) == {"check"}
    assert plan.warnings == [f"trial.0002_next: {one.reasons[0].text}"]


def test_what_an_earlier_step_may_change_is_no_error(database):
    state = make_tables(rows=2)
    run("UPDATE trial_thing SET name = 'a1'")
    for earlier in (
        migrations.RunPython(fill, NOTHING),
        migrations.RunPython(lambda apps, editor: None, NOTHING),
        SQL("UPDATE trial_thing SET name = 'a' || id", SQL.noop),
    ):
        plan = make_plan(
            waits(
                state,
                migration(earlier, name="0002_fill"),
                migration(migrations.AddConstraint("thing", SINGLE), name="0003_demand"),
            )
        )
        assert plan.is_valid()
        _first, second = plan.migrations
        assert "unique" in rules(second, Risk.MEDIUM)


def test_tables_are_followed_through_the_plan(database):
    """Under new names, with new columns, and those that the plan makes are nobody's."""
    state = make_tables(rows=2)
    plan = make_plan(
        waits(
            state,
            migration(
                migrations.AlterModelTable("thing", "trial_item"),
                migrations.RenameField("thing", "name", "title"),
                migrations.AddField("thing", "more", models.IntegerField(null=True, db_default=3)),
                migrations.AddField("thing", "kind", models.IntegerField(db_default=3)),
                migrations.AddIndex("thing", models.Index(fields=["more"], name="thing_more")),
                name="0002_moves",
            ),
            migration(
                migrations.AddConstraint(
                    "thing", models.UniqueConstraint(fields=["kind"], name="k")
                ),
                migrations.AddConstraint(
                    "thing", models.CheckConstraint(condition=Q(title__lt="a2"), name="l")
                ),
                migrations.RemoveIndex("thing", "thing_more"),
                migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))]),
                migrations.AddField("new", "name", models.CharField(max_length=3, default="")),
                migrations.RemoveField("new", "name"),
                migrations.AlterField(
                    "thing",
                    "number",
                    models.ForeignKey("trial.New", models.PROTECT, null=True, db_column="number"),
                ),
                name="0003_demands",
            ),
        )
    )
    first, second = plan.migrations
    assert "renames" in rules(first)
    assert errors(first) == set()
    assert errors(second) == {"unique", "check", "foreign-key"}, second.reasons


# --- Whole migrations -----------------------------------------------------------------------------
def test_rows_and_tables_in_one_transaction(database):
    state = make_tables(rows=2)
    more = migrations.AddField("thing", "more", models.IntegerField(null=True))
    update = migrations.RunPython(fill_at_once, NOTHING)
    _plan, one = planned(state, more, update)
    assert rules(one, Risk.MEDIUM) == {"data-and-schema"}
    _plan, one = planned(state, more, update, atomic=False)
    assert one.risk == Risk.LOW


def test_functions_are_named_with_what_they_say_and_which_tables_they_name(database):
    state = make_tables(rows=2)
    _plan, one = planned(state, migrations.RunPython(fill), migrations.RunPython(fill_at_once))
    saves, updates = (planned_step.step for planned_step in one.steps)
    assert (saves.words, saves.told) == ("RunPython fill", "Give every thing a number.")
    assert saves.tables == updates.tables == (THING,)
    assert (saves.is_row_by_row, updates.is_row_by_row) == (True, False)
    assert [reason.rule for reason in one.reasons if reason.risk == Risk.MEDIUM] == [
        "irreversible"
    ] * 2
    assert "unknown-length" in rules(one, Risk.LOW)
    assert saves.statements == []


def test_no_function_runs_while_a_plan_is_made(database):
    ran = []

    def act(apps, schema_editor):
        ran.append(1)

    hidden = migrations.SeparateDatabaseAndState(
        database_operations=[migrations.RunPython(act, NOTHING)]
    )
    _plan, one = planned(make_tables(), migrations.RunPython(act, NOTHING), hidden)
    assert [step.step.is_python for step in one.steps] == [True, True]
    assert ran == []
    written: dict = {}
    # A name of its own: Python keeps the source of what `-c` was given under that of exec.
    unseen = compile("def unseen(apps, schema_editor): pass", "<no file>", "exec")
    exec(unseen, written)  # noqa: S102
    _plan, one = planned(make_tables_again(), migrations.RunPython(written["unseen"], NOTHING))
    assert one.steps[0].step.tables == ()


def make_tables_again():
    run("DROP TABLE IF EXISTS trial_thing", "DROP TABLE IF EXISTS trial_other")
    return make_tables()


class Writes(migrations.operations.base.Operation):
    """An operation that writes while its statements are collected, past the editor."""

    reversible = True

    def state_forwards(self, app_label, state):
        """It changes no model."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        run("DELETE FROM trial_thing")

    def describe(self):
        return "Writes"


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=[POSTGRESQL])])
@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_what_would_write_during_a_plan(request, kind):
    if kind == "sqlite":
        with on_sqlite():
            _writes_nothing()
        return
    try:
        _writes_nothing()
    finally:
        run("DROP TABLE trial_thing, trial_other")


def _writes_nothing():
    state = make_tables(rows=2)
    _plan, one = planned(state, Writes())
    assert rules(one, Risk.MEDIUM) == {"uncollected"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM trial_thing")
        assert cursor.fetchone() == (2,)
    run("DELETE FROM trial_thing")  # afterwards it writes again


def test_nothing_is_changed_by_a_plan(database):
    state = make_tables(rows=2)
    before = schema.found().as_json()
    operations = [operation for operation, _rule, _is_error in RISKY[:1]] + HARMLESS[:3]
    planned(state, *operations[:3])
    assert schema.found().as_json() == before
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, name, number FROM trial_thing ORDER BY id")
        assert [tuple(row) for row in cursor.fetchall()] == [(1, "a1", 1), (2, "a2", 2)]


def test_what_was_measured_stands_for_the_estimate(database):
    state = make_tables(rows=2)
    more = migrations.AddField(
        "thing", "more", models.ForeignKey("trial.Other", models.PROTECT, null=True)
    )
    made = migration(more, migrations.RunPython(fill, NOTHING))
    plan = make_plan(waits(state, made), measured={("trial.0002_next", 0): 7.0})
    (one,) = plan.migrations
    assert (one.steps[0].seconds, one.steps[0].is_measured) == (7.0, True)
    assert not one.steps[1].is_measured
    assert 7 < plan.seconds < 7.2
    assert one.held[0].seconds >= 7
    on_postgresql = {"exclusive-lock", "blocks-writers"}  # of the table that is pointed to
    assert rules(one) == (
        on_postgresql if connection.vendor == "postgresql" else {"blocks-writers"}
    )


@POSTGRESQL
def test_a_lock_behind_a_long_transaction_is_told():
    table = Table(THING, rows=5, oldest_use=30.0)
    (reason,) = of_lock(table, THING, Mode.ACCESS_EXCLUSIVE, held=0.01)
    assert (reason.rule, reason.risk) == ("busy-table", Risk.MEDIUM)
    assert list(of_lock(table, THING, Mode.SHARE, held=0.01)) == []
    (reason,) = of_lock(table, THING, Mode.SHARE, held=1.0)
    assert (reason.rule, reason.risk) == ("blocks-writers", Risk.MEDIUM)
    (reason,) = of_lock(Table(THING), THING, Mode.ACCESS_EXCLUSIVE, held=1.0)
    assert (reason.rule, reason.risk) == ("exclusive-lock", Risk.MEDIUM)
    assert list(of_lock(table, THING, Mode.SHARE_UPDATE_EXCLUSIVE, held=99.0)) == []
    with elsewhere(autocommit=False) as other, other.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ops_maintenance")
        assert Tables({}).at("ops_maintenance").oldest_use > 0


@POSTGRESQL
def test_of_a_large_table_the_planner_says_how_many_rows(monkeypatch):
    make_tables(rows=50)
    monkeypatch.setattr(facts, "COUNTED_BYTES", 0)
    assert Tables({}).at(THING).is_exact, "nobody has ever looked at it"
    run("ANALYZE trial_thing")
    table = Tables({}).at(THING)
    assert (table.rows, table.is_exact) == (50, False)


def test_what_cannot_be_looked_at_is_told(database):
    state = make_tables(rows=2)
    broken = SQL("CREATE UNIQUE INDEX one ON trial_thing (nothing)", SQL.noop)
    _plan, one = planned(state, broken)
    assert "unseen" in rules(one, Risk.MEDIUM)


@pytest.mark.parametrize(
    "statement",
    [
        "VACUUM trial_thing",
        "ALTER TYPE kind ADD VALUE 'x'",
        "CREATE ROLE somebody",
        "ALTER TABLE trial_thing CLUSTER ON thing_number",
        "ALTER TABLE trial_thing ADD CONSTRAINT k EXCLUDE USING gist (name WITH =)",
    ],
)
def test_a_statement_that_nobody_knows_is_told(database, statement):
    _plan, one = planned(make_tables(), SQL(statement, SQL.noop))
    assert "unknown-statement" in rules(one, Risk.MEDIUM)


def test_a_migration_says_why_its_risk_is_accepted(database):
    doc = "Nobody reads it.\n\nRisk accepted: no version\nbefore 3 reads it.\n\nMore."
    state = make_tables(rows=2)
    plan, one = planned(state, migrations.RemoveField("thing", "name"), doc=doc)
    assert one.collected.accepted == "no version before 3 reads it."
    assert plan.risk == Risk.HIGH
    assert plan.is_valid(fail_on_high=True)
    assert plan.unexplained == []


# --- SQLite ---------------------------------------------------------------------------------------
def test_on_sqlite_all_foreign_keys_are_checked_after_each_migration():
    """Whatever a migration does, the file is locked until Django has read all that point."""
    with on_sqlite():
        state = make_tables(is_big=True)
        nothing = SQL("UPDATE trial_thing SET number = 1 WHERE id = 1", SQL.noop)
        _plan, one = planned(state, nothing)
        assert one.seconds > 0.015
        assert one.held[0].seconds > 0.015
        run("DELETE FROM trial_thing")
        _plan, one = planned(state, nothing)
        assert one.seconds < 0.01


def test_on_sqlite_a_delete_takes_longer_with_each_index():
    with on_sqlite():
        state = make_tables(is_big=True)
        delete = SQL("DELETE FROM trial_thing WHERE id > 50000", SQL.noop)
        _plan, few = planned(state, delete)
        run("CREATE INDEX one ON trial_thing (name)", "CREATE INDEX two ON trial_thing (name, id)")
        _plan, many = planned(state, delete)
        assert many.seconds > few.seconds + 0.1


def test_a_risk_is_not_accepted_by_a_paragraph_that_speaks_of_something_else(database):
    for doc in ("Risk accepted:", "Risk accepted:  \n\nThe column is new."):
        plan, _one = planned(make_tables_again(), migrations.RemoveField("thing", "name"), doc=doc)
        assert plan.unexplained == ["trial.0002_next"]


# --- Locks ----------------------------------------------------------------------------------------
LOCKING = [
    "ALTER TABLE trial_thing ADD COLUMN more integer",
    "ALTER TABLE IF EXISTS ONLY trial_thing ADD more integer, ALTER number DROP NOT NULL",
    "ALTER TABLE trial_thing ADD COLUMN more bigint CONSTRAINT k REFERENCES trial_other (id)",
    "ALTER TABLE trial_thing ADD COLUMN more integer UNIQUE CHECK (more > 1)",
    "ALTER TABLE trial_thing DROP COLUMN number",
    "ALTER TABLE trial_thing RENAME COLUMN number TO n",
    "ALTER TABLE trial_thing RENAME CONSTRAINT thing_counts TO n",
    "ALTER TABLE trial_thing RENAME TO trial_item",
    "ALTER TABLE trial_thing ALTER COLUMN number TYPE bigint USING number::bigint",
    "ALTER TABLE trial_thing ALTER COLUMN number SET DEFAULT 1",
    "ALTER TABLE trial_thing ALTER COLUMN number DROP DEFAULT",
    "ALTER TABLE trial_thing ALTER COLUMN number SET NOT NULL",
    "ALTER TABLE trial_thing ALTER COLUMN number SET STATISTICS 100",
    "ALTER TABLE trial_thing SET (fillfactor = 90)",
    "ALTER TABLE trial_thing DISABLE TRIGGER USER",
    "ALTER TABLE trial_thing ADD CONSTRAINT k CHECK (number > 0)",
    "ALTER TABLE trial_thing ADD CONSTRAINT k CHECK (number > 0) NOT VALID",
    "ALTER TABLE trial_thing ADD CONSTRAINT k UNIQUE (number)",
    "ALTER TABLE trial_thing ADD FOREIGN KEY (number) REFERENCES trial_other (id) NOT VALID",
    "ALTER TABLE trial_thing VALIDATE CONSTRAINT thing_counts",
    "ALTER TABLE trial_thing DROP CONSTRAINT thing_counts",
    "CREATE INDEX i ON trial_thing (lower(name) varchar_pattern_ops, number DESC)",
    "CREATE INDEX ON trial_thing USING hash (name)",
    "DROP INDEX thing_number",
    "ALTER TABLE public.trial_thing ADD more integer",
    "CREATE TABLE third (id bigint PRIMARY KEY, CHECK (id > 0), o bigint REFERENCES trial_other)",
    "DROP TABLE trial_thing",
    "DROP TABLE trial_other CASCADE",
    (
        "CREATE TRIGGER t BEFORE UPDATE ON trial_thing FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
    "COMMENT ON TABLE trial_thing IS 'x'",
    "COMMENT ON COLUMN public.trial_thing.number IS 'x'",
    "TRUNCATE trial_thing, trial_other",
    "UPDATE trial_thing SET number = 1",
    "INSERT INTO trial_thing (id, name) VALUES (7, 'x')",
    "DELETE FROM ONLY trial_thing",
    "CREATE SEQUENCE numbers",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "ALTER TABLE trial_thing DROP COLUMN other_id",
    "ALTER TABLE trial_thing ALTER other_id TYPE integer",
    "DROP TABLE trial_thing, trial_other",
    "TRUNCATE trial_other CASCADE",
    "CREATE INDEX i ON ONLY trial_thing (Number)",
    "ALTER TABLE trial_thing ADD CONSTRAINT n NOT NULL number NOT VALID",
    "ALTER TABLE trial_thing SET UNLOGGED",
    "CLUSTER trial_thing USING thing_number",
    "LOCK TABLE trial_thing",
    "LOCK TABLE ONLY trial_thing, trial_other IN SHARE ROW EXCLUSIVE MODE NOWAIT",
    "LOCK trial_thing IN ACCESS SHARE MODE",
    "COMMENT ON INDEX thing_number IS 'x'",
]
WEAK = {"AccessShareLock", "RowShareLock"}  # of whoever reads
HELD = """
    SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND c.relname = ANY(%s) AND c.oid = ANY(%s)
"""


@POSTGRESQL
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("statement", LOCKING)
def test_the_locks_that_are_told_are_those_that_postgresql_takes(statement):
    make_tables(rows=1)
    names = [THING, OTHER]
    try:
        told: dict[str, Mode] = {}
        known = Tables({})
        for action in read(statement):
            for lock in locks(action, known):
                told[lock.table] = max(lock.mode, told.get(lock.table, lock.mode))
        assert taken_by(statement, names) == told
    finally:
        run("DROP TABLE IF EXISTS trial_thing", "DROP TABLE IF EXISTS trial_other CASCADE")


def taken_by(statement, names):
    """The strongest lock on each table, as the server shows it before it is all undone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(oid) FROM pg_class WHERE relname = ANY(%s)", [names])
        oids = cursor.fetchone()[0]
        cursor.execute("SELECT oid, relname FROM pg_class WHERE oid = ANY(%s)", [oids])
        called = dict(cursor.fetchall())
        cursor.execute("BEGIN")
        try:
            cursor.execute(statement)
            cursor.execute(
                "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() "
                "AND relation = ANY(%s)",
                [oids],
            )
            found = cursor.fetchall()
        finally:
            cursor.execute("ROLLBACK")
    modes = {mode.name.replace("_", "").lower() + "lock": mode for mode in Mode}
    strongest: dict[str, Mode] = {}
    for oid, mode in found:
        if mode not in WEAK:
            here = modes[mode.lower()]
            strongest[called[oid]] = max(here, strongest.get(called[oid], here))
    return strongest


@POSTGRESQL
def test_triggers_that_go_with_their_function_lock_their_table():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    (action,) = read("DROP FUNCTION IF EXISTS accounts_pointsentry_append_only() CASCADE")
    assert [tuple(lock) for lock in locks(action, Tables({}))] == [
        ("accounts_pointsentry", Mode.ACCESS_EXCLUSIVE)
    ]
    (action,) = read("DROP TRIGGER IF EXISTS one ON accounts_pointsentry")
    assert locks(action, Tables({}))[0].mode == Mode.ACCESS_EXCLUSIVE


# --- The command ----------------------------------------------------------------------------------
def answer(capsys, *arguments):
    try:
        call_command("safe_migrate", *arguments)
    except SystemExit as end:
        return end.code, capsys.readouterr().out
    return 0, capsys.readouterr().out


def before_the_risky_one():
    graph = MigrationLoader(None).graph
    risky = ("ops", "0014_alerts")
    return [name for name in graph.nodes if risky not in graph.forwards_plan(name)]


def test_where_nothing_waits_the_plan_is_empty(capsys):
    status, said = answer(capsys, "--plan", "--json")
    assert (status, json.loads(said)) == (
        0,
        {
            "valid": True,
            "errors": [],
            "warnings": [],
            "estimated_seconds": 0,
            "risk": "low",
            "database": connection.vendor,
            "migrations": [],
        },
    )
    assert answer(capsys, "--plan") == (0, "No migration waits.\n")
    assert waiting().migrations == []


def test_the_command_tells_all_of_an_older_database(capsys):
    """The trial database stops before ops.0014, which is risky; nobody runs anything."""
    with on_sqlite():
        make(before_the_risky_one())
        status, said = answer(capsys, "--plan", "--json")
        told = json.loads(said)
        assert (status, told["valid"], told["risk"]) == (0, True, "high")
        alerts = next(one for one in told["migrations"] if one["name"] == "0014_alerts")
        assert alerts.keys() == {
            "app", "name", "atomic", "reversible", "operations", "tables", "locks",
            "estimated_seconds", "risk", "risk_accepted", "reasons",
        }  # fmt: skip
        assert alerts["operations"][0].keys() == {
            "kind", "words", "told", "reversible", "sql", "python", "estimated_seconds", "measured",
        }  # fmt: skip
        assert {table["name"] for table in alerts["tables"]} >= {"ops_alert", "ops_alertrule"}
        assert alerts["locks"][0].keys() == {
            "table",
            "mode",
            "blocks_reads",
            "blocks_writes",
            "held_seconds",
        }
        high = [reason for reason in alerts["reasons"] if reason["risk"] == "high"]
        assert {reason["rule"] for reason in high} == {"not-null"}
        status, said = answer(capsys, "--plan", "--fail-on-high")
        assert status == 1
        assert "ops.0014_alerts: risk high" in said
        assert "High risk that is not explained: ops.0014_alerts" in said
        assert "lock EXCLUSIVE on *" in said


def test_the_command_ends_with_1_where_a_migration_would_fail(capsys):
    with on_sqlite() as connected:
        make(before_the_risky_one())
        state = MigrationLoader(connected).project_state(("ops", "0013_error_groups"))
        of_then = state.apps.get_model
        rule = of_then("ops", "AlertRule").objects.create(comparison="above", threshold=1)
        run("DROP INDEX alert_one_open_per_rule")  # so that rows are as they never should be
        for _time in range(2):
            of_then("ops", "Alert").objects.create(rule=rule, value=1)
        status, said = answer(capsys, "--plan", "--json")
        told = json.loads(said)
        assert (status, told["valid"]) == (1, False)
        assert [
            error for error in told["errors"] if "ops.0014_alerts: 1 values stand twice" in error
        ]
        status, said = answer(capsys, "--plan")
        assert status == 1
        assert "As the rows are now, it would fail:" in said


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--dry-run"], ["--plan", "--nothing"]])
def test_bad_arguments_end_with_2(arguments):
    with pytest.raises(CommandError) as refused:
        call_command("safe_migrate", *arguments)
    if not {"--dry-run", "--nothing"} & set(arguments):
        assert refused.value.returncode == 2


def test_a_database_that_cannot_be_asked_is_said():
    with on_sqlite():
        run("CREATE TABLE django_migrations (wrong integer)")
        with pytest.raises(CommandError, match="No plan can be made"):
            call_command("safe_migrate", "--plan")
