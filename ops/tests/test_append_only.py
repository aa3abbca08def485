"""The migration operation that guards a ledger, on both databases."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState
from django.utils.translation import override

from ops.append_only import AppendOnly, Writable, unguarded
from ops.change_marks import MarksChanges
from ops.tests.databases import on_sqlite

pytestmark = pytest.mark.django_db
TABLE = "ops_probeledger"


def state():
    one = ProjectState()
    fields: Any = [("id", models.AutoField(primary_key=True)), ("n", models.IntegerField())]
    one.add_model(ModelState("ops", "ProbeLedger", fields))
    return one


def guard(database, *, away=False):
    operation, project = AppendOnly("ProbeLedger"), state()
    operation.state_forwards("ops", project)
    with database.schema_editor() as editor:
        apply = operation.database_backwards if away else operation.database_forwards
        apply("ops", editor, project, project)


STATEMENTS = ["UPDATE ops_probeledger SET n = 2", "DELETE FROM ops_probeledger"]


def is_guarded(database):
    """Whether rows can be added, and neither altered nor deleted nor truncated."""
    statements = [*STATEMENTS, "TRUNCATE ops_probeledger"]
    with database.cursor() as cursor:
        cursor.execute("INSERT INTO ops_probeledger (n) VALUES (1)")
        refusals = []
        for statement in statements if database.vendor == "postgresql" else STATEMENTS:
            try:
                with transaction.atomic():
                    cursor.execute(statement)
            except DatabaseError as error:
                refusals.append(str(error))
        cursor.execute("SELECT n FROM ops_probeledger")
        left = set(cursor.fetchall())
    return left == {(1,)} and all(f"{TABLE} is append-only" in refusal for refusal in refusals)


def unguarded_by(database):
    """The names of what is missing, altered or foreign, as `unguarded` tells them."""
    with override("en"):
        return [problem for _table, problem in unguarded(database, TABLE)]


@pytest.fixture
def ledger():
    """A guarded table."""
    with connection.schema_editor() as editor:
        editor.create_model(state().apps.get_model("ops", "ProbeLedger"))
    guard(connection)
    return connection


def check_that_the_ledger_can_be_guarded(database):
    with database.schema_editor() as editor:
        editor.create_model(state().apps.get_model("ops", "ProbeLedger"))
    missing = len(unguarded_by(database))
    assert missing == 2
    assert not is_guarded(database)
    guard(database)
    assert unguarded_by(database) == []
    assert is_guarded(database)
    guard(database)  # again, as after a table was rebuilt
    assert unguarded_by(database) == []
    guard(database, away=True)
    assert len(unguarded_by(database)) == missing
    assert not is_guarded(database)


@pytest.mark.postgresql
def test_postgresql_guards_a_ledger():
    check_that_the_ledger_can_be_guarded(connection)


def test_sqlite_guards_a_ledger():
    with on_sqlite():
        check_that_the_ledger_can_be_guarded(connections["default"])


def check_that_it_is_guarded_on_the_way_back(database):
    with database.schema_editor() as editor:
        editor.create_model(state().apps.get_model("ops", "ProbeLedger"))
    guard(database)
    lifted = Writable("ProbeLedger")
    with database.schema_editor() as editor:
        lifted.database_forwards("ops", editor, state(), state())
    assert not is_guarded(database)
    with database.schema_editor() as editor:
        lifted.database_backwards("ops", editor, state(), state())
    assert is_guarded(database)
    assert unguarded_by(database) == []


@pytest.mark.postgresql
def test_an_altered_table_is_guarded_on_the_way_back_on_postgresql():
    check_that_it_is_guarded_on_the_way_back(connection)


def test_an_altered_table_is_guarded_on_the_way_back_on_sqlite():
    with on_sqlite():
        check_that_it_is_guarded_on_the_way_back(connections["default"])


NAME = "ops_probeledger_append_only"
ALTERED = [f"trigger {NAME} was altered: rows could be altered"]
REPLACED = (
    f"DROP TRIGGER {NAME} ON {TABLE}; CREATE TRIGGER {NAME} BEFORE {{}} ON {TABLE} "
    f"FOR EACH ROW {{}} EXECUTE FUNCTION {NAME}()"
)
FUNCTION = "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}"


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("statement", "problems"),
    [
        (f"ALTER TABLE {TABLE} DISABLE TRIGGER {NAME}", ALTERED),
        (f"ALTER TABLE {TABLE} ENABLE REPLICA TRIGGER {NAME}", ALTERED),
        (
            FUNCTION.format(NAME, "'BEGIN RETURN NEW; END'"),
            [*ALTERED, "trigger ops_probeledger_no_truncate was altered: rows could be altered"],
        ),
        (
            f"DROP TRIGGER {NAME} ON {TABLE}",
            [f"trigger {NAME} is missing: rows could be altered"],
        ),
        (REPLACED.format("DELETE", ""), ALTERED),
        (REPLACED.format("UPDATE OR DELETE", "WHEN (OLD.n > 9)"), ALTERED),
        (REPLACED.format("DELETE OR UPDATE OF id", ""), ALTERED),
        (
            FUNCTION.format("meddle", "'BEGIN NEW.n = 9; RETURN NEW; END'")
            + f"; CREATE TRIGGER meddle BEFORE INSERT ON {TABLE} "
            "FOR EACH ROW EXECUTE FUNCTION meddle()",
            ["meddle is not the platform's: it could alter or hide rows"],
        ),
        (
            f"CREATE TABLE child () INHERITS ({TABLE})",
            ["child is not the platform's: it could alter or hide rows"],
        ),
        (
            f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY",
            ["row level security is not the platform's: it could alter or hide rows"],
        ),
        (
            "SET LOCAL session_replication_role = replica",
            ["session_replication_role is not the platform's: it could alter or hide rows"],
        ),
        (
            "ALTER ROLE CURRENT_USER SET session_replication_role = replica",
            ["session_replication_role is not the platform's: it could alter or hide rows"],
        ),
        (
            f"CREATE RULE swallow AS ON INSERT TO {TABLE} DO INSTEAD NOTHING",
            ["swallow is not the platform's: it could alter or hide rows"],
        ),
    ],
)
def test_a_guard_that_was_touched_is_told(ledger, statement, problems):
    with ledger.cursor() as cursor:
        cursor.execute(statement)
    assert unguarded_by(ledger) == problems


@pytest.mark.parametrize(
    ("only_when", "action"),
    [("", "1"), ("WHEN OLD.n > 9", f"RAISE(ABORT, '{TABLE} is append-only')")],
)
def test_a_guard_that_was_touched_is_told_on_sqlite(only_when, action):
    with on_sqlite():
        database = connections["default"]
        with database.schema_editor() as editor:
            editor.create_model(state().apps.get_model("ops", "ProbeLedger"))
        guard(database)
        with database.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER {TABLE}_no_delete")
            cursor.execute(
                f"CREATE TRIGGER {TABLE}_no_delete BEFORE DELETE ON {TABLE} {only_when} "
                f"BEGIN SELECT {action}; END"
            )
        assert unguarded_by(database) == [
            f"trigger {TABLE}_no_delete was altered: rows could be altered"
        ]


def guarded_models():
    """The models whose tables are guarded, and the first migration that does it."""
    guarded: dict[tuple[str, str], str] = {}
    for (app, name), migration in sorted(MigrationLoader(None).disk_migrations.items()):
        for operation in migration.operations:
            if type(operation) is AppendOnly:
                guarded.setdefault((app, operation.model_name.lower()), name)
    return guarded


def test_every_migration_that_alters_a_ledger_guards_it_again():
    """On SQLite an altered table is a new one, without the triggers of the old."""
    guarded = guarded_models()
    assert guarded["accounts", "pointsentry"] == "0002_points_ledger_append_only"
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        last = {}
        for operation in migration.operations:
            if type(operation) is MarksChanges:
                continue  # it joins the guards and alters nothing
            model = getattr(operation, "model_name", "") or getattr(operation, "name", "")
            last[str(model).lower()] = operation
        for model, operation in last.items():
            if name > guarded.get((app, model), name):
                assert type(operation) is AppendOnly, f"{app}.{name} leaves {model} unguarded"


def test_the_operation_says_what_it_does():
    operation = AppendOnly("ProbeLedger")
    assert operation.describe() == "Refuse everything but INSERT on ProbeLedger"
    lifted = Writable("ProbeLedger")
    assert lifted.describe() == "Let ProbeLedger be altered"
    assert lifted.migration_name_fragment == "probeledger_writable"
    assert operation.migration_name_fragment == "probeledger_append_only"
    name, arguments, more = operation.deconstruct()
    again = AppendOnly(*arguments, **more)
    assert (name, again.model_name) == ("AppendOnly", "ProbeLedger")
