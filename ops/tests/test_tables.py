"""What the other checks lean on: constraints that are there, and rows that point to rows."""

from contextlib import contextmanager

import pytest
from django.db import connection
from django.utils.translation import override

from accounts.models import PointsEntry, RegistrationMark
from catalog.tests.factories import make_order
from lottery.models import Draw
from lottery.tests.factories import draw_once, make_wheel, points_prize
from ops.services import integrity
from tests.ledgers import past_the_triggers, without_triggers
from tests.people import make_person

pytestmark = pytest.mark.django_db


def findings():
    with override("en"):
        return [(found.object_id, found.problem) for found in integrity.run("tables")]


def test_the_tables_of_the_migrations_are_whole():
    make_order()
    draw_once(make_person(points=100), make_wheel(points_prize("5", probability=1)))
    assert findings() == []


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("DROP INDEX pointsentry_once_per_cause", "pointsentry_once_per_cause"),
        (
            "ALTER TABLE accounts_pointsentry DROP CONSTRAINT pointsentry_one_sequence",
            "pointsentry_one_sequence",
        ),
        (
            "ALTER TABLE accounts_pointsentry DROP CONSTRAINT pointsentry_changes_something",
            "pointsentry_changes_something",
        ),
        (
            "ALTER TABLE accounts_pointsentry ALTER created_at DROP NOT NULL",
            "NOT NULL (created_at)",
        ),
    ],
)
def test_a_constraint_that_was_dropped_is_found(statement, name):
    with connection.cursor() as cursor:
        cursor.execute(statement)
    table = PointsEntry._meta.db_table
    assert findings() == [(table, f"the constraint {name} is missing: rows could be wrong")]


@pytest.mark.postgresql
def test_a_unique_column_that_is_unique_no_more_is_found():
    table = RegistrationMark._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'u' AND conrelid = %s::regclass",
            [table],
        )
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {cursor.fetchone()[0]}")
    problem = "the constraint UNIQUE (key_hash) is missing: rows could be wrong"
    assert findings() == [(table, problem)]


@contextmanager
def unchecked():
    """Write as a superuser does whom neither triggers nor foreign keys stop."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor, past_the_triggers(cursor):
            yield
        return
    with without_triggers(Draw):  # foreign keys are asked at the end
        yield


def test_a_draw_whose_seeds_are_gone_is_found():
    """No join finds it, and so no check that goes by one."""
    drawn = draw_once(make_person(points=100), make_wheel(points_prize("5", probability=1)))
    with unchecked():
        Draw.objects.filter(pk=drawn.pk).update(seed_pair=999_999)
    found = findings()
    with unchecked():
        Draw.objects.filter(pk=drawn.pk).update(seed_pair=drawn.seed_pair_id)
    assert found == [(f"draw {drawn.pk}", "points to the seedpair 999999, which is not there")]
