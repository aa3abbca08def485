"""The migration operation that guards a ledger, on both databases."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, models, transaction
from django.db.migrations.state import ModelState, ProjectState

from ops.append_only import AppendOnly, missing_triggers
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


def is_guarded(database):
    """Whether rows can be added and neither altered nor deleted."""
    with database.cursor() as cursor:
        cursor.execute("INSERT INTO ops_probeledger (n) VALUES (1)")
        refusals = []
        for statement in ("UPDATE ops_probeledger SET n = 2", "DELETE FROM ops_probeledger"):
            try:
                with transaction.atomic():
                    cursor.execute(statement)
            except DatabaseError as error:
                refusals.append(str(error))
    return len(refusals) == 2 and all("is append-only" in refusal for refusal in refusals)


def check_that_the_ledger_can_be_guarded(database):
    with database.schema_editor() as editor:
        editor.create_model(state().apps.get_model("ops", "ProbeLedger"))
    assert missing_triggers(database, TABLE) == [TABLE]
    assert not is_guarded(database)
    guard(database)
    assert missing_triggers(database, TABLE) == []
    assert is_guarded(database)
    guard(database)  # again, as after a table was rebuilt
    assert missing_triggers(database, TABLE) == []
    guard(database, away=True)
    assert missing_triggers(database, TABLE, "ops_other") == [TABLE, "ops_other"]
    assert not is_guarded(database)


@pytest.mark.postgresql
def test_postgresql_guards_a_ledger():
    check_that_the_ledger_can_be_guarded(connection)


def test_sqlite_guards_a_ledger():
    with on_sqlite():
        check_that_the_ledger_can_be_guarded(connections["default"])


@pytest.mark.postgresql
def test_a_trigger_that_is_switched_off_guards_nothing():
    with connection.schema_editor() as editor:
        editor.create_model(state().apps.get_model("ops", "ProbeLedger"))
    guard(connection)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ops_probeledger DISABLE TRIGGER ops_probeledger_append_only")
    assert missing_triggers(connection, TABLE) == [TABLE]


def test_the_operation_says_what_it_does():
    operation = AppendOnly("ProbeLedger")
    assert operation.describe() == "Refuse UPDATE and DELETE on ProbeLedger"
    assert operation.migration_name_fragment == "probeledger_append_only"
    name, arguments, more = operation.deconstruct()
    again = AppendOnly(*arguments, **more)
    assert (name, again.model_name) == ("AppendOnly", "ProbeLedger")
