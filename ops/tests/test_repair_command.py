"""`manage.py repair_integrity`: what it shows, asks, does and ends with."""

import builtins
import json
from contextlib import suppress
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils.translation import override

from accounts.models import PointsAdjustment, User, UserStatus
from accounts.tests.factories import make_staff
from ops.models import AuditEntry, OperationalEvent
from ops.services import repair
from ops.tests.databases import elsewhere, on_sqlite
from tests.checks import leave_tables_out
from tests.ledgers import without_triggers
from tests.people import give, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def english(monkeypatch):
    leave_tables_out(monkeypatch)
    with override("en"):
        yield


@pytest.fixture
def person():
    """Somebody whose balance of 30 was raised by one."""
    person = make_person(points=30)
    User.objects.filter(pk=person.pk).update(total_points=31)
    return person


def run(*arguments):
    """What the command says, and what it ends with."""
    output, code = StringIO(), 0
    try:
        call_command("repair_integrity", *arguments, stdout=output)
    except CommandError as error:
        code = error.returncode
        output.write(str(error))
    return output.getvalue(), code


def balance_of(person):
    return User.objects.get(pk=person.pk).total_points


def test_where_all_is_well_it_does_nothing():
    make_person(points=30)
    assert run() == ("All of it holds.\n", 0)
    assert run("--apply", "--yes") == ("All of it holds.\n", 0)
    assert not OperationalEvent.objects.filter(kind="integrity_repaired").exists()


def test_it_shows_what_it_would_do_and_does_nothing(person):
    text, code = run()
    assert code == 1
    assert f"points: balance user {person.pk}: keeps 31" in text
    assert "would be repaired: set the newest entry that it keeps to number 1" in text
    assert "repair_integrity --apply does it." in text
    assert balance_of(person) == 31
    assert not AuditEntry.objects.exists()


def test_it_does_it_and_looks_again(person):
    text, code = run("--apply", "--yes", "--reason", "After the fire")
    assert code == 0
    assert f"Repaired: balance user {person.pk}" in text
    assert text.endswith("All of it holds.\n")
    assert balance_of(person) == 30
    entry = AuditEntry.objects.get()
    assert (entry.reason, "@" in entry.system_user) == ("After the fire", True)
    event = OperationalEvent.objects.get(kind="integrity_repaired")
    assert event.facts == {"repaired": 1, "refused": 0, "left": 0}


def test_it_says_why_it_was_done_where_nobody_does(person):
    run("--apply", "--yes")
    assert AuditEntry.objects.get().reason == "repair_integrity"


def test_what_is_beyond_repair_is_named_with_a_way_out(person):
    give(person, 5, source="prize", related_id="nothing")
    text, code = run("--apply", "--yes")
    assert code == 1
    assert "beyond repair: entry and cause contradict each other" in text
    assert "what helps: find out which" in text
    assert "things" not in text


def test_what_could_not_be_done_after_all_is_told():
    person = make_person(points=30)
    for _time in range(2):  # together more than there is
        give(person, 25, source="adjust")
    give(person, -40, source="lottery", related_id="1")
    text, code = run("--apply", "--yes")
    assert code == 1
    assert f"Not repaired: cause entry {person.pk}/3" in text
    assert "Left:" in text
    assert balance_of(person) == 15


@pytest.mark.parametrize(("answer", "is_done"), [("yes", True), (" YES ", True), ("y", False)])
def test_it_asks_before_it_does_anything(person, monkeypatch, answer, is_done):
    asked = []

    def told(text):
        asked.append(text)
        return answer

    monkeypatch.setattr(builtins, "input", told)
    text, code = run("--apply")
    assert asked == ["Do this? Write yes: "]
    assert "would be repaired" in text
    assert (balance_of(person), code) == ((30, 0) if is_done else (31, 2))


def test_it_tells_programs(person):
    give(person, 5, source="prize", related_id="nothing")
    name = f"entry {person.pk}/2"
    text, code = run("--json")
    said = json.loads(text.partition("\n}")[0] + "}")
    assert code == 1
    assert said["repaired"] == said["refused"] == []
    (one,) = said["findings"][:1]
    assert {**one, "reason": "", "way_out": ""} == {
        "check": "draws",
        "rule": "cause",
        "object": name,
        "problem": "is of prize nothing: nothing accounts for it",
        "can": "nothing",
        "reason": "",
        "way_out": "",
    }
    assert one["reason"]
    assert one["way_out"]


def test_programs_say_yes_beforehand(person):
    text, code = run("--json", "--apply")
    assert ("--yes has to be said" in text, code) == (True, 2)
    assert balance_of(person) == 31
    text, code = run("--json", "--apply", "--yes")
    assert code == 0
    said = json.loads(text)
    assert said["findings"] == []
    assert said["repaired"][0]["object"] == f"user {person.pk}"
    assert said["repaired"][0]["done"].startswith("set the newest entry")


def test_staff_who_decided_it_is_written_down(person):
    staff = make_staff()
    assert run("--apply", "--yes", "--author", str(staff.pk))[1] == 0
    assert AuditEntry.objects.get().actor_id == staff.pk


def test_nobody_else_is_its_author(person):
    closed = make_staff()
    User.objects.filter(pk=closed.pk).update(status=UserStatus.INACTIVE)
    for author in (make_person(), closed):
        text, code = run("--apply", "--yes", "--author", str(author.pk))
        assert ("no active member of the staff" in text, code) == (True, 2)
    assert balance_of(person) == 31


def test_an_entry_is_taken_back_by_whoever_found_it_to_be_forged():
    person = make_person(points=30)
    give(person, 5, source="prize", related_id="nothing")
    name = f"entry {person.pk}/2"
    text, code = run("--apply", "--yes", "--take-back", name)
    assert ("say why" in text, code) == (True, 2)
    assert balance_of(person) == 35

    text, code = run("--apply", "--yes", "--take-back", name, "--reason", "There was no draw")

    assert (balance_of(person), code) == (30, 0)
    cause = PointsAdjustment.objects.get()
    assert cause.reason == "There was no draw"
    assert cause.corrects == person.points_entries.get(sequence=2)


def test_whoever_could_leave_no_trace_does_nothing(person):
    run("--apply", "--yes")
    User.objects.filter(pk=person.pk).update(total_points=31)
    with without_triggers(AuditEntry):
        AuditEntry.objects.update(reason="another")
    text, code = run("--apply", "--yes")
    assert ("audit trail of whoever runs this" in text, code) == (True, 2)
    assert balance_of(person) == 31


# --- One run at a time --------------------------------------------------------------------------
@pytest.mark.postgresql
def test_a_second_run_on_another_machine_is_refused(person):
    with elsewhere() as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [repair.LOCK_NUMBER])
        text, code = run("--apply", "--yes")
        assert ("Another repair_integrity is at work" in text, code) == (True, 2)
        assert balance_of(person) == 31
        cursor.execute("SELECT pg_advisory_unlock(%s)", [repair.LOCK_NUMBER])
    assert run("--apply", "--yes")[1] == 0


@pytest.mark.postgresql
def test_it_lets_go_when_it_is_done(person):
    run("--apply", "--yes")
    with elsewhere() as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [repair.LOCK_NUMBER])
        assert cursor.fetchone() == (True,)


def test_a_second_run_on_sqlite_is_refused(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    with on_sqlite():
        with repair.alone(), pytest.raises(repair.Busy), repair.alone():
            pass
        with suppress(ZeroDivisionError), repair.alone():
            raise ZeroDivisionError
        with repair.alone():  # whatever it ended with
            pass
