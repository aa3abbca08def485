"""check_integrity: what is wrong with the points ledger is found, by id."""

import hashlib
from importlib import import_module
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from accounts.models import PointsEntry, PointsSource, RegistrationMark, User
from accounts.services.points import change_points
from accounts.tests.ledgers import TABLE, unguarded
from ops.registry import Registry
from ops.services import integrity
from ops.tests.databases import elsewhere
from tests.keys import hash_as_before
from tests.ledgers import without_triggers
from tests.people import give, make_person

pytestmark = pytest.mark.django_db


def findings(*rules):
    """What the check finds: `(rule, object)`, of these rules; of the chain unless they are named.

    These tests book adjustments without their causes: accounts/tests/test_adjusting.py has those.
    """
    return [
        (finding.rule, finding.object_id)
        for finding in integrity.run("points")
        if (finding.rule in rules if rules else finding.rule != "cause")
    ]


@pytest.fixture
def person():
    """Somebody with the entries +100, -30, +5; somebody else's ledger stands beside it."""
    make_person(points=7)
    person = make_person(points=100)
    give(person, -30, related_id="a")
    give(person, 5)
    make_person(points=8)
    return person


def damage(statement, *values):
    """Change the tables past all their guards."""
    with unguarded() as cursor:
        cursor.execute(statement, values)


def words_of_the_command():
    """What the command prints when all is well."""
    output = StringIO()
    call_command("check_integrity", "--only", "points", stdout=output)
    return output.getvalue()


def test_nothing_is_found_when_all_is_well():
    for points in (0, 7, 100):
        make_person(points=points)
    assert list(integrity.run("points")) == []
    assert words_of_the_command().startswith("points: ")


def test_the_command_names_what_is_wrong_and_exits_with_1(person):
    damage(
        "UPDATE accounts_pointsentry SET points = 6 WHERE user_id = %s AND sequence = 3", person.pk
    )
    output = StringIO()
    with pytest.raises(CommandError) as end:
        call_command("check_integrity", stdout=output)
    assert end.value.returncode == 1
    assert f"entry {person.pk}/3" in output.getvalue()


@pytest.mark.parametrize(
    ("column", "value"),
    [("source", "prize"), ("related_id", "b"), ("created_at", "2020-01-01 00:00:00+00:00")],
)
def test_a_field_that_was_altered_is_found(person, column, value):
    damage(
        f"UPDATE {TABLE} SET {column} = %s WHERE user_id = %s AND sequence = 2",  # noqa: S608
        value,
        person.pk,
    )
    assert findings() == [("hash", f"entry {person.pk}/2")]


def test_points_that_were_altered_are_found(person):
    damage(
        "UPDATE accounts_pointsentry SET points = -31 WHERE user_id = %s AND sequence = 2",
        person.pk,
    )
    entry = f"entry {person.pk}/2"
    assert findings() == [("balance", entry), ("hash", entry)]


def test_a_balance_that_was_altered_is_found(person):
    damage(
        "UPDATE accounts_pointsentry SET balance_after = 71 WHERE user_id = %s AND sequence = 2",
        person.pk,
    )
    assert findings() == [
        ("balance", f"entry {person.pk}/2"),
        ("hash", f"entry {person.pk}/2"),
        ("balance", f"entry {person.pk}/3"),
    ]


def test_an_entry_altered_together_with_its_hash_breaks_the_chain(person):
    with unguarded() as cursor:
        cursor.execute(
            "UPDATE accounts_pointsentry SET related_id = 'b' WHERE user_id = %s AND sequence = 2",
            [person.pk],
        )
        entry = PointsEntry.objects.get(user=person, sequence=2)
        cursor.execute(
            "UPDATE accounts_pointsentry SET entry_hash = %s WHERE id = %s",
            [entry.computed_hash(), entry.pk],
        )
    assert findings() == [("chain", f"entry {person.pk}/3")]


def test_an_entry_that_was_taken_out_of_the_middle_is_missed(person):
    damage("DELETE FROM accounts_pointsentry WHERE user_id = %s AND sequence = 2", person.pk)
    entry = f"entry {person.pk}/3"
    assert findings() == [("sequence", entry), ("balance", entry), ("chain", entry)]


def test_the_last_entry_is_missed(person):
    damage("DELETE FROM accounts_pointsentry WHERE user_id = %s AND sequence = 3", person.pk)
    assert findings() == [("balance", f"user {person.pk}")]


def test_the_whole_ledger_of_a_person_is_missed(person):
    damage("DELETE FROM accounts_pointsentry WHERE user_id = %s", person.pk)
    assert findings() == [("balance", f"user {person.pk}")]


def test_an_entry_slipped_in_at_the_end_is_found(person):
    PointsEntry.objects.create(
        user=person,
        sequence=4,
        points=1000,
        source="adjust",
        balance_after=1075,
        previous_hash=person.points_hash,
        entry_hash=hashlib.sha256(b"x").hexdigest(),
        created_at=person.created_at,
    )
    assert findings() == [("hash", f"entry {person.pk}/4"), ("balance", f"user {person.pk}")]


@pytest.mark.parametrize(
    "wrong", [{"total_points": 76}, {"points_version": 4}, {"points_hash": "0" * 64}]
)
def test_a_person_who_does_not_agree_with_the_ledger_is_found(person, wrong):
    User.objects.filter(pk=person.pk).update(**wrong)
    assert findings() == [("balance", f"user {person.pk}")]


