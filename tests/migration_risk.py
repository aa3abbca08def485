"""Says what the migrations of the next release risk, and fails where one does not say why.

    python -m tests.servers -- .venv/bin/python -m tests.migration_risk

makes a database as the last release left it (the migrations in tests/released_migrations.txt) and
plans those that came since. A list in the tree and no question to git: a clone in CI may know no
commit but its own, and who upgrades goes from release to release. The tables are empty, so what is
judged is the form of a migration; what rows and sizes add to it, `safe_migrate --plan` says where
it will run. A migration of a library whose risk was weighed is put on the list by hand.

    … -m tests.migration_risk --record

writes the list anew, when a release is made.
"""

import os
import sys
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

RELEASED = Path(__file__).with_name("released_migrations.txt")

type Names = Iterable[tuple[str, str]]


def released() -> list[tuple[str, str]]:
    """App and name of each migration of the last release."""
    lines = RELEASED.read_text(encoding="ascii").split()
    return [(app, name) for app, _dot, name in (line.partition(".") for line in lines)]


def record() -> None:
    """Keep all migrations of this version as those of the last release."""
    names = sorted(f"{app}.{name}" for app, name in MigrationLoader(None).graph.nodes)
    RELEASED.write_text("\n".join(names) + "\n", encoding="ascii")


def make(names: Names) -> None:
    """Make the database of these migrations, of which none is wanted without those before it."""
    executor = MigrationExecutor(connection)
    known = set(names)
    nodes = executor.loader.graph.node_map
    last = [
        key
        for key in known
        if not any(child.key in known and child.key[0] == key[0] for child in nodes[key].children)
    ]
    executor.migrate(last)


def check(names: Names) -> None:
    """Make the database of these migrations, and plan the others; exits with 1 for a risk.

    Says the last line of the plan, and all of it where it fails.
    """
    make(names)
    said = StringIO()
    try:
        call_command("safe_migrate", "--plan", "--fail-on-high", stdout=said)
    except SystemExit:
        sys.stdout.write(said.getvalue())
        raise
    sys.stdout.write(said.getvalue().rstrip().splitlines()[-1] + "\n")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    if sys.argv[1:] == ["--record"]:
        record()
    else:
        check(released())
