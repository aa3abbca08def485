"""Seals of ledgers: what was sealed and rewritten with all its hashes is found, by account."""

import gzip
import json
from datetime import timedelta
from io import StringIO

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import override

from accounts.models import PointsEntry, User
from catalog.models import Product, StockEntry, StockOperation
from catalog.services.stock import change_stock
from catalog.tests.factories import make_product
from ops.chain import GENESIS_HASH
from ops.models import AuditActor, AuditEntry, LedgerSeal
from ops.services import integrity, jobs, seal_files, seals
from ops.services.seals import seal_ledgers
from tests.ledgers import without_triggers
from tests.people import give, make_person

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
NOW = timezone.now()


def sealed_at(moment):
    """The seal of this moment."""
    seal = seal_ledgers(now=moment)
    assert seal is not None
    return seal


def findings():
    return [(found.object_id, found.problem) for found in integrity.run("seals")]


def named():
    return [object_id for object_id, _problem in findings()]


@pytest.fixture(autouse=True)
def english():
    with override("en"):
        yield


@pytest.fixture
def person():
    """Somebody with three entries, somebody else, and a product with two, which are audited."""
    make_person(points=7)
    person = make_person(points=100)
    give(person, -30)
    give(person, 5)
    change_stock(product_id=make_product(stock=5).pk, quantity=2, operation=StockOperation.RESTOCK)
    return person


def rewrite(model, account, entries, **head):
    """Make a chain anew from its start, with right hashes, as who knows the rule can."""
    previous_hash = GENESIS_HASH
    for entry in entries:
        entry.previous_hash = previous_hash
        entry.entry_hash = previous_hash = entry.computed_hash()
    with without_triggers(model):
        model.objects.filter(pk__in=[entry.pk for entry in entries]).delete()
        model.objects.bulk_create(entries)
    type(account).objects.filter(pk=account.pk).update(**head, **{HEADS[model]: previous_hash})


HEADS = {PointsEntry: "points_hash", StockEntry: "stock_hash", AuditEntry: "head"}


def test_a_seal_says_what_all_ledgers_came_to(person):
    seal = sealed_at(NOW)
    assert (seal.sequence, seal.accounts, seal.entries) == (1, 4, 8)
    assert seal.date == timezone.localdate(NOW)
    assert seal.previous_hash == GENESIS_HASH
    assert findings() == []
    assert integrity.remarks("seals") == [f"Not sealed yet, since {seal.date}: 0 entries."]


def test_anybody_can_check_a_seal_from_its_file_alone(person, own_folder):
    seal = sealed_at(NOW)
    (path,) = (own_folder / "seals").iterdir()
    first, *heads = map(json.loads, gzip.decompress(path.read_bytes()).decode().splitlines())
    assert first["public_key"] == seals.public_key()
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(first["public_key"]))
    key.verify(bytes.fromhex(first["signature"]), first["entry_hash"].encode())
    assert [first["root"], len(heads)] == [seal.root, 4]
    assert ["points", person.pk, 3, User.objects.get(pk=person.pk).points_hash] in heads


def test_the_scheduler_seals(person):
    assert jobs.jobs["seal ledgers"].run == seal_ledgers
    assert jobs.jobs["seal ledgers"].work(now=NOW)
    assert LedgerSeal.objects.count() == 1


def test_a_day_is_sealed_once(person):
    assert sealed_at(NOW)
    give(person, 1)
    assert seal_ledgers(now=NOW) is None
    assert LedgerSeal.objects.count() == 1


def test_the_next_seal_follows_and_its_file_has_only_what_changed(person, own_folder):
    first = sealed_at(NOW)
    give(person, 1)
    assert integrity.remarks("seals") == [f"Not sealed yet, since {first.date}: 1 entries."]
    second = sealed_at(NOW + DAY)
    assert second.previous_hash == first.entry_hash
    assert [head.account_id for head in seal_files.read(second.date).heads] == [person.pk]
    assert (second.accounts, second.entries) == (4, 9)
    assert findings() == []


def test_before_the_first_seal_everything_is_said_to_be_unsealed(person):
    assert findings() == []
    assert integrity.remarks("seals") == ["Nothing is sealed yet: 8 entries."]


def test_seals_cannot_be_altered_or_deleted(person):
    sealed_at(NOW)
    for change in (LedgerSeal.objects.all().delete, lambda: LedgerSeal.objects.update(entries=1)):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()


# --- Rewritten ledgers --------------------------------------------------------------------------
def chain_is_sound():
    """Whether the chains alone show nothing: then only a seal can."""
    names = ("points", "stock", "audit")
    rules = {found.rule for name in names for found in integrity.run(name)}
    return rules <= {"cause"}


