"""The migration operation that guards a ledger, on both databases."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, models, transaction
from django.db.migrations.state import ModelState, ProjectState

from ops.append_only import AppendOnly, missing_triggers
from ops.tests.databases import on_sqlite

pytestmark = pytest.mark.django_db
TABLE = "ops_ledger"


def state():
    one = ProjectState()
    fields: Any = [("id", models.AutoField(primary_key=True)), ("n", models.IntegerField())]
    one.add_model(ModelState("ops", "Ledger", fields))
    return one


def guard(database, *, away=False):
    operation, project = AppendOnly("Ledger"), state()
    operation.state_forwards("ops", project)
    with database.schema_editor() as editor:
        apply = operation.database_backwards if away else operation.database_forwards
        apply("ops", editor, project, project)


def holds(database):
    """Whether rows can be added and neither altered nor deleted."""
    with database.cursor() as cursor:
        cursor.execute("INSERT INTO ops_ledger (n) VALUES (1)")
        refusals = []
        for statement in ("UPDATE ops_ledger SET n = 2", "DELETE FROM ops_ledger"):
            try:
                with transaction.atomic():
                    cursor.execute(statement)
            except DatabaseError as error:
                refusals.append(str(error))
    return len(refusals) == 2 and all("is append-only" in refusal for refusal in refusals)


def try_it(database):
    with database.schema_editor() as editor:
        editor.create_model(state().apps.get_model("ops", "Ledger"))
    assert missing_triggers(database, TABLE) == [TABLE]
    assert not holds(database)
    guard(database)
    assert missing_triggers(database, TABLE) == []
    assert holds(database)
    guard(database)  # again, as after a table was rebuilt
    assert missing_triggers(database, TABLE) == []
    guard(database, away=True)
    assert missing_triggers(database, TABLE, "ops_other") == [TABLE, "ops_other"]
    assert not holds(database)


@pytest.mark.postgresql
def test_on_postgresql():
    try_it(connection)


def test_on_sqlite():
    with on_sqlite():
        try_it(connections["default"])


@pytest.mark.postgresql
def test_a_trigger_that_is_switched_off_guards_nothing():
    with connection.schema_editor() as editor:
        editor.create_model(state().apps.get_model("ops", "Ledger"))
    guard(connection)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ops_ledger DISABLE TRIGGER ops_ledger_append_only")
    assert missing_triggers(connection, TABLE) == [TABLE]


def test_it_says_what_it_does():
    operation = AppendOnly("Ledger")
    assert operation.describe() == "Refuse UPDATE and DELETE on Ledger"
    assert operation.migration_name_fragment == "ledger_append_only"
    name, arguments, more = operation.deconstruct()
    again = AppendOnly(*arguments, **more)
    assert (name, again.model_name) == ("AppendOnly", "Ledger")
