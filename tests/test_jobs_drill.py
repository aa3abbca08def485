"""Workers are killed while jobs are due: the short form of `make bench-jobs`."""

import os

import pytest

from bench.jobs import Plan, drill
from tests.live import own_database

pytestmark = pytest.mark.postgresql

SHORT = Plan(workers=4, runs=40, seconds=20, kill_every=6, lease=3)


def test_every_due_run_happens_once_though_workers_are_killed(tmp_path):
    with own_database() as database:
        environment = {**os.environ, **database, "DATA_DIR": str(tmp_path)}
        figures = drill(SHORT, environment=environment)
    print("\n".join(figures.lines()))  # noqa: T201  the figures belong to a failure
    assert figures.holds, figures.lines()
    assert (figures.done, figures.kills) == (40, 3)
    assert figures.lost >= 1
