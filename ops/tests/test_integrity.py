"""Checks see one moment, write nothing, and keep nobody from writing."""

import re
from contextlib import closing, contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.utils.translation import override

from accounts.models import PointsEntry
from ops.models import FailedRow
from ops.registry import Registry
from ops.services import integrity
from ops.services.integrity import Check, Finding
from tests.ledgers import without_triggers
from tests.live import Platform, own_database
from tests.people import make_person


@contextmanager
def sqlite_file(path):
    """Let the default connection of this thread be a file of SQLite; gives another one to it."""
    real = connections["default"]
    settings = {
        **real.settings_dict,
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 0,
            "init_command": "PRAGMA journal_mode=WAL;",
        },
    }
    ours: Any = DatabaseWrapper(settings, "default")
    other: Any = DatabaseWrapper(settings, "default")
    connections["default"] = ours
    try:
        with ours.schema_editor() as editor:
            editor.create_model(FailedRow)
        with closing(other):
            yield other
    finally:
        connections["default"] = real
        ours.close()


def write(connection, row_id="1"):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ops_failedrow "
            "(job, row_id, failures, error, first_failed_at, last_failed_at) "
            "VALUES ('j', %s, 1, '', '2026-01-01', '2026-01-01')",
            [row_id],
        )


def count_twice():
    """A check that looks, lets others do something, and looks again."""
    for _look in range(2):
        yield Finding("rows", str(FailedRow.objects.count()), "")


@pytest.fixture
def only(monkeypatch):
    """Let there be one check."""

    def use(look):
        checks = Registry[Check]()
        checks.register("one", Check(look, of=(FailedRow,)))
        monkeypatch.setattr(integrity, "checks", checks)

    return use


@pytest.mark.django_db
def test_a_check_on_sqlite_keeps_nobody_from_writing(only, tmp_path):
    only(count_twice)
    with sqlite_file(tmp_path / "db.sqlite3") as other:
        found = integrity.run("one")
        assert next(found).object_id == "0"
        write(other)  # with a time-out of nothing: whoever had to wait would fail
        assert next(found).object_id == "0"
        assert list(found) == []
        assert [one.object_id for one in integrity.run("one")] == ["1", "1"]
        write(connections["default"], row_id="2")
        assert FailedRow.objects.count() == 2


@pytest.mark.django_db
def test_with_the_write_lock_it_would(only, tmp_path):
    """The twin: in a transaction as all others here are."""
    with sqlite_file(tmp_path / "db.sqlite3") as other, transaction.atomic():
        looks = count_twice()
        assert next(looks).object_id == "0"
        with pytest.raises(OperationalError, match="locked"):
            write(other)


@pytest.mark.django_db
def test_a_check_on_sqlite_cannot_write(only, tmp_path):
    only(lambda: [write(connections["default"])])
    with sqlite_file(tmp_path / "db.sqlite3"):
        assert [found.object_id for found in integrity.run("one")] == ["one"]
        assert FailedRow.objects.count() == 0
        write(connections["default"])  # afterwards everybody may again
        assert FailedRow.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "words"), [("en", "says 6"), ("zh-hans", "记录为 6")])
def test_findings_are_told_in_both_languages(language, words):
    make_person(points=5)
    with without_triggers(PointsEntry):
        PointsEntry.objects.update(balance_after=6)
    with override(language):
        problems = [found.problem for found in integrity.run("points")]
    assert any(words in problem for problem in problems)


@pytest.mark.django_db
def test_timings_say_what_a_row_costs(only):
    only(list)
    FailedRow.objects.create(job="j", row_id="1")
    output = StringIO()
    with override("en"):
        call_command("check_integrity", "--timings", stdout=output)
    assert " s for 1 rows: " in output.getvalue()


@pytest.mark.django_db
def test_a_check_without_rows_of_its_own_says_its_time_alone(only):
    only(list)
    output = StringIO()
    with override("en"):
        call_command("check_integrity", "--timings", stdout=output)
    assert re.search(r"^  [0-9.]+ s$", output.getvalue(), re.MULTILINE)


@pytest.mark.django_db
def test_garbage_in_one_check_hides_nothing_of_the_next(monkeypatch):
    def stumble():
        raise ValueError

    checks = Registry[Check]()
    checks.register("a", Check(stumble, of=(), remarks=stumble))
    checks.register("b", Check(lambda: [Finding("rule", "thing 5", "is wrong")], of=()))
    monkeypatch.setattr(integrity, "checks", checks)
    output = StringIO()
    with override("en"), pytest.raises(CommandError) as end:
        call_command("check_integrity", stdout=output)
    assert end.value.returncode == 1
    assert "check a: could not be finished: ValueError" in output.getvalue()
    assert "rule thing 5: is wrong" in output.getvalue()


def test_several_at_once_find_the_same_as_one_after_the_other(tmp_path):
    with own_database() as environment:
        platform = Platform(tmp_path, {"DEBUG": "1", **environment})
        assert platform.manage("migrate", "--verbosity=0").returncode == 0
        assert platform.manage("check_integrity", "--jobs=2").returncode == 0
        assert platform.manage("shell", "--no-imports", "-c", A_FALSE_BALANCE).returncode == 0
        one, two = (platform.manage("check_integrity", f"--jobs={jobs}") for jobs in (1, 2))
        assert one.returncode == two.returncode == 1
        assert one.stdout == two.stdout
        assert "points: 1" in one.stdout
        for jobs in ("0", "17", "many"):
            assert platform.manage("check_integrity", f"--jobs={jobs}").returncode == 2


A_FALSE_BALANCE = """
from accounts.models import User
User.objects.create(phone="13700000001", total_points=5)
"""
