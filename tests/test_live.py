"""The databases of live platforms are copies of one that is what the migrations make now."""

import os

import psycopg
import pytest
from django.db.migrations.loader import MigrationLoader

from tests.live import TEMPLATES, of_migrations, own_database


def test_another_migration_makes_another_name():
    found = dict(MigrationLoader(None).disk_migrations)
    name = of_migrations(found)
    assert of_migrations(dict(reversed(found.items()))) == name

    first, second, *_others = found
    renamed = {(first[0], "0001_other") if key == first else key: found[key] for key in found}
    changed = found | {first: found[second]}
    fewer = {key: found[key] for key in found if key != first}
    assert len({name, *map(of_migrations, (renamed, changed, fewer))}) == 4


@pytest.mark.postgresql
def test_what_other_migrations_made_is_dropped():
    older = f"{TEMPLATES}_older"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{older}"')
        with own_database() as made:
            found = connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [TEMPLATES]
            ).fetchall()
            with psycopg.connect(made["DATABASE_URL"]) as own:
                rows = own.execute("SELECT app, name FROM django_migrations").fetchall()

    assert (older,) not in found
    assert set(rows) == set(MigrationLoader(None).disk_migrations)
    assert [name for (name,) in found if not name.endswith("_being_made")] == [
        f"{TEMPLATES}_{of_migrations(MigrationLoader(None).disk_migrations)}"
    ]
