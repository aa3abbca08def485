"""The ledger: change_points and what the database holds it to."""

import threading
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts.errors import NotEnoughPoints
from accounts.models import PointsEntry, PointsSource, User
from accounts.models.people import UserQuerySet
from accounts.services.points import Change, change_points, lock_people, write_entries
from accounts.tests.ledgers import hash_by_the_words_of_the_specification
from ops.chain import GENESIS_HASH
from ops.tests.databases import other_parameters
from tests.people import give, make_person
from tests.races import RACERS, kinds, race, take_lock_away

pytestmark = pytest.mark.django_db


def ledger_of(person):
    return list(PointsEntry.objects.filter(user=person).order_by("sequence"))


def test_one_change_is_one_entry_and_the_balance():
    person = make_person()
    entry = give(person, 250, source=PointsSource.PRIZE, related_id="7")
    assert (person.total_points, person.points_version) == (250, 1)
    assert ledger_of(person) == [entry]
    assert (entry.sequence, entry.points, entry.balance_after) == (1, 250, 250)
    assert (entry.source, entry.related_id) == ("prize", "7")
    assert entry.previous_hash == GENESIS_HASH == "0" * 64
    assert person.points_hash == entry.entry_hash


def test_the_chain_recomputes_with_a_second_implementation():
    person = make_person()
    other = make_person(points=5)
    give(person, 1000, source=PointsSource.REGISTER, related_id=str(person.pk))
    give(person, -300, source=PointsSource.LOTTERY, related_id='"\\ 草/莓🍓')
    give(person, -700)
    give(person, 1)
    previous = "0" * 64
    for number, entry in enumerate(ledger_of(person), start=1):
        assert entry.sequence == number
        assert entry.previous_hash == previous
        assert entry.entry_hash == hash_by_the_words_of_the_specification(entry)
        assert entry.entry_hash == entry.computed_hash()
        previous = entry.entry_hash
    person.refresh_from_db()
    assert person.points_hash == previous
    assert ledger_of(other)[0].previous_hash == "0" * 64


def test_a_known_entry_has_a_known_hash():
    """Frozen: a ledger written today must be provable with the code of tomorrow."""
    facts: dict[str, Any] = {
        "user_id": 1,
        "sequence": 2,
        "points": -100,
        "source": "lottery",
        "related_id": "42",
        "balance_after": 900,
        "created_at": datetime(2026, 1, 31, 4, 5, 6, 7, tzinfo=UTC),
        "previous_hash": "0" * 64,
    }
    assert (
        PointsEntry(**facts).computed_hash()
        == "ab4ba232f0741a2977a41e7f031f6e855ee2691b87280caf1eb71c061212e91a"
    )


def test_the_time_zone_does_not_change_the_hash():
    entry = give(make_person(), 5)
    entry.created_at = timezone.localtime(entry.created_at)
    assert entry.created_at.utcoffset()
    assert entry.computed_hash() == entry.entry_hash


def test_too_few_points_leave_nothing():
    person = make_person(points=99)
    before = ledger_of(person)
    with pytest.raises(NotEnoughPoints) as refusal:
        change_points(person_id=person.pk, points=-100, source=PointsSource.EXCHANGE)
    assert refusal.value.data == {"required": 100, "current": 99, "shortage": 1}
    assert str(refusal.value)
    fresh = User.objects.get(pk=person.pk)
    assert (fresh.total_points, fresh.points_version) == (99, 1)
    assert fresh.points_hash == person.points_hash
    assert ledger_of(person) == before


def test_the_last_point_can_be_spent():
    person = make_person(points=100)
    give(person, -100)
    assert person.total_points == 0


@pytest.mark.parametrize(
    ("source", "points", "counted"),
    [
        (PointsSource.PHOTO_UPLOAD, 50, 50),
        *((source, 50, 0) for source in PointsSource if source not in ("photo_upload", "reverse")),
    ],
)
def test_lifetime_points_count_receipts_alone(source, points, counted):
    person = make_person()
    give(person, 100, source=PointsSource.PHOTO_UPLOAD, related_id="1")
    give(person, points, source=source, related_id="2")
    assert person.lifetime_points == 100 + counted
    assert person.total_points == 100 + points


