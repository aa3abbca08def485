"""The migration operation that marks changes, on both databases."""

from typing import Any

import pytest
from django.apps import apps
from django.db import connection, connections, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState
from django.utils.translation import override

from catalog.tests.factories import make_category, make_product, make_shop
from lottery.tests.factories import make_wheel
from ops.append_only import AppendOnly, unguarded
from ops.change_marks import MarksChanges, marking, unmarked
from ops.models import ChangeMark
from ops.services import integrity
from ops.services.freshness import topics
from ops.tests.databases import on_sqlite

pytestmark = pytest.mark.django_db
TABLE = "ops_probetable"


def state():
    one = ProjectState()
    fields: Any = [("id", models.AutoField(primary_key=True)), ("n", models.IntegerField())]
    one.add_model(ModelState("ops", "ProbeTable", fields))
    return one


def apply(operation, database, *, away=False):
    project = state()
    operation.state_forwards("ops", project)
    with database.schema_editor() as editor:
        way = operation.database_backwards if away else operation.database_forwards
        way("ops", editor, project, project)


def make_table(database):
    with database.schema_editor() as editor:
        editor.create_model(state().apps.get_model("ops", "ProbeTable"))


def execute(database, statement):
    with database.cursor() as cursor:
        cursor.execute(statement)


def numbers(topic="probe"):
    return set(ChangeMark.objects.filter(topic=topic).values_list("number", flat=True))


OF_POSTGRESQL = ["TRUNCATE ops_probetable"]
STATEMENTS = [
    "INSERT INTO ops_probetable (n) VALUES (1), (2)",
    "UPDATE ops_probetable SET n = 3",
    "DELETE FROM ops_probetable",
]


def check_that_changes_are_marked(database, *statements):
    make_table(database)
    assert len(unmarked(database, TABLE, "probe")) == len(marking(database.vendor, TABLE, "probe"))
    execute(database, STATEMENTS[0])
    assert numbers() == set()
    apply(MarksChanges("ProbeTable", "probe"), database)
    assert unmarked(database, TABLE, "probe") == []
    for statement in statements:
        before = numbers()
        ChangeMark.objects.filter(number__in=before).update(number=1)
        execute(database, statement)
        assert len(numbers() - {1}) == 1, statement
        ChangeMark.objects.filter(number=1).delete()
    apply(MarksChanges("ProbeTable", "probe"), database)  # again, as after a table was rebuilt
    assert unmarked(database, TABLE, "probe") == []
    apply(MarksChanges("ProbeTable", "probe"), database, away=True)
    ChangeMark.objects.all().delete()
    execute(database, STATEMENTS[0])
    assert numbers() == set()
    assert unmarked(database, TABLE, "probe") == sorted(marking(database.vendor, TABLE, "probe"))


@pytest.mark.postgresql
def test_postgresql_marks_every_kind_of_statement():
    check_that_changes_are_marked(connection, *STATEMENTS, *OF_POSTGRESQL)


def test_sqlite_marks_every_kind_of_statement():
    with on_sqlite(ChangeMark):
        check_that_changes_are_marked(connections["default"], *STATEMENTS)


@pytest.mark.postgresql
def test_a_transaction_leaves_one_mark_of_a_topic_under_its_number():
    make_table(connection)
    apply(MarksChanges("ProbeTable", "probe"), connection)
    for statement in STATEMENTS:
        execute(connection, statement)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        assert numbers() == {cursor.fetchone()[0]}


def test_on_sqlite_a_topic_has_one_row_whose_number_is_never_there_again():
    with on_sqlite(ChangeMark) as database:
        make_table(database)
        apply(MarksChanges("ProbeTable", "probe"), database)
        seen = set()
        for statement in STATEMENTS * 5:
            execute(database, statement)
            (mark,) = ChangeMark.objects.all()
            seen.add(mark.number)
        assert len(seen) > 5  # an UPDATE or DELETE of no row changes nothing
        assert all(number >= 0 for number in seen)


# --- Beside the guards of a ledger ----------------------------------------------------------------
def check_that_marks_may_stand_beside_the_guards(database, *changes):
    make_table(database)
    apply(AppendOnly("ProbeTable"), database)
    apply(MarksChanges("ProbeTable", "probe"), database)
    assert list(unguarded(database, TABLE)) == []
    execute(database, STATEMENTS[0])
    assert len(numbers()) == 1
    for change in changes:
        execute(database, change)
    with override("en"):
        (found,) = unguarded(database, TABLE)
    assert "_marks_probe" in found.problem
    assert "was altered" in found.problem
    assert len(unmarked(database, TABLE, "probe")) == 1


