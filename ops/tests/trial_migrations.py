"""Two tables of no app, with real migrations that are planned on them."""

from django.apps.registry import apps as installed
from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState

from ops.safe_migrate.collecting import Waiting
from ops.safe_migrate.plan import make_plan
from ops.safe_migrate.rules import Risk

APP = "trial"
THING, OTHER = "trial_thing", "trial_other"
BIG = 100_000
INSERT = "INSERT INTO trial_thing (id, name, number) VALUES (%s, %s, %s)"
BIG_ROWS = {
    "postgresql": (
        "INSERT INTO trial_thing (id, name, number) "
        "SELECT n, 'a' || n, n FROM generate_series(1, 100000) AS n"
    ),
    "sqlite": (
        "INSERT INTO trial_thing (id, name, number) "
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000) "
        "SELECT n, 'a' || n, n FROM s"
    ),
}
MODELS = [
    migrations.CreateModel("Other", [("id", models.BigAutoField(primary_key=True))]),
    migrations.CreateModel(
        "Thing",
        [
            ("id", models.BigAutoField(primary_key=True)),
            ("name", models.CharField(max_length=20)),
            ("number", models.IntegerField(null=True)),
            ("other", models.ForeignKey("trial.Other", models.PROTECT, null=True)),
        ],
        options={
            "indexes": [models.Index(fields=["number"], name="thing_number")],
            "constraints": [
                models.CheckConstraint(condition=models.Q(number__gte=0), name="thing_counts")
            ],
        },
    ),
]


def migration(*operations, name="0002_next", atomic=True, doc=None):
    """A migration of the trial app, of these operations."""
    facts = {"operations": list(operations), "atomic": atomic, "__doc__": doc}
    made = type("Migration", (migrations.Migration,), facts)
    made.__module__ = "nowhere"
    return made(name, APP)


def make_tables(*, rows=0, is_big=False):
    """Make both tables; things are numbered from 1, and called a1, a2 …; they point to nothing."""
    state = ProjectState(real_apps=set())
    editor = connection.schema_editor(atomic=False)
    with editor:
        for operation in MODELS:
            before = state.clone()
            operation.state_forwards(APP, state)
            operation.database_forwards(APP, editor, before, state)
    with connection.cursor() as cursor:
        if is_big:
            cursor.execute(BIG_ROWS[connection.vendor])
        rows_of = [(number, f"a{number}", number) for number in range(1, rows + 1)]
        cursor.executemany(INSERT, rows_of)
        if connection.vendor == "postgresql":
            # No check of these rows waits, or the tables could not be altered.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    assert not installed.is_installed(APP)
    return state


def waits(state, *waiting):
    """These migrations, that wait for these tables."""
    return Waiting(state.clone(), list(waiting))


def planned(state, *operations, **facts):
    """The plan of one migration, and what was planned of it."""
    plan = make_plan(waits(state, migration(*operations, **facts)))
    (one,) = plan.migrations
    return plan, one


def rules(one, risk=Risk.HIGH):
    """What makes it as risky as this."""
    return {reason.rule for reason in one.reasons if reason.risk == risk}


def errors(one):
    """Why it would fail."""
    return {reason.rule for reason in one.reasons if reason.is_error}


def run(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
