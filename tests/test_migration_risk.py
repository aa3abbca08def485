"""CI asks what the next release's migrations risk; here that it notices one."""

import pytest
from django.db.migrations.loader import MigrationLoader
from django.utils import translation

from ops.tests.databases import on_sqlite
from tests.migration_risk import check, released

RISKY = ("ops", "0014_alerts")

pytestmark = pytest.mark.django_db


def test_the_list_names_migrations_that_there_are():
    known = set(MigrationLoader(None).graph.nodes)
    assert released()
    assert [name for name in released() if name not in known] == []


def test_a_high_risk_that_is_not_explained_fails(capsys):
    graph = MigrationLoader(None).graph
    before = [name for name in graph.nodes if RISKY not in graph.forwards_plan(name)]
    with on_sqlite(), translation.override("en"), pytest.raises(SystemExit) as ended:
        check(before)
    assert ended.value.code == 1
    assert "High risk that is not explained: ops.0014_alerts" in capsys.readouterr().out


def test_where_nothing_came_since_nothing_is_risked(capsys):
    with on_sqlite(), translation.override("en"):
        check(MigrationLoader(None).graph.nodes)
    assert capsys.readouterr().out == "No migration waits.\n"