def test_a_tail_of_the_audit_trail_that_was_rewritten_is_found(person):
    sealed_at(NOW)
    actor = AuditActor.objects.get()
    entries = list(AuditEntry.objects.order_by("sequence"))
    entries[1].after = '{"stock":6}'
    rewrite(AuditEntry, actor, entries)
    assert chain_is_sound()
    assert named() == [f"audit actor {actor.pk}"]


def test_a_tail_of_the_audit_trail_that_was_cut_is_found(person):
    sealed_at(NOW)
    actor = AuditActor.objects.get()
    first, last = AuditEntry.objects.order_by("sequence")
    with without_triggers(AuditEntry):
        AuditEntry.objects.filter(pk=last.pk).delete()
    AuditActor.objects.update(entries=1, head=first.entry_hash)
    assert chain_is_sound()
    assert named() == [f"audit actor {actor.pk}"]


def test_a_tail_that_was_rewritten_is_found(person):
    sealed_at(NOW)
    entries = list(PointsEntry.objects.filter(user=person).order_by("sequence"))
    entries[2].points, entries[2].balance_after = 500, 570
    rewrite(PointsEntry, person, entries, total_points=570)
    assert chain_is_sound()
    assert named() == [f"user {person.pk}"]


def test_a_tail_that_was_cut_is_found(person):
    sealed_at(NOW)
    entries = list(PointsEntry.objects.filter(user=person).order_by("sequence"))
    with without_triggers(PointsEntry):
        entries[2].delete()
    User.objects.filter(pk=person.pk).update(
        total_points=70, points_version=2, points_hash=entries[1].entry_hash
    )
    assert chain_is_sound()
    assert findings() == [
        (
            f"user {person.pk}",
            f"its entry 3 is not the one that was sealed on {timezone.localdate(NOW)}",
        )
    ]


def test_what_was_rewritten_and_sealed_again_is_found_all_the_same(person):
    sealed_at(NOW)
    entries = list(PointsEntry.objects.filter(user=person).order_by("sequence"))
    entries[0].points, entries[0].balance_after = 200, 200
    entries[1].balance_after, entries[2].balance_after = 170, 175
    rewrite(PointsEntry, person, entries, total_points=175)
    sealed_at(NOW + DAY)
    assert named() == [f"user {person.pk}"]


def test_stock_that_was_rewritten_is_found(person):
    sealed_at(NOW)
    product = Product.objects.get()
    entries = list(StockEntry.objects.order_by("sequence"))
    entries[1].quantity, entries[1].stock_after = 90, 95
    rewrite(StockEntry, product, entries, stock=95)
    assert chain_is_sound()
    assert named() == [f"product {product.pk}"]


def test_what_comes_after_the_seal_is_no_finding(person):
    sealed_at(NOW)
    give(person, 5)
    make_person(points=3)
    assert findings() == []


# --- Seals that were touched ---------------------------------------------------------------------
@pytest.fixture
def sealed(person):
    """Three days of seals."""
    days = []
    for number in range(3):
        days.append(sealed_at(NOW + (number - 3) * DAY).date)
        give(person, 1)
    return days


@pytest.mark.parametrize(
    "wrong", [{"root": "0" * 64}, {"entries": 1}, {"signature": "00" * 64}, {"key_id": "other"}]
)
def test_a_row_that_differs_from_its_file_is_found(sealed, wrong):
    with without_triggers(LedgerSeal):
        LedgerSeal.objects.filter(date=sealed[1]).update(**wrong)
    assert findings() == [(f"seal {sealed[1]}", "says something else than its file")]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_row_that_was_removed_is_found(sealed, number):
    with without_triggers(LedgerSeal):
        LedgerSeal.objects.filter(date=sealed[number]).delete()
    assert (f"seal {sealed[number]}", "was removed from the database") in findings()


def alter(own_folder, day, change):
    """Change the lines of a file, the first being the seal."""
    path = own_folder / "seals" / f"{day}.json.gz"
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    change(lines)
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    with without_triggers(LedgerSeal):
        facts = {name: value for name, value in lines[0].items() if name != "public_key"}
        LedgerSeal.objects.filter(date=day).update(**facts)


def forge_root(lines):
    lines[0]["root"] = "0" * 64


def forge_hash(lines):
    lines[0]["root"] = "0" * 64
    lines[0]["entry_hash"] = seal_files._seal(dict(lines[0])).computed_hash()


def forge_key(lines):
    lines[0]["key_id"] = "0" * 12
    lines[0]["entry_hash"] = seal_files._seal(dict(lines[0])).computed_hash()


def forge_signature(lines):
    lines[0]["signature"] = "no signature"


def leave_out_a_head(lines):
    lines.pop()


def sign_another_root(lines):
    """Not even the platform's own signature makes a root of it that the heads do not come to."""
    forge_hash(lines)
    key = seals._private_key(lines[0]["key_id"])
    lines[0]["signature"] = key.sign(lines[0]["entry_hash"].encode()).hex()


