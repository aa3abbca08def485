"""Points that are booked by hand: an entry and its cause, which say who did it and why."""

import getpass

import pytest
from django.db import IntegrityError, transaction

from accounts.errors import AccountClosed, NotEnoughPoints, OwnPoints
from accounts.metrics import POINTS_SPENT
from accounts.models import PointsAdjustment, PointsEntry, PointsSource, User
from accounts.services import adjusting
from accounts.services.adjusting import adjust, correct
from accounts.tests.factories import make_staff, merge_into
from ops.errors import NotFound, ValidationFailed
from ops.models import AuditEntry
from ops.services import integrity
from reviews.tests.factories import make_receipt, pay, settle
from tests.audit import acting_as, entries_of_commands
from tests.keys import NEW, OLD
from tests.ledgers import without_triggers
from tests.people import give, make_person

pytestmark = pytest.mark.django_db


def findings(*names):
    return [
        (found.rule, found.object_id)
        for name in names or integrity.checks.names()
        for found in integrity.run(name)
    ]


def rows():
    """All that a refusal must leave as it was."""
    return [
        *User.objects.order_by("pk").values_list("pk", "total_points", "points_version"),
        *PointsEntry.objects.values_list("pk"),
        *PointsAdjustment.objects.values_list("pk"),
        *AuditEntry.objects.values_list("pk"),
    ]


@pytest.fixture
def staff():
    return make_staff()


# --- What it does -------------------------------------------------------------------------------
@pytest.mark.parametrize("points", [7, -30])
def test_an_adjustment_books_an_entry_and_says_who_and_why(staff, points):
    person = make_person(points=30)

    entry = adjust(
        person_id=person.pk,
        points=points,
        reason=" Counted wrong ",
        author_id=staff.pk,
        finding="cause entry 1/2",
    )

    person.refresh_from_db()
    assert person.total_points == 30 + points == entry.balance_after
    assert person.lifetime_points == 0
    cause = PointsAdjustment.objects.get()
    assert (entry.source, entry.related_id) == (PointsSource.ADJUST, str(cause.pk))
    assert (cause.person, cause.points, cause.corrects) == (person, points, None)
    assert (cause.author, cause.system_user) == (staff, "")
    assert (cause.reason, cause.finding) == ("Counted wrong", "cause entry 1/2")
    assert str(cause) == f"#{person.pk}: {points:+d}"
    assert findings() == []


def test_whoever_acts_in_a_request_is_its_author(staff):
    with acting_as(staff):
        adjust(person_id=make_person().pk, points=1, reason="x")
    assert PointsAdjustment.objects.get().author == staff


def test_a_command_is_of_whoever_runs_it():
    adjust(person_id=make_person().pk, points=1, reason="x")
    cause = PointsAdjustment.objects.get()
    assert cause.author is None
    assert cause.system_user.startswith(f"{getpass.getuser()}@")
    assert [entry.action for entry in entries_of_commands()] == ["user.adjust_points"]


def test_it_is_counted(staff, django_capture_on_commit_callbacks):
    person = make_person(points=5)
    before = POINTS_SPENT.series().get(("adjust",), 0)
    with django_capture_on_commit_callbacks(execute=True):
        adjust(person_id=person.pk, points=-5, reason="x", author_id=staff.pk)
    assert POINTS_SPENT.series()[("adjust",)] == before + 5


def test_a_proof_holds_under_the_key_before(settings):
    settings.HASH_KEYS = [OLD]
    adjust(person_id=make_person().pk, points=1, reason="x")
    settings.HASH_KEYS = [NEW, OLD]
    assert findings("adjustments") == []


# --- Corrections --------------------------------------------------------------------------------
def test_a_correction_takes_back_what_an_entry_did_and_leaves_it(staff):
    person = make_person(points=30)
    forged = give(person, 500, source=PointsSource.REVERSE, related_id=str(_own_entry(person)))
    assert ("cause", f"entry {person.pk}/2") in findings()

    entry = correct(entry_id=forged.pk, reason="Nobody's", author_id=staff.pk)

    person.refresh_from_db()
    assert (entry.points, person.total_points) == (-500, 30)
    assert PointsEntry.objects.get(pk=forged.pk).entry_hash == forged.entry_hash
    assert findings() == []


def _own_entry(person):
    return person.points_entries.get().pk


def test_the_same_correction_again_changes_nothing(staff):
    person = make_person(points=30)
    forged = give(person, -5, source=PointsSource.EXPIRE)
    first = correct(entry_id=forged.pk, reason="x", author_id=staff.pk)
    before = rows()
    assert correct(entry_id=forged.pk, reason="y", author_id=staff.pk) == first
    assert rows() == before


def test_a_correction_takes_the_lifetime_points_of_a_receipt_along(staff):
    receipt = make_receipt(process=None)
    settle(receipt, staff, "approved", points=100)
    pay(receipt, 100)
    twice = pay(receipt, 100)

    correct(entry_id=twice.pk, reason="Paid twice", author_id=staff.pk)

    person = User.objects.get(pk=receipt.person_id)
    assert (person.total_points, person.lifetime_points) == (100, 100)
    assert findings() == []


def test_there_is_no_entry_to_correct(staff):
    with pytest.raises(NotFound):
        correct(entry_id=999_999, reason="x", author_id=staff.pk)


