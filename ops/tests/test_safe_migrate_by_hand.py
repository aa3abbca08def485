"""Migrations that no autodetector writes: what is told of them, and what PostgreSQL then does."""

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import DatabaseError, connection, migrations, models, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Now, Pi
from django.utils import translation

from ops.safe_migrate.plan import make_plan
from ops.safe_migrate.rules import Risk
from ops.tests.databases import on_sqlite
from ops.tests.trial_migrations import (
    APP,
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

pytestmark = [pytest.mark.django_db, pytest.mark.postgresql]

NOTHING = migrations.RunPython.noop
SMALL = models.CheckConstraint(condition=Q(number__lt=2), name="thing_is_small")


def sql(*statements):
    return migrations.RunSQL("; ".join(statements), migrations.RunSQL.noop)


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


def refusal_of(state, *operations):
    """What PostgreSQL says when they run; all of it is undone."""
    said = ""
    try:
        with transaction.atomic():
            with connection.schema_editor(atomic=False) as editor:
                migration(*operations).apply(state.clone(), editor)
            run("SET CONSTRAINTS ALL IMMEDIATE", "SET CONSTRAINTS ALL DEFERRED")
            transaction.set_rollback(True)
    except DatabaseError as error:
        said = str(error)
    return said


# --- Whether it would fail ------------------------------------------------------------------------
FAILING = [
    (sql("ALTER TABLE Trial_Thing ALTER Number SET NOT NULL"), "not-null"),
    (sql("ALTER TABLE trial_thing ADD CONSTRAINT n NOT NULL number"), "not-null"),
    (sql("ALTER TABLE trial_thing ADD NOT NULL number"), "not-null"),
    (sql("ALTER TABLE trial_thing ALTER name TYPE character varying(1)"), "type-change"),
    (sql("ALTER TABLE trial_thing ADD CONSTRAINT u UNIQUE NULLS NOT DISTINCT (number)"), "unique"),
    (sql("CREATE UNIQUE INDEX u ON trial_thing (number) NULLS NOT DISTINCT"), "unique"),
    (
        migrations.AddConstraint(
            "thing", models.UniqueConstraint(fields=["number"], name="u", nulls_distinct=False)
        ),
        "unique",
    ),
    (
        sql(
            "ALTER TABLE trial_thing ADD CONSTRAINT k CHECK (number < 2) NOT VALID",
            "ALTER TABLE trial_thing VALIDATE CONSTRAINT k",
        ),
        "check",
    ),
    (
        sql(
            "ALTER TABLE trial_thing ADD CONSTRAINT k NOT NULL number NOT VALID",
            "ALTER TABLE trial_thing VALIDATE CONSTRAINT k",
        ),
        "not-null",
    ),
    (
        sql(
            "INSERT INTO trial_thing (id, name) VALUES (9, 'x')",
            "CREATE INDEX i ON trial_thing (id)",
        ),
        "pending-checks",
    ),
    (
        sql(
            "UPDATE trial_thing AS t SET (number, other_id) = (1, 1) WHERE t.id = 1",
            "ALTER TABLE trial_thing ADD more integer",
        ),
        "pending-checks",
    ),
    (
        sql("DELETE FROM trial_other WHERE id = 2", "ALTER TABLE trial_other ADD more integer"),
        "pending-checks",
    ),
]
PASSING = [
    AddConstraintNotValid("thing", SMALL),
    sql("ALTER TABLE trial_thing ADD CONSTRAINT k CHECK (number < 2) NOT ENFORCED"),
    sql("ALTER TABLE trial_thing ADD CONSTRAINT k NOT NULL number NOT VALID"),
    sql("ALTER TABLE trial_thing ADD FOREIGN KEY (number) REFERENCES trial_other (id) NOT VALID"),
    sql("ALTER TABLE trial_thing VALIDATE CONSTRAINT thing_counts"),
    sql("ALTER TABLE trial_thing ADD CONSTRAINT u UNIQUE (number)"),
    sql("ALTER TABLE trial_thing ADD more serial, ADD CONSTRAINT u UNIQUE (more)"),
    sql("UPDATE trial_thing SET other_id = 1 WHERE id = 77", "ALTER TABLE trial_thing ADD m int"),
    sql("UPDATE trial_thing SET name = 'b'", "ALTER TABLE trial_thing ADD more integer"),
    sql("DELETE FROM trial_thing WHERE id = 1", "ALTER TABLE trial_thing ADD more integer"),
    sql(
        "INSERT INTO trial_thing (id, name) VALUES (9, 'x')",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "ALTER TABLE trial_thing ADD more integer",
    ),
    sql("DROP TABLE IF EXISTS nothing", "ALTER TABLE IF EXISTS nothing ADD more integer"),
    sql(
        "COMMENT ON INDEX thing_number IS 'x'",
        "COMMENT ON CONSTRAINT thing_counts ON trial_thing IS 'x'",
    ),
    sql("CREATE TEMP TABLE kept AS SELECT id FROM trial_thing", "DROP TABLE kept"),
]


def things():
    """Two rows of which one has no number, and numbers beyond what is pointed to."""
    state = make_tables(rows=4)
    run(
        "UPDATE trial_thing SET number = NULL WHERE id < 3",
        "INSERT INTO trial_other (id) VALUES (1), (2)",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SET CONSTRAINTS ALL DEFERRED",
    )
    return state


@pytest.mark.parametrize(("operation", "rule"), FAILING)
def test_what_would_fail_is_told_and_fails(operation, rule):
    state = things()
    plan, one = planned(state, operation)
    assert errors(one) == {rule}, one.reasons
    assert rule in rules(one)
    assert not plan.is_valid()
    assert refusal_of(state, operation)


@pytest.mark.parametrize("operation", PASSING)
def test_what_would_not_fail_is_not_said_to(operation):
    state = things()
    plan, one = planned(state, operation)
    assert plan.errors == [], one.reasons
    assert "missing-table" not in rules(one, Risk.MEDIUM)
    assert refusal_of(state, operation) == ""


def test_a_constraint_that_is_not_valid_yet_is_looked_at_when_it_is_validated():
    state = things()
    run("ALTER TABLE trial_thing ADD CONSTRAINT thing_is_small CHECK (number < 2) NOT VALID")
    _plan, one = planned(state, ValidateConstraint("thing", "thing_is_small"))
    assert errors(one) == {"check"}
    (reason,) = [reason for reason in one.reasons if reason.is_error]
    assert reason.text == "2 rows of trial_thing break thing_is_small."
    run("ALTER TABLE trial_thing DROP CONSTRAINT thing_is_small")
    run("ALTER TABLE trial_thing ADD CONSTRAINT k NOT NULL number NOT VALID")
    _plan, one = planned(state, sql("ALTER TABLE trial_thing VALIDATE CONSTRAINT k"))
    assert errors(one) == {"not-null"}


def test_what_an_update_in_python_leaves_to_be_checked_is_a_doubt():
    def point(apps, schema_editor):
        apps.get_model("trial.Thing").objects.update(other_id=1)

    operations = [
        migrations.RunPython(point, NOTHING),
        migrations.AddField("thing", "more", models.IntegerField(null=True)),
    ]
    _plan, one = planned(things(), *operations)
    assert "pending-checks" in rules(one, Risk.MEDIUM)
    assert errors(one) == set()
    _plan, one = planned(things_again(), *operations, atomic=False)
    assert "pending-checks" not in rules(one, Risk.MEDIUM)


def things_again():
    run("DROP TABLE trial_thing, trial_other")
    return things()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("is_in_two", [False, True])
def test_a_unique_index_that_is_made_anew_is_looked_at(kind, is_in_two):
    """As the autodetector changes a constraint: taken away and added under the same name."""
    first = models.UniqueConstraint(fields=["id"], name="once", condition=Q(number__gte=0))
    second = models.UniqueConstraint(fields=["name"], name="once", condition=Q(number__gte=0))
    swap = [migrations.RemoveConstraint("thing", "once"), migrations.AddConstraint("thing", second)]

    def look():
        state = make_tables(rows=3)
        add = migrations.AddConstraint("thing", first)
        before = state.clone()
        add.state_forwards(APP, state)
        with connection.schema_editor(atomic=False) as editor:
            add.database_forwards(APP, editor, before, state)
        run("UPDATE trial_thing SET name = 'a1' WHERE id = 2")
        parts = [[one] for one in swap] if is_in_two else [swap]
        waiting = [migration(*part, name=f"{n}") for n, part in enumerate(parts)]
        return make_plan(waits(state, *waiting))

    if kind == "sqlite":
        with on_sqlite():
            plan = look()
    else:
        plan = look()
    assert errors(plan.migrations[-1]) == {"unique"}


# --- Names --------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_names_without_quotes_are_in_no_case(kind):
    def look():
        _plan, one = planned(make_tables(rows=1), sql("ALTER TABLE TRIAL_Thing DROP COLUMN Name"))
        assert "drops-column" in rules(one)
        assert [table.name for table in one.tables] == [THING]

    if kind == "sqlite":
        with on_sqlite():
            look()
    else:
        look()


def test_a_table_that_nobody_knows_is_told():
    _plan, one = planned(make_tables(), sql("ALTER TABLE trial_thingy ADD more integer"))
    assert rules(one, Risk.MEDIUM) == {"missing-table"}


# --- Rows that are lost ---------------------------------------------------------------------------
def test_each_table_that_is_dropped_or_emptied_is_told():
    state = things()
    run("UPDATE trial_thing SET other_id = 1")
    _plan, one = planned(state, sql("DROP TABLE trial_other, trial_thing"))
    assert {reason.text for reason in one.reasons if reason.rule == "drops-table"} == {
        f"The version that runs now works with {name}." for name in (THING, OTHER)
    }
    _plan, one = planned(state, sql("TRUNCATE trial_other CASCADE"))
    assert {reason.text for reason in one.reasons if reason.rule == "loses-data"} == {
        "All 2 rows of trial_other are deleted.",
        "All 4 rows of trial_thing are deleted.",
    }


def test_values_that_a_type_would_round_are_counted():
    state = make_tables(rows=3)
    run("ALTER TABLE trial_thing ADD price numeric(8, 2) NOT NULL DEFAULT 1.50, ADD at timestamptz")
    run(
        "UPDATE trial_thing SET price = 2 WHERE id = 1",
        "UPDATE trial_thing SET at = '2026-11-27 09:30Z'",
    )
    plan, one = planned(state, sql("ALTER TABLE trial_thing ALTER price TYPE numeric(8, 0)"))
    (reason,) = [reason for reason in one.reasons if reason.rule == "loses-data"]
    assert reason.text.startswith("2 values of trial_thing.price are rounded or cut")
    assert (plan.risk, plan.errors) == (Risk.HIGH, [])
    _plan, one = planned(state, sql("ALTER TABLE trial_thing ALTER at TYPE date USING at::date"))
    assert "loses-data" in rules(one)
    _plan, one = planned(state, sql("ALTER TABLE trial_thing ALTER price TYPE numeric(10, 3)"))
    assert "loses-data" not in rules(one)


# --- Who waits, and for how long ------------------------------------------------------------------
def test_rows_that_are_locked_for_long_are_told():
    """Nobody can change a row that a long transaction has changed."""
    state = make_tables(is_big=True)
    run("INSERT INTO trial_thing (id, name) SELECT n, 'b' FROM generate_series(100001, 400000) n")
    everything = sql("UPDATE trial_thing SET name = 'c'")
    _plan, one = planned(state, everything)
    assert rules(one, Risk.MEDIUM) == {"locks-rows"}
    assert "Up to 400000 rows of trial_thing are locked" in one.reasons[0].text
    _plan, one = planned(state, everything, everything, everything)
    assert rules(one) == {"locks-rows"}
    _plan, one = planned(state, everything, everything, everything, atomic=False)
    assert rules(one, Risk.MEDIUM) == {"locks-rows"}
    _plan, one = planned(state, sql("UPDATE trial_thing SET name = 'c' WHERE id < 10"))
    assert one.risk == Risk.LOW
    _plan, one = planned(state, sql("INSERT INTO trial_thing (name) SELECT name FROM trial_thing"))
    assert one.risk == Risk.LOW
    state.remove_model(APP, "thing")
    _plan, one = planned(state, everything)
    assert one.risk == Risk.LOW, "nobody works with it"


def in_batches(apps, schema_editor):
    rows = apps.get_model(app_label="trial", model_name="Thing").objects
    last = 0
    while ids := list(rows.filter(pk__gt=last).values_list("pk", flat=True)[:1000]):
        rows.filter(pk__in=ids).update(number=1)
        last = ids[-1]


def in_bulk(apps, schema_editor):
    rows = apps.get_model("trial.Thing").objects
    rows.bulk_update(rows.all(), ["number"])


def by_hand(apps, schema_editor):
    schema_editor.execute("ALTER TABLE trial_thing ADD more integer")


def test_functions_that_work_in_batches_lock_no_rows_for_long():
    state = make_tables(is_big=True)
    run("INSERT INTO trial_thing (id, name) SELECT n, 'b' FROM generate_series(100001, 400000) n")
    batches = migrations.RunPython(in_batches, NOTHING)
    _plan, one = planned(state, batches)
    assert one.steps[0].step.tables == (THING,)
    assert "locks-rows" in rules(one, Risk.MEDIUM)
    _plan, one = planned(state, batches, atomic=False)
    assert one.risk == Risk.LOW
    _plan, bulk = planned(state, migrations.RunPython(in_bulk, NOTHING))
    assert bulk.steps[0].step.tables == (THING,)
    assert bulk.seconds > 100, "each row is a condition of its own"


def test_a_function_with_sql_of_its_own_is_told():
    _plan, one = planned(make_tables(), migrations.RunPython(by_hand, NOTHING))
    assert rules(one, Risk.MEDIUM) == {"unknown-statement"}


def test_a_unique_rule_on_a_big_table_is_made_while_nobody_can_read():
    state = make_tables(is_big=True)
    unique = migrations.AlterUniqueTogether("thing", {("name", "number")})
    _plan, one = planned(state, unique)
    assert "blocking-index" in rules(one)
    run("CREATE UNIQUE INDEX made ON trial_thing (name, number)")
    made = sql("ALTER TABLE trial_thing ADD CONSTRAINT made UNIQUE USING INDEX made")
    _plan, one = planned(state, made)
    assert "blocking-index" not in rules(one)


# --- How long it takes --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("operation", "is_rewritten"),
    [
        (sql("ALTER TABLE trial_thing ADD more bigserial"), True),
        (sql("ALTER TABLE trial_thing ADD more int GENERATED BY DEFAULT AS IDENTITY"), True),
        (sql("ALTER TABLE trial_thing ADD more int GENERATED ALWAYS AS (number) STORED"), True),
        (sql("ALTER TABLE trial_thing ADD more float DEFAULT (1 + random())"), True),
        (sql("ALTER TABLE trial_thing SET UNLOGGED"), True),
        (sql("ALTER TABLE trial_thing ADD more int GENERATED ALWAYS AS (number) VIRTUAL"), False),
        (
            migrations.AddField(
                "thing",
                "more",
                models.GeneratedField(
                    expression=F("number") * 2, output_field=models.IntegerField(), db_persist=False
                ),
            ),
            False,
        ),
        (migrations.AddField("thing", "more", models.FloatField(db_default=Pi())), False),
        (migrations.AddField("thing", "more", models.DateTimeField(db_default=Now())), False),
        (migrations.AddField("thing", "more", models.TextField(db_default="a\\'random()")), False),
        (
            migrations.AddField(
                "thing", "more", models.IntegerField(db_default=Value(1) + Value(2))
            ),
            False,
        ),
    ],
)
def test_a_table_is_rewritten_where_postgresql_says_so(operation, is_rewritten):
    state = make_tables(is_big=True)
    _plan, one = planned(state, operation)
    assert ("rewrites-table" in rules(one)) is is_rewritten
    node = "SELECT pg_relation_filenode('trial_thing')"
    with connection.cursor() as cursor:
        cursor.execute(node)
        before = cursor.fetchone()
        with connection.schema_editor(atomic=False) as editor:
            migration(operation).apply(state.clone(), editor)
        cursor.execute(node)
        assert (cursor.fetchone() != before) is is_rewritten


