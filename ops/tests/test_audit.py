"""The audit trail as services write it: one chain for each who acts, locked last, never altered."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils.translation import override

from catalog.models import Category, Product
from ops.chain import GENESIS_HASH
from ops.models import AlertRule, AuditActor, AuditEntry, FailedRow
from ops.models.audit import AuditActorQuerySet
from ops.services import audit, integrity
from ops.services.audit import Change, NobodyActs
from tests.audit import ADDRESS, REQUEST_ID, Told, acting_as, entries_of, entries_of_commands, what
from tests.ledgers import without_triggers
from tests.people import make_person
from tests.races import kinds, race, take_lock_away

pytestmark = pytest.mark.django_db
MANY = 30
FEW = 8  # twins: all of them hold a connection of the pool at the same time


def make_row():
    return FailedRow.objects.create(job="j", row_id="1", error="E")


@transaction.atomic
def record(row, **facts):
    return audit.record(**{"action": "failedrow.change", "row": row, **facts})


# --- The chain ----------------------------------------------------------------------------------
def test_entries_of_one_actor_follow_each_other_and_the_actor_keeps_the_head():
    person, row = make_person(), make_row()
    first, second = record(row, actor_id=person.pk), record(row, actor_id=person.pk)

    assert (first.sequence, first.previous_hash) == (1, GENESIS_HASH)
    assert (second.sequence, second.previous_hash) == (2, first.entry_hash)
    actor = AuditActor.objects.get(person_id=person.pk)
    assert (actor.entries, actor.head) == (2, second.entry_hash)
    assert list(integrity.run("audit")) == []


def test_everybody_has_a_chain_of_their_own_and_so_has_whoever_runs_commands():
    person, row = make_person(), make_row()
    record(row, actor_id=person.pk)
    with acting_as(make_person()):
        record(row)
    record(row)

    assert list(AuditEntry.objects.values_list("sequence", flat=True)) == [1, 1, 1]
    assert AuditActor.objects.count() == 3
    (command,) = entries_of_commands()
    assert (command.address, command.request_id) == ("", "")


def test_many_changes_are_one_insert_and_one_update():
    person, row = make_person(), make_row()
    record(row, actor_id=person.pk)
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        audit.record_all(
            (Change(action="x.y", row=row, reason=str(number)) for number in range(30)),
            actor_id=person.pk,
        )
    verbs = [one["sql"].split()[0] for one in queries if "ops_audit" in one["sql"]]
    assert verbs == ["SELECT", "INSERT", "UPDATE"]
    assert [one.reason for one in entries_of(person)] == ["", *map(str, range(30))]
    assert list(integrity.run("audit")) == []


def test_no_change_asks_nothing(django_assert_num_queries):
    with transaction.atomic(), django_assert_num_queries(0):
        assert audit.record_all([], actor_id=1) == []


@pytest.mark.django_db(transaction=True)
def test_an_entry_belongs_into_the_transaction_of_its_change():
    with pytest.raises(TransactionManagementError):
        audit.record(action="x.y", row=FailedRow)
    assert not AuditEntry.objects.exists()


def test_nobody_leaves_no_entry_and_no_actor():
    with acting_as(AnonymousUser()), pytest.raises(NobodyActs):
        record(FailedRow)
    assert not AuditActor.objects.exists()


@pytest.mark.parametrize(
    ("facts", "constraint"),
    [
        ({}, "auditactor_person_or_system_user"),
        ({"person_id": 1, "system_user": "a@b"}, "auditactor_person_or_system_user"),
        ({"person_id": 7}, "person_id"),
        ({"system_user": "x@y"}, "system_user"),
    ],
)
def test_an_actor_is_a_person_or_a_system_user_and_there_once(facts, constraint):
    AuditActor.objects.create(person_id=7)
    AuditActor.objects.create(system_user="x@y")
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        AuditActor.objects.create(**facts)
    assert AuditActor.objects.count() == 2


# --- Nothing alters it --------------------------------------------------------------------------
def test_the_database_refuses_to_alter_or_delete_an_entry():
    entry = record(make_row())
    for change in (
        lambda: AuditEntry.objects.update(reason="another"),
        AuditEntry.objects.all().delete,
        partial(AuditEntry.objects.filter(pk=entry.pk)._raw_delete, "default"),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()
    entry.refresh_from_db()
    assert entry.entry_hash == entry.computed_hash()


def test_what_was_altered_past_the_triggers_is_found():
    person = make_person()
    entry = record(make_row(), actor_id=person.pk, reason="a")
    with without_triggers(AuditEntry):
        AuditEntry.objects.update(reason="b")
    with override("en"):
        (found,) = integrity.run("audit")
    assert found.object_id == f"audit entry {entry.chain_id}/1"
    assert "was altered" in found.problem


def test_a_head_that_was_moved_is_found():
    entry = record(make_row())
    AuditActor.objects.update(entries=2)
    with override("en"):
        (found,) = integrity.run("audit")
    assert (found.object_id, found.problem) == (
        f"audit actor {entry.chain_id}",
        "keeps number 2 as the newest, the ledger ends at 1",
    )


# --- Many at once -------------------------------------------------------------------------------
def recording(row, person):
    return partial(record, row, actor_id=person.pk)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_what_one_person_does_at_once_is_one_chain():
    """From the first entry on, for which the row that is locked is not there yet."""
    person, row = make_person(), make_row()

    outcomes = race([recording(row, person)] * MANY)

    assert kinds(outcomes) == {AuditEntry: MANY}
    assert [one.sequence for one in entries_of(person)] == list(range(1, MANY + 1))
    assert AuditActor.objects.get().entries == MANY
    assert list(integrity.run("audit")) == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_all_write_the_same_number(monkeypatch):
    """The constraint alone stops all but one."""
    person, row = make_person(), make_row()
    record(row, actor_id=person.pk)
    take_lock_away(monkeypatch, AuditActorQuerySet, FEW)

    outcomes = race([recording(row, person)] * FEW)

    assert kinds(outcomes) == {AuditEntry: 1, IntegrityError: FEW - 1}
    assert entries_of(person).count() == 2


# --- What an entry says -------------------------------------------------------------------------
def test_values_are_written_as_everybody_reads_them():
    values = {
        "time": datetime(2026, 1, 31, 4, 5, 6, 7, tzinfo=UTC),
        "day": date(2026, 1, 31),
        "money": Decimal("1.50"),
        "id": UUID(int=1),
        "name": "老王",
        "none": None,
        "list": [1, 2],
    }
    entry = record(FailedRow, after=values)
    assert json.loads(entry.after) == {
        "time": "2026-01-31T04:05:06.000007+00:00",
        "day": "2026-01-31",
        "money": "1.50",
        "id": "00000000-0000-0000-0000-000000000001",
        "name": "老王",
        "none": None,
        "list": [1, 2],
    }
    assert entry.after.startswith('{"day":"2026-01-31","id":'), "sorted, without spaces"
    assert "老王" in entry.after


def test_of_before_and_after_it_keeps_what_differs():
    before, after = {"a": 1, "b": 2, "gone": 3}, {"a": 1, "b": 4, "new": None}
    entry = record(FailedRow, before=before, after=after)
    assert entry.changes == [("b", 2, 4), ("gone", 3, None), ("new", None, None)]
    assert json.loads(entry.after) == {"b": 4, "new": None}


@pytest.mark.parametrize("garbage", ["", "no json", "[1]", '"text"'])
def test_what_somebody_forged_can_be_looked_at(garbage):
    assert AuditEntry(before="{}", after=garbage).changes == [("", None, garbage)]


def test_a_kind_of_row_has_no_id():
    entry = record(FailedRow)
    assert (entry.object_name, str(entry)) == ("ops.failedrow", "failedrow.change ops.failedrow")


def test_where_a_request_comes_from_is_kept_with_the_author_that_a_service_names():
    author, row = make_person(), make_row()
    with acting_as(make_person()):
        entry = record(row, actor_id=author.pk)
    assert entry.actor_id == author.pk
    assert (entry.address, entry.request_id) == (ADDRESS, REQUEST_ID)


# --- Forms --------------------------------------------------------------------------------------
def of_a_form(**facts):
    with transaction.atomic():
        return audit.record_form(**facts)


def test_a_form_that_adds_changes_and_deletes():
    person = make_person()
    row = Category.objects.create(name="Tea", position=1)
    added = audit.values_of(row)
    row.name = "Teas"
    row.save()
    renamed = audit.values_of(row)
    pk = row.pk
    with acting_as(person):
        of_a_form(action="add", row=row, after=added)
        of_a_form(action="change", row=row, before=added, after=renamed, shop_id=3)
        row.delete()
        of_a_form(action="delete", row=row, before=renamed, reason="Nobody drinks it")

    name = f"catalog.category:{pk}"
    assert list(map(what, entries_of(person))) == [
        Told("category.add", name, {}, {"id": pk, "name": "Tea", "position": 1}),
        Told("category.change", name, {"name": "Tea"}, {"name": "Teas"}, "", 3),
        Told(
            "category.delete",
            name,
            {"id": pk, "name": "Teas", "position": 1},
            {},
            "Nobody drinks it",
        ),
    ]


def test_a_form_that_is_saved_as_it_was_leaves_nothing():
    row = Category.objects.create(name="Tea", position=1)
    values = audit.values_of(row)
    row.save()
    assert of_a_form(action="change", row=row, before=values, after=audit.values_of(row)) is None
    assert not AuditEntry.objects.exists()


def test_a_form_with_rows_in_it_leaves_one_statement(django_assert_num_queries):
    person = make_person()
    rows = [Category.objects.create(name=name, position=1) for name in "abc"]
    changes = [
        audit.form_change(action="change", row=row, before={"name": "a"}, after={"name": row.name})
        for row in rows
    ]
    record(FailedRow, actor_id=person.pk)
    with transaction.atomic(), django_assert_num_queries(3):
        left = audit.record_forms(changes, actor_id=person.pk)
    assert [one.object_id for one in left] == [str(row.pk) for row in rows[1:]]


def test_values_are_those_of_columns_and_of_links_and_of_no_bookkeeping():
    assert set(audit.values_of(make_row())) == {
        "id", "job", "row_id", "failures", "error", "first_failed_at", "last_failed_at",
        "set_aside_at",
    }  # fmt: skip
    values = audit.values_of(make_person())
    assert {"points_hash", "updated_at"}.isdisjoint(values)
    assert (values["groups"], values["user_permissions"]) == ([], [])
    assert {"stock_hash", "updated_at"}.isdisjoint(audit.values_of(Product()))
    assert audit.values_of(AlertRule(threshold=2))["threshold"] == 2
