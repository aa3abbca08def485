"""`manage.py audit`: who changed what, in lines that people and programs read."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone, translation

from ops.models import AuditEntry, FailedRow
from ops.services import audit
from tests.audit import acting_as
from tests.ledgers import without_triggers
from tests.people import make_person

pytestmark = pytest.mark.django_db


def run(*arguments):
    output = StringIO()
    with translation.override("en"):
        call_command("audit", *arguments, stdout=output)
    return output.getvalue().splitlines()


@transaction.atomic
def leave(action, *, row=FailedRow, ago=timedelta(), **facts):
    entry = audit.record(action=action, row=row, **facts)
    if ago:
        with without_triggers(AuditEntry):
            AuditEntry.objects.filter(pk=entry.pk).update(created_at=timezone.now() - ago)
    return entry


def actions(*arguments):
    return [json.loads(line)["action"] for line in run("--json", *arguments)]


def test_a_line_says_all_that_an_entry_says():
    person, row = make_person(), FailedRow.objects.create(job="j", row_id="1", error="E")
    with acting_as(person):
        entry = leave(
            "failedrow.change",
            row=row,
            before={"failures": 1, "error": "A"},
            after={"failures": 2, "error": None},
            reason='two\nlines "quoted" \x1b[31m',
            shop_id=5,
        )
    moment = timezone.localtime(entry.created_at).strftime("%Y-%m-%d %H:%M:%S")
    (line,) = run()
    assert line == (
        f"{moment}  #{person.pk}  failedrow.change  ops.failedrow:{row.pk}; "
        'error: "A" → null; failures: 1 → 2; reason "two\\nlines \\"quoted\\" \\u001b[31m"; '
        "shop 5; from 203.0.113.7; request request-of-a-test"
    )


def test_a_json_line_says_the_same():
    person = make_person()
    with acting_as(person):
        entry = leave("a.b", before={"x": 1}, after={"x": "老"}, reason="r", shop_id=5)
    (line,) = run("--json")
    assert "老" in line
    assert json.loads(line) == {
        "time": entry.created_at.isoformat(),
        "actor": f"#{person.pk}",
        "number": 1,
        "action": "a.b",
        "object": "ops.failedrow",
        "shop_id": 5,
        "changes": {"x": {"before": 1, "after": "老"}},
        "reason": "r",
        "address": "203.0.113.7",
        "request_id": "request-of-a-test",
    }


def test_the_newest_come_last_and_no_more_than_so_many():
    for number in range(5):
        leave(f"a.{number}")
    assert actions() == [f"a.{number}" for number in range(5)]
    assert actions("--limit", "2") == ["a.3", "a.4"]


def test_since_a_day_a_time_or_so_long():
    leave("a.old", ago=timedelta(days=3))
    leave("a.new")
    yesterday = timezone.localtime() - timedelta(days=1)
    for since in (
        str(yesterday.date()),
        yesterday.isoformat(),
        f"{yesterday:%Y-%m-%dT%H:%M}",
        "24h",
        "90m",
        "2d",
    ):
        assert actions("--since", since) == ["a.new"], since
    assert actions("--since", "7d") == ["a.old", "a.new"]
    assert actions("--since", str(timezone.localdate() + timedelta(days=1))) == []


def test_by_whom():
    person = make_person()
    leave("a.person", actor_id=person.pk)
    system_user = leave("a.command").system_user
    assert actions("--actor", str(person.pk)) == ["a.person"]
    assert actions("--actor", system_user) == ["a.command"]
    assert actions("--actor", "nobody@nowhere") == []


def test_about_what():
    row = FailedRow.objects.create(job="j", row_id="1", error="E")
    leave("a.row", row=row)
    leave("a.kind")
    assert actions("--object", f"ops.failedrow:{row.pk}") == ["a.row"]
    assert actions("--object", "ops.FailedRow") == ["a.row", "a.kind"]
    assert actions("--object", "catalog.order:1") == []


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--since", "yesterday", "write a day"),
        ("--since", "2026-02-30", "write a day"),
        ("--since", "-5h", "write a day"),
        ("--since", "9999999999d", "write a day"),
        ("--actor", "root", "write the id of a person"),
        ("--actor", "9" * 30, "write the id of a person"),
        ("--object", "order 12", "write kind and id"),
        ("--object", "12", "write kind and id"),
        ("--limit", "0", "a whole number from 1 on"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_how_to_write_it(option, value, said):
    with pytest.raises(CommandError, match=said):
        run(f"{option}={value}")