# --- What is refused ----------------------------------------------------------------------------
def refused(refusal, **fields):
    before = rows()
    facts = {"points": 1, "reason": "x", **fields}
    with pytest.raises(refusal), transaction.atomic():
        adjust(**facts)
    assert rows() == before


def test_it_needs_points_a_reason_a_person_and_somebody_else(staff):
    person = make_person(points=5)
    refused(ValidationFailed, person_id=person.pk, points=0, author_id=staff.pk)
    refused(ValidationFailed, person_id=person.pk, reason="  ", author_id=staff.pk)
    refused(NotFound, person_id=999_999, author_id=staff.pk)
    refused(OwnPoints, person_id=staff.pk, author_id=staff.pk)


def test_a_balance_is_never_below_nothing_and_nothing_is_taken_in_part(staff):
    person = make_person(points=5)
    refused(NotEnoughPoints, person_id=person.pk, points=-6, author_id=staff.pk)


def test_an_account_that_was_merged_gets_nothing_any_more(staff):
    survivor, merged = make_person(), make_person()
    merge_into(survivor, merged, author=staff)
    refused(AccountClosed, person_id=merged.pk, author_id=staff.pk)


def test_a_cause_is_append_only(staff):
    adjust(person_id=make_person().pk, points=1, reason="x", author_id=staff.pk)
    for change in (
        PointsAdjustment.objects.all().delete,
        lambda: PointsAdjustment.objects.update(reason="y"),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()


@pytest.mark.parametrize(
    ("wrong", "constraint"),
    [
        ({"points": 0}, "pointsadjustment_changes_something"),
        ({"reason": ""}, "pointsadjustment_for_a_reason"),
        ({"system_user": ""}, "pointsadjustment_by_somebody"),
    ],
)
def test_the_database_holds_what_a_cause_must_say(wrong, constraint):
    facts = {"points": 1, "reason": "x", "system_user": "root@till", "key_id": "k", "proof": "p"}
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        PointsAdjustment.objects.create(person=make_person(), **{**facts, **wrong})


def test_the_database_lets_nobody_adjust_their_own_points(staff):
    with pytest.raises(IntegrityError, match="not_of_its_author"), transaction.atomic():
        PointsAdjustment.objects.create(
            person=staff, author=staff, points=1, reason="x", key_id="k", proof="p"
        )


# --- What check_integrity finds -------------------------------------------------------------------
@pytest.fixture
def adjusted(staff):
    """Somebody with 30 points and an adjustment of +7, and its cause."""
    person = make_person(points=30)
    adjust(person_id=person.pk, points=7, reason="Forgotten", author_id=staff.pk)
    return PointsAdjustment.objects.get()


def test_an_adjustment_without_a_cause_is_found():
    person = make_person(points=30)
    give(person, 7)
    give(person, 7, related_id="999999")
    assert findings() == [("cause", f"entry {person.pk}/{number}") for number in (2, 3)]


def test_a_cause_without_its_entry_is_found(staff):
    person = make_person(points=30)
    cause = PointsAdjustment(
        person=person, points=7, reason="x", author=staff, key_id="k", system_user=""
    )
    cause.proof = adjusting.proofs_of(cause)[0]
    cause.save()
    assert findings() == [("cause", f"adjustment {cause.pk}")]


@pytest.mark.parametrize("column", ["points", "reason", "author", "person", "finding", "corrects"])
def test_a_cause_that_was_altered_is_found(adjusted, column):
    stranger = make_person(points=1)
    other = {
        "points": 70,
        "reason": "y",
        "author": stranger,
        "person": stranger,
        "finding": "z",
        "corrects": adjusted.person.points_entries.get(sequence=1),
    }[column]
    with without_triggers(PointsAdjustment):
        PointsAdjustment.objects.update(**{column: other})
    assert ("adjustment", f"adjustment {adjusted.pk}") in findings("adjustments")


def test_an_adjustment_of_other_points_is_found(adjusted):
    with without_triggers(PointsAdjustment):
        PointsAdjustment.objects.update(points=70)
    assert ("cause", f"entry {adjusted.person_id}/2") in findings("adjustments")
    assert ("cause", f"adjustment {adjusted.pk}") in findings("adjustments")


def test_a_cause_that_was_forged_together_with_its_entry_is_found(staff):
    person = make_person(points=30)
    cause = PointsAdjustment.objects.create(
        person=person, points=500, reason="x", author=staff, key_id="k", proof="0" * 64
    )
    give(person, 500, related_id=str(cause.pk))
    assert findings() == [("adjustment", f"adjustment {cause.pk}")]


def test_a_correction_that_takes_back_something_else_is_found(staff):
    person = make_person(points=30)
    cause = PointsAdjustment(
        person=person,
        points=-5,
        corrects=person.points_entries.get(),
        reason="x",
        author=staff,
        key_id="k",
    )
    cause.proof = adjusting.proofs_of(cause)[0]
    cause.save()
    give(person, -5, related_id=str(cause.pk))
    assert ("adjustment", f"adjustment {cause.pk}") in findings("adjustments")


def test_a_missing_trigger_is_found(adjusted):
    with without_triggers(PointsAdjustment):
        assert ("append-only", "accounts_pointsadjustment") in findings("adjustments")
    assert findings() == []