@pytest.mark.parametrize("wrong", [{"total_points": 1}, {"points_version": 1}])
def test_a_person_with_points_and_no_entry_is_found(person, wrong):
    poor = make_person()
    User.objects.filter(pk=poor.pk).update(**wrong)
    assert findings() == [("balance", f"user {poor.pk}")]


def test_a_trigger_that_is_missing_is_found(person):
    with unguarded():
        assert set(findings()) == {("append-only", TABLE)}


@pytest.mark.postgresql
def test_a_trigger_that_was_dropped_is_found(person):
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {TABLE}_append_only ON {TABLE}")
    assert findings() == [("append-only", TABLE)]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_what_happens_while_it_counts_is_no_finding():
    """It runs on a live database: all it reads is of one moment."""
    broken, busy = make_person(points=1), make_person(points=1)
    User.objects.filter(pk=broken.pk).update(total_points=2)
    found = integrity.run("points")
    assert next(found).object_id == f"user {broken.pk}"

    with elsewhere() as other, other.cursor() as cursor:
        # As change_points would, committed while the check is half way.
        cursor.execute(
            "UPDATE accounts_user SET total_points = 0, points_version = 2 WHERE id = %s",
            [busy.pk],
        )
    assert list(found) == []
    assert [finding.object_id for finding in integrity.run("points")] == [
        f"user {broken.pk}",
        f"user {busy.pk}",
    ]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_check_cannot_write(monkeypatch):
    def meddling():
        yield User.objects.create()

    meddlers = Registry[integrity.Check]()
    meddlers.register("meddling", integrity.Check(meddling, of=(User,)))
    monkeypatch.setattr(integrity, "checks", meddlers)
    (found,) = integrity.run("meddling")
    assert (found.rule, found.object_id) == ("check", "meddling")
    assert not User.objects.exists()


def test_one_check_can_be_asked_for_by_name(person):
    assert "points" in integrity.checks.names()
    with pytest.raises(CommandError):
        call_command("check_integrity", "--only", "nothing")


# --- Welcome points -----------------------------------------------------------------------------
def test_marks_of_the_version_before_are_filled(settings):
    person, other = make_person(points=5), make_person(points=7)
    key_hash = hash_as_before("registered phone", person.phone, settings.FIELD_ENCRYPTION_KEYS[-1])
    migration = import_module("accounts.migrations.0007_fill_marks")
    with without_triggers(RegistrationMark):
        RegistrationMark.objects.filter(person=person).update(
            key_hash=key_hash, person=None, points=0, proof=""
        )
        assert findings("cause") == [("cause", f"entry {person.pk}/1")]
        migration.fill_marks(apps, None)
    assert list(integrity.run("points")) == []
    assert RegistrationMark.objects.get(person=other).points == 7


@pytest.mark.parametrize("wrong", [{"points": 1000}, {"proof": "0" * 64}, {"key_hash": "0" * 64}])
def test_a_mark_that_was_altered_is_found(wrong):
    make_person(points=5)
    with without_triggers(RegistrationMark):
        RegistrationMark.objects.update(**wrong)
    mark = RegistrationMark.objects.get()
    assert findings("welcome") == [("welcome", f"registration mark {mark.pk}")]


def test_a_mark_of_somebody_else_proves_nothing():
    make_person(points=5)
    thief = make_person()
    with without_triggers(RegistrationMark):
        RegistrationMark.objects.update(person=thief)
    change_points(
        person_id=thief.pk, points=5, source=PointsSource.REGISTER, related_id=str(thief.pk)
    )
    mark = RegistrationMark.objects.get()
    assert findings("welcome") == [("welcome", f"registration mark {mark.pk}")]


def test_marks_are_append_only():
    make_person(points=5)
    for change in (
        RegistrationMark.objects.all().delete,
        lambda: RegistrationMark.objects.update(points=9),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()
    assert RegistrationMark.objects.get().points == 5


# --- Kinds and sums -----------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["expire", "reverse"])
def test_a_kind_that_no_service_writes_is_found(source):
    person = make_person(points=5)
    give(person, -1, source=source, related_id=str(person.points_entries.get().pk))
    assert findings("cause") == [("cause", f"entry {person.pk}/2")]


def test_lifetime_points_that_were_altered_are_found():
    person = make_person(points=5)
    User.objects.filter(pk=person.pk).update(lifetime_points=1)
    assert findings() == [("lifetime", f"user {person.pk}")]


def test_entries_of_nobody_are_found(person):
    with unguarded() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("UPDATE accounts_pointsentry SET user_id = 999999 WHERE sequence = 3")
        assert ("balance", "user 999999") in findings()
        cursor.execute(
            "UPDATE accounts_pointsentry SET user_id = %s WHERE user_id = 999999", [person.pk]
        )


# --- What nothing compares to -------------------------------------------------------------------
@pytest.mark.postgresql
def test_an_entry_whose_time_hashes_to_nothing_is_found(person):
    """PostgreSQL writes an infinite time as NULL, and no comparison with NULL is false."""
    damage("UPDATE accounts_pointsentry SET created_at = '-infinity' WHERE sequence = 2")
    assert ("hash", f"entry {person.pk}/2") in findings()


@pytest.mark.parametrize("change", ["created_at || '+14:00'", "substr(created_at, 1, 10)"])
def test_a_time_of_another_form_is_found_on_sqlite(person, change):
    if connection.vendor == "postgresql":
        change = "created_at + interval '1 microsecond'"
    damage(f"UPDATE {TABLE} SET created_at = {change} WHERE sequence = 2")  # noqa: S608
    assert ("hash", f"entry {person.pk}/2") in findings()