@pytest.mark.parametrize("source", ["register", "lottery", "prize", "exchange", "cancel"])
def test_one_cause_changes_points_once(source):
    person, other = make_person(points=100), make_person(points=100)
    give(person, 1, source=source, related_id="77")
    for owner in (person, other):
        with pytest.raises(IntegrityError), transaction.atomic():
            change_points(person_id=owner.pk, points=1, source=source, related_id="77")
    assert [User.objects.get(pk=one.pk).total_points for one in (person, other)] == [101, 100]


def test_a_receipt_may_be_paid_reversed_and_paid_again():
    person = make_person()
    paid = give(person, 5, source="photo_upload", related_id="1")
    give(person, -5, source="reverse", related_id=str(paid.pk))
    assert person.total_points == person.lifetime_points == 0
    give(person, 5, source="photo_upload", related_id="1")
    assert person.total_points == person.lifetime_points == 5


def test_a_reversal_of_anything_but_a_receipt_leaves_the_lifetime_points():
    person = make_person(points=100)
    welcome = person.points_entries.get()
    give(person, -100, source="reverse", related_id=str(welcome.pk))
    assert (person.total_points, person.lifetime_points) == (0, 0)


def test_an_entry_is_reversed_once():
    person = make_person(points=100)
    paid = give(person, 5, source="photo_upload", related_id="1")
    give(person, -5, source="reverse", related_id=str(paid.pk))
    with pytest.raises(IntegrityError), transaction.atomic():
        give(person, -5, source="reverse", related_id=str(paid.pk))
    person.refresh_from_db()
    assert (person.total_points, person.lifetime_points) == (100, 0)


def test_a_reversal_names_an_entry_of_the_person():
    person = make_person(points=100)
    stranger = make_person(points=100)
    with pytest.raises(PointsEntry.DoesNotExist), transaction.atomic():
        give(person, -5, source="reverse", related_id=str(stranger.points_entries.get().pk))
    person.refresh_from_db()
    assert (person.total_points, person.points_version) == (100, 1)


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"sequence": 1}, "pointsentry_one_sequence"),
        ({"source": "gift"}, "pointsentry_source_known"),
        ({"points": 0}, "pointsentry_changes_something"),
        ({"points": 6, "balance_after": 5}, "pointsentry_balance_adds_up"),
        ({"points": -6, "balance_after": -1}, "balance"),
    ],
)
def test_the_database_refuses_a_wrong_entry(changes, constraint):
    person = make_person(points=5)
    row = {
        "user": person,
        "sequence": 2,
        "points": 1,
        "source": "adjust",
        "balance_after": 6,
        "previous_hash": "",
        "entry_hash": "",
        "created_at": timezone.now(),
        **changes,
    }
    with pytest.raises(IntegrityError, match=None if "sequence" in changes else constraint):
        PointsEntry.objects.create(**row)


def test_the_database_refuses_a_negative_balance():
    person = make_person(points=5)
    with pytest.raises(IntegrityError):
        User.objects.filter(pk=person.pk).update(total_points=F("total_points") - 6)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_pointsentry SET points = points + 1",
        "UPDATE accounts_pointsentry SET related_id = 'x' WHERE sequence = 1",
        "DELETE FROM accounts_pointsentry",
    ],
)
def test_the_database_refuses_to_alter_the_ledger(statement):
    person = make_person(points=5)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    (entry,) = ledger_of(person)
    assert (entry.points, entry.related_id) == (5, str(person.pk))


def test_a_person_with_a_ledger_cannot_be_deleted():
    person = make_person(points=5)
    with pytest.raises(IntegrityError):
        person.delete()
    assert User.objects.filter(pk=person.pk).exists()


def test_an_entry_reads_well():
    entry = give(make_person(), 5)
    assert str(entry) == f"{entry.user_id}/1: +5"


# --- Fifty at once ------------------------------------------------------------------------------
FEW = 10  # without the lock: more than the balance can pay