def test_a_root_that_the_heads_do_not_come_to_is_found(sealed, own_folder):
    alter(own_folder, sealed[2], sign_another_root)
    assert findings() == [(f"seal {sealed[2]}", "its heads do not come to its root")]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (forge_root, "was altered: its hash is not that of its fields"),
        (forge_hash, "its signature is not the platform's"),
        (forge_key, "was signed with the key 000000000000, which is not in the key ring"),
        (forge_signature, "its signature is not the platform's"),
        (leave_out_a_head, "its heads do not come to its root"),
    ],
)
def test_a_seal_that_was_forged_in_row_and_file_is_found(sealed, own_folder, change, problem):
    alter(own_folder, sealed[1], change)
    assert (f"seal {sealed[1]}", problem) in findings()


def test_a_file_that_is_missing_or_damaged_hides_what_it_sealed_and_nothing_else(
    sealed, own_folder, person
):
    path = own_folder / "seals" / f"{sealed[1]}.json.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert findings() == [
        (f"seal {sealed[1]}", "its file is damaged: what it seals cannot be checked")
    ]
    path.unlink()
    lost = (f"seal {sealed[1]}", "its file is missing: what it seals cannot be checked")
    assert findings() == [lost]
    entries = list(PointsEntry.objects.filter(user=person).order_by("sequence"))
    entries[0].points += 1
    for entry in entries:
        entry.balance_after += 1
    rewrite(PointsEntry, person, entries, total_points=entries[-1].balance_after)
    assert lost in findings()
    assert {f"user {person.pk}"} == set(named()) - {lost[0]}


@pytest.mark.parametrize("is_missing", [True, False])
def test_after_a_loss_the_next_seal_has_all_heads_and_its_root_is_proved_again(
    sealed, own_folder, is_missing
):
    path = own_folder / "seals" / f"{sealed[0]}.json.gz"
    path.unlink() if is_missing else path.write_bytes(b"lost")
    again = sealed_at(NOW)
    assert len(seal_files.read(again.date).heads) == again.accounts == 4
    assert named() == [f"seal {sealed[0]}"]
    alter(own_folder, again.date, sign_another_root)
    assert named() == [f"seal {sealed[0]}", f"seal {again.date}"]