def test_a_formula_that_changes_and_full_vacuum_rewrite_the_table():
    state = make_tables(is_big=True)
    run("ALTER TABLE trial_thing ADD more int GENERATED ALWAYS AS (number) STORED")
    for statement in (
        "ALTER TABLE trial_thing ALTER more SET EXPRESSION AS (number + 1)",
        "CLUSTER trial_thing USING thing_number",
        "VACUUM FULL trial_thing",
        "VACUUM (ANALYZE, FULL) trial_thing",
    ):
        _plan, one = planned(state, sql(statement))
        assert "rewrites-table" in rules(one)
        assert one.seconds > 0.05


def test_seconds_are_of_the_rows_that_are_meant():
    state = make_tables(is_big=True)
    _plan, every = planned(state, sql("UPDATE trial_thing SET name = 'b'"))
    for statement in (
        "UPDATE trial_thing AS t SET name = 'b' WHERE t.id < 5",
        "UPDATE trial_thing SET name = 'b' FROM trial_other o WHERE o.id = other_id",
        "DELETE FROM trial_thing WHERE id < 5",
        "DELETE FROM trial_thing t USING trial_other o WHERE o.id = t.other_id",
    ):
        _plan, few = planned(state, sql(statement))
        assert few.seconds < every.seconds / 10
    _plan, unknown = planned(state, sql("UPDATE trial_thing SET name = 'b' WHERE nothing"))
    assert unknown.seconds == every.seconds
    # As Django fills a column before it may be empty no more: nobody waits for rows that are full.
    _plan, one = planned(
        state, migrations.AlterField("thing", "number", models.IntegerField(default=7))
    )
    assert "exclusive-lock" not in rules(one) | rules(one, Risk.MEDIUM)
    whole = models.Index(fields=["name"], name="whole")
    part = models.Index(fields=["name"], name="part", condition=Q(number__lt=5))
    _plan, one = planned(state, migrations.AddIndex("thing", whole))
    _plan, less = planned(state, migrations.AddIndex("thing", part))
    assert less.seconds < one.seconds / 3