NAME = f"{TABLE}_marks_probe"
FUNCTION = "CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}"
REPLACED = (
    "DROP TRIGGER {0} ON {1}; CREATE TRIGGER {0} {2} ON {1} FOR EACH ROW EXECUTE FUNCTION {0}()"
)


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "change",
    [
        f"ALTER TABLE {TABLE} DISABLE TRIGGER {NAME}",
        FUNCTION.format(NAME, "'BEGIN RETURN NULL; END'"),
        REPLACED.format(NAME, TABLE, "BEFORE INSERT"),
    ],
)
def test_marks_may_stand_beside_the_guards_word_for_word(change):
    check_that_marks_may_stand_beside_the_guards(connection, change)


def test_marks_may_stand_beside_the_guards_word_for_word_on_sqlite():
    with on_sqlite(ChangeMark) as database:
        name = f"{TABLE}_marks_probe_insert"
        check_that_marks_may_stand_beside_the_guards(
            database,
            f"DROP TRIGGER {name}",
            f"CREATE TRIGGER {name} AFTER INSERT ON {TABLE} BEGIN SELECT 1; END",
        )


# --- The platform's own tables --------------------------------------------------------------------
def marked_models():
    """The models whose changes are marked, with their topic and the first migration that does."""
    marked: dict[tuple[str, str], tuple[str, str]] = {}
    for (app, name), migration in sorted(MigrationLoader(None).disk_migrations.items()):
        for operation in migration.operations:
            if isinstance(operation, MarksChanges):
                model = (app, operation.model_name.lower())
                marked.setdefault(model, (operation.topic, name))
    return marked


def test_what_a_topic_is_made_of_is_what_the_migrations_mark():
    said = {
        (model._meta.app_label, model._meta.model_name): name
        for name, of in topics.items()
        for model in of
    }
    assert said == {model: topic for model, (topic, _migration) in marked_models().items()}


def test_every_table_of_a_topic_has_its_triggers():
    for (app, name), (topic, _migration) in marked_models().items():
        table = apps.get_model(app, name)._meta.db_table
        assert unmarked(connection, table, topic) == [], table


def test_every_migration_that_alters_a_marked_table_marks_it_again():
    """On SQLite an altered table is a new one, without the triggers of the old."""
    marked = marked_models()
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        altered: dict[str, bool] = {}
        for operation in migration.operations:
            if isinstance(operation, AppendOnly):
                continue  # triggers beside these
            model = getattr(operation, "model_name", "") or getattr(operation, "name", "")
            altered[str(model).lower()] = not isinstance(operation, MarksChanges)
        for model, is_altered in altered.items():
            first = marked.get((app, model), ("", name))[1]
            assert not (name > first and is_altered), f"{app}.{name} leaves {model} unmarked"


def test_a_table_that_marks_no_more_is_told():
    assert list(integrity.run("change marks")) == []
    (name, *_more) = marking(connection.vendor, "catalog_shop", "catalog")
    on = " ON catalog_shop" if connection.vendor == "postgresql" else ""
    execute(connection, f"DROP TRIGGER {name}{on}")
    with override("en"):
        (found,) = integrity.run("change marks")
    problem = f"trigger {name} is missing or was altered: changes could be seen late"
    assert (found.object_id, found.problem) == ("catalog_shop", problem)


def test_what_people_see_leaves_a_mark():
    for topic, make in (
        ("catalog", make_shop),
        ("catalog", make_category),
        ("catalog", make_product),
        ("lottery", make_wheel),
    ):
        ChangeMark.objects.all().delete()
        make()
        assert len(numbers(topic)) == 1, make


def test_the_operation_says_what_it_does():
    operation = MarksChanges("ProbeTable", "probe")
    assert operation.describe() == "Mark changes of ProbeTable for probe"
    assert operation.migration_name_fragment == "probetable_marks_probe"
    name, arguments, more = operation.deconstruct()
    again = MarksChanges(*arguments, **more)
    assert (name, again.model_name, again.topic) == ("MarksChanges", "ProbeTable", "probe")
    assert str(ChangeMark(topic="probe", number=7)) == "probe 7"