def zipped(content):
    """Without the time, so that each process of the tests means the same."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"no gzip",
        zipped(b""),
        zipped(b"null"),
        zipped(b'"abc"'),
        zipped(b"{}"),
        zipped(b"[" * 100_000),
        zipped(b"\xff"),
        zipped(b"x" * 200)[:-40] + b"\x00" * 40,
    ],
    ids=lambda garbage: str(len(garbage)),
)
def test_a_file_of_garbage_is_damaged(sealed, own_folder, garbage):
    (own_folder / "seals" / f"{sealed[2]}.json.gz").write_bytes(garbage)
    assert findings() == [
        (f"seal {sealed[2]}", "its file is damaged: what it seals cannot be checked")
    ]


@pytest.mark.parametrize(
    "head",
    [
        [1],
        ["points", 1, 1],
        ["points", "1", 1, "h"],
        ["points", True, 1, "h"],
        ["coins", 1, 1, "h"],
        ["points", 2**70, 1, "h"],
        ["points", 1, 1e400, "h"],
        ["points", 1, 1, None],
    ],
)
def test_a_head_of_garbage_damages_its_file(sealed, own_folder, head):
    alter(own_folder, sealed[2], lambda lines: lines.append(head))
    assert named() == [f"seal {sealed[2]}"]


def test_a_seal_of_garbage_is_damaged(sealed, own_folder):
    path = own_folder / "seals" / f"{sealed[2]}.json.gz"
    first, *others = gzip.decompress(path.read_bytes()).decode().splitlines()
    first = json.dumps({**json.loads(first), "signature": 3})
    path.write_bytes(gzip.compress("\n".join([first, *others]).encode()))
    assert named() == [f"seal {sealed[2]}"]


@pytest.mark.parametrize("name", ["copy of 2026-01-01.json.gz", "20260101.json.gz", "notes.txt"])
def test_a_file_that_is_not_ours_is_left_alone(sealed, own_folder, name):
    (own_folder / "seals" / name).write_bytes(b"x")
    assert findings() == []
    assert sealed_at(NOW).sequence == 4


# --- Killed and restored ------------------------------------------------------------------------
def forget(day):
    """Undo a row, as a restore or a kill does."""
    with without_triggers(LedgerSeal):
        LedgerSeal.objects.filter(date=day).delete()


def test_a_seal_whose_machine_was_killed_before_the_row_is_taken_up(person):
    day = sealed_at(NOW).date
    forget(day)
    give(person, 5)
    assert sealed_at(NOW + DAY).date == day
    assert findings() == []
    assert sealed_at(NOW + DAY).sequence == 2
    assert findings() == []


def test_a_file_that_was_written_in_part_is_put_aside(person, own_folder):
    day = sealed_at(NOW).date
    path = own_folder / "seals" / f"{day}.json.gz"
    path.write_bytes(path.read_bytes()[:100])
    forget(day)
    assert sealed_at(NOW).date == day
    assert (own_folder / "seals" / "set-aside" / path.name).exists()
    assert findings() == []


def test_a_damaged_file_among_others_that_are_not_known_is_for_people(sealed, own_folder):
    for day in sealed[1:]:
        forget(day)
    (own_folder / "seals" / f"{sealed[1]}.json.gz").write_bytes(b"")
    with pytest.raises(seals.SealsContradict):
        seal_ledgers(now=NOW)


def test_a_clock_that_goes_back_seals_nothing(person):
    sealed_at(NOW)
    assert seal_ledgers(now=NOW - DAY) is None
    assert LedgerSeal.objects.count() == 1


def test_the_job_fails_until_somebody_looked(person):
    forget(sealed_at(NOW - DAY).date)
    restore(person, 2)
    for _round in range(2):
        with pytest.raises(seals.SealsContradict):
            seal_ledgers(now=NOW)
    assert not LedgerSeal.objects.exists()
    seals.set_newer_aside()
    assert seal_ledgers(now=NOW)
    assert seal_ledgers(now=NOW) is None
    assert LedgerSeal.objects.count() == 1


def test_another_fault_of_the_row_is_not_taken_for_another_machine(person):
    sealed_at(NOW - DAY)
    file = seal_files.read(timezone.localdate(NOW - DAY))
    file.seal.date += 5 * DAY
    with pytest.raises(IntegrityError):
        seals._keep(file, is_new=False)


def restore(person, sequence):
    """Bring the database back to the moment after this entry of the person."""
    with without_triggers(PointsEntry):
        PointsEntry.objects.filter(user=person, sequence__gt=sequence).delete()
    entry = PointsEntry.objects.get(user=person, sequence=sequence)
    User.objects.filter(pk=person.pk).update(
        total_points=entry.balance_after,
        points_version=entry.sequence,
        points_hash=entry.entry_hash,
    )


def test_a_restored_copy_is_judged_by_the_seals_up_to_its_own_moment(person):
    first = sealed_at(timezone.now())
    give(person, 5)
    second = sealed_at(timezone.now() + DAY)
    restore(person, 3)
    forget(second.date)

    assert findings() == []
    assert integrity.remarks("seals") == [
        f"Not sealed yet, since {first.date}: 0 entries.",
        f"This database ends before the seal of {second.date}.",
    ]
    entries = list(PointsEntry.objects.filter(user=person).order_by("sequence"))
    entries[2].points, entries[2].balance_after = 500, 570
    rewrite(PointsEntry, person, entries, total_points=570)
    assert named() == [f"user {person.pk}"]


def test_after_a_restore_nothing_is_sealed_until_somebody_says_so(person, own_folder):
    sealed_at(timezone.now())
    give(person, 5)
    second = sealed_at(timezone.now() + DAY)
    restore(person, 3)
    forget(second.date)

    with pytest.raises(seals.SealsContradict, match="--after-restore"):
        seal_ledgers(now=timezone.now() + DAY)
    assert LedgerSeal.objects.count() == 1

    output = StringIO()
    call_command("seal_ledgers", "--after-restore", stdout=output)
    said = output.getvalue().splitlines()
    assert said[:2] == [f"Put aside: {second.date}", "This day is sealed already."]
    (aside,) = (own_folder / "seals" / "set-aside").iterdir()
    assert aside.name == f"{second.date}.json.gz"
    assert sealed_at(timezone.now() + DAY).sequence == 2
    assert findings() == []


def test_the_command_says_what_contradicts(person):
    forget(sealed_at(timezone.now()).date)
    restore(person, 2)
    with pytest.raises(CommandError, match="--after-restore"):
        call_command("seal_ledgers")
    assert not LedgerSeal.objects.exists()


def test_the_command_seals_and_says_the_root(person):
    output = StringIO()
    call_command("seal_ledgers", stdout=output)
    seal = LedgerSeal.objects.get()
    said = output.getvalue().splitlines()
    assert said == [f"Sealed: {seal.date}, {seal.root}", f"Public key: {seals.public_key()}"]


def test_when_another_machine_was_first_nothing_is_written(person, own_folder, monkeypatch):
    sealed_at(NOW)
    file = seal_files.read(timezone.localdate(NOW))
    assert seals._keep(file, is_new=True) is None
    assert len(list((own_folder / "seals").iterdir())) == 1