def test_wide_rows_and_other_kinds_of_indexes_take_longer():
    state = make_tables(is_big=True)
    statements = [
        "UPDATE trial_thing SET number = 1",
        "ALTER TABLE trial_thing ALTER number TYPE bigint",
        "ALTER TABLE trial_thing ADD CHECK (number < 1000000) NOT VALID",
        "ALTER TABLE trial_thing ADD CHECK (number < 1000000)",
    ]
    narrow = [planned(state, sql(one))[1].seconds for one in statements]
    run(
        "ALTER TABLE trial_thing ADD body text",
        "ALTER TABLE trial_thing ALTER body SET STORAGE PLAIN",
    )
    run("UPDATE trial_thing SET body = repeat('x', 1500)")
    wide = [planned(state, sql(one))[1].seconds for one in statements]
    assert [after > 2 * before for before, after in zip(narrow, wide, strict=True)] == [
        True, True, False, True,
    ]  # fmt: skip
    gin = "CREATE INDEX i ON trial_thing USING gin (to_tsvector('simple', name))"
    assert planned(state, sql(gin))[1].seconds > 0.5


def test_a_new_table_that_points_to_a_big_one_keeps_nobody():
    """There is no row to check; the big table is not read."""
    state = make_tables(is_big=True)
    new = migrations.CreateModel(
        "New",
        [
            ("id", models.BigAutoField(primary_key=True)),
            ("thing", models.ForeignKey("trial.Thing", models.PROTECT)),
        ],
    )
    _plan, one = planned(state, new)
    assert one.seconds < 0.01


# --- What no models allow -----------------------------------------------------------------------
def test_an_operation_that_no_models_allow_is_an_error():
    _plan, one = planned(make_tables(), migrations.RemoveField("thing", "nothing"))
    assert errors(one) == {"uncollected"}