@pytest.fixture
def many_connections():
    """As many connections as racers: they must meet at the row, not at the pool."""
    with other_parameters(max_size=60, timeout=30):
        yield


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_fifty_on_one_balance_spend_what_there_is(many_connections):
    person = make_person(points=1000)
    everybody_is_connected = threading.Barrier(RACERS)

    def attempt():
        connection.ensure_connection()
        everybody_is_connected.wait(60)
        return change_points(person_id=person.pk, points=-100, source=PointsSource.ADJUST)

    assert kinds(race([attempt] * RACERS)) == {PointsEntry: 10, NotEnoughPoints: 40}
    fresh = User.objects.get(pk=person.pk)
    entries = ledger_of(person)
    assert fresh.total_points == entries[-1].balance_after == 0
    assert [entry.sequence for entry in entries] == list(range(1, 12))
    previous = GENESIS_HASH
    for entry in entries:
        assert (entry.previous_hash, entry.entry_hash) == (previous, entry.computed_hash())
        previous = entry.entry_hash


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_they_collide(many_connections, monkeypatch):
    """The constraints are what is left."""
    person = make_person(points=1000)
    take_lock_away(monkeypatch, UserQuerySet, FEW)
    spend = partial(change_points, person_id=person.pk, points=-200, source=PointsSource.ADJUST)
    # With the lock five of them could have paid; without it they want the same number.
    assert kinds(race([spend] * FEW)) == {PointsEntry: 1, IntegrityError: FEW - 1}
    assert User.objects.get(pk=person.pk).total_points == 800


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_the_balance_alone_is_saved_by_its_constraint(many_connections):
    person = make_person(points=1000)
    everybody_has_read = threading.Barrier(FEW)

    def attempt():
        with transaction.atomic():
            seen = User.objects.get(pk=person.pk)
            everybody_has_read.wait(60)
            assert seen.total_points >= 200
            return User.objects.filter(pk=person.pk).update(total_points=F("total_points") - 200)

    outcomes = race([attempt] * FEW)
    assert kinds(outcomes) == {int: 5, IntegrityError: 5}
    assert outcomes.count(1) == 5
    assert User.objects.get(pk=person.pk).total_points == 0


# --- Many at once -------------------------------------------------------------------------------
def change(person, points, **fields):
    return Change(**{"person": person, "points": points, "source": PointsSource.ADJUST, **fields})


def told(person):
    """What a ledger says, but for its times and hashes, and what the person keeps of it."""
    entries = [
        (entry.sequence, entry.points, entry.source, entry.related_id, entry.balance_after)
        for entry in ledger_of(person)
    ]
    person = User.objects.get(pk=person.pk)
    return entries, person.total_points, person.points_version, person.lifetime_points


def test_many_changes_are_what_they_are_one_by_one(django_assert_num_queries):
    people = [make_person(points=100) for _ in range(3)]
    apart = [make_person(points=100) for _ in range(3)]
    changes: list[tuple[int, dict[str, Any]]] = [
        (0, {"points": 30, "source": PointsSource.PHOTO_UPLOAD, "related_id": "1"}),
        (1, {"points": -100}),
        (0, {"points": -130}),
        (2, {"points": 5}),
        (0, {"points": 7, "source": PointsSource.PHOTO_UPLOAD, "related_id": "2"}),
    ]
    for at, fields in changes:
        give(apart[at], **fields)
    with transaction.atomic(), django_assert_num_queries(3):  # the people, entries, balances
        held = lock_people(person.pk for person in people)
        entries = write_entries([change(held[people[at].pk], **fields) for at, fields in changes])
    assert [entry.pk for entry in entries] == sorted(entry.pk for entry in entries)
    for at, person in enumerate(people):
        welcome, *rest = told(person)[0]
        welcome_apart, *rest_apart = told(apart[at])[0]
        assert welcome[:3] == welcome_apart[:3]
        assert rest == rest_apart
        assert told(person)[1:] == told(apart[at])[1:]
        previous = "0" * 64
        for entry in ledger_of(person):
            assert entry.previous_hash == previous
            assert entry.entry_hash == hash_by_the_words_of_the_specification(entry)
            previous = entry.entry_hash
        assert User.objects.get(pk=person.pk).points_hash == previous
        mine = held[person.pk]
        assert (mine.total_points, mine.points_version, mine.points_hash) == (
            *told(person)[1:3],
            previous,
        )


def test_no_change_writes_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert write_entries([]) == []


def test_of_many_changes_one_that_is_not_covered_writes_none():
    rich, poor = make_person(points=100), make_person(points=100)
    with transaction.atomic():
        held = lock_people([rich.pk, poor.pk])
        changes = [change(held[rich.pk], -60), change(held[poor.pk], -60)]
        with pytest.raises(NotEnoughPoints) as refusal:
            write_entries([*changes, change(held[poor.pk], -50)])
    assert refusal.value.data == {"required": 50, "current": 40, "shortage": 10}
    for person in (rich, poor):
        assert told(person)[1:3] == (100, 1)
        assert held[person.pk].total_points == 100
