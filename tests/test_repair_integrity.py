"""What check_integrity finds is set right as far as it is proved, and named where it is not."""

import ast
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from django.utils.translation import override

from accounts.models import AccountMerge, PointsAdjustment, PointsEntry, User
from accounts.services.adjusting import adjust
from accounts.tests.factories import make_staff, merge_into
from catalog.models import Order, Product, ProductKind, StockEntry, StockOperation, VirtualCode
from catalog.services.stock import Change, change_stock, correct, write_entries
from catalog.tests.factories import make_order, make_product
from favorites.models import Favorite
from lottery.models import Draw, PityCounter, Prize, SeedPair, WheelVersion
from lottery.services.draws import draw
from lottery.tests.factories import make_wheel, points_prize
from ops.chain import GENESIS_HASH
from ops.errors import NotFound
from ops.models import AuditActor, AuditEntry, LedgerSeal
from ops.registry import Registry
from ops.services import heads, integrity, ledgers, repair, seal_files, seals
from ops.services.integrity import Check, Finding, Subject
from ops.services.repair import Author, Beyond, BrokenTrail, Findings, Mend
from reviews.models import Receipt
from reviews.tests.factories import EPOCH, make_decided, make_receipt, pay, settle
from tests.audit import what
from tests.checks import EVERY_CHECK, leave_tables_out
from tests.ledgers import past_the_triggers, without_triggers
from tests.live import ROOT
from tests.people import give, make_person

pytestmark = pytest.mark.django_db

BY = Author(reason="A test")
LEDGERS = (PointsEntry, StockEntry, AuditEntry)


@pytest.fixture(autouse=True)
def english():
    with override("en"):
        yield


@pytest.fixture(autouse=True)
def without_tables(monkeypatch):
    leave_tables_out(monkeypatch)


@pytest.fixture
def tables(without_tables, monkeypatch):
    """That one as well."""
    monkeypatch.setattr(integrity, "checks", EVERY_CHECK)


def found():
    return [
        (one.rule, one.object_id)
        for name in integrity.checks.names()
        for one in integrity.run(name)
    ]


def rows_of_ledgers():
    return {model: list(model.objects.order_by("pk").values_list()) for model in LEDGERS}


def repair_all(decided=()):
    """Do what can be done; returns why what was tried could not be done."""
    before = rows_of_ledgers()
    problems = [one.problem for one in repair.apply(repair.plan(decided), BY) if one.problem]
    for model, rows in rows_of_ledgers().items():
        assert rows[: len(before[model])] == before[model], "a row of a ledger was touched"
    return problems


def is_set_right():
    """That everything could be repaired, is, and that a second time nothing is left to do."""
    assert found() != []
    assert all(isinstance(one.answer, Mend) for one in repair.plan()), repair.plan()
    first = repair.plan()
    assert repair_all() == []
    assert found() == []
    rows = rows_of_ledgers()
    assert [one.problem for one in repair.apply(first, BY)] == [""] * len(first)
    assert rows_of_ledgers() == rows
    return True


def beyond(rule, object_id):
    """Why a finding is beyond repair; applying everything leaves it there."""
    (answer,) = {
        one.answer
        for one in repair.plan()
        if (one.finding.rule, one.finding.object_id) == (rule, object_id)
    }
    assert isinstance(answer, Beyond)
    assert answer.way_out
    repair_all()
    assert (rule, object_id) in found()
    return str(answer.reason)


def seal():
    return seals.seal_ledgers(now=timezone.now())


def update(person, **columns):
    User.objects.filter(pk=person.pk).update(**columns)


@pytest.fixture
def person():
    """Somebody with the entries +100 and -30."""
    person = make_person(points=100)
    adjust(person_id=person.pk, points=-30, reason="Counted wrong")
    person.refresh_from_db()
    return person


# --- Heads --------------------------------------------------------------------------------------
@pytest.mark.parametrize("wrong", [{"total_points": 71}, {"points_version": 1}])
def test_a_balance_or_number_that_was_altered_is_set_to_its_ledger(person, wrong):
    update(person, **wrong)
    assert is_set_right()
    fresh = User.objects.get(pk=person.pk)
    assert (fresh.total_points, fresh.points_version) == (70, 2)
    assert fresh.points_hash == person.points_hash


def test_a_number_without_any_entry_is_taken_back():
    update(make_person(), points_version=3)
    assert is_set_right()


def test_what_was_set_right_stands_in_the_audit_trail(person):
    update(person, total_points=71)
    repair_all()
    told = what(AuditEntry.objects.latest("pk"))
    assert told.action == "user.repair"
    assert told.object == f"accounts.user:{person.pk}"
    assert (told.before, told.after) == ({"total_points": 71}, {"total_points": 70})
    assert told.reason == "A test"


def test_staff_who_decided_it_is_named():
    staff, poor = make_staff(), make_person()
    update(poor, total_points=5)
    by_staff = Author(reason="x", person_id=staff.pk)
    assert [one.problem for one in repair.apply(repair.plan(), by_staff)] == [""]
    assert AuditEntry.objects.latest("pk").actor_id == staff.pk


def test_stock_that_was_altered_is_set_to_its_ledger():
    product = make_product(stock=5)
    Product.objects.update(stock=6)
    assert is_set_right()
    told = what(AuditEntry.objects.latest("pk"))
    assert (told.action, told.shop_id) == ("product.repair", product.shop_id)


def test_stock_of_codes_is_right_once_its_head_is():
    make_product(codes=["A-1", "A-2"])
    Product.objects.update(stock=7)
    assert is_set_right()


def test_a_trail_of_the_audit_is_set_to_its_last_entry():
    staff = make_staff()
    adjust(person_id=make_person().pk, points=1, reason="x", author_id=staff.pk)
    AuditActor.objects.filter(person_id=staff.pk).update(entries=9)
    assert is_set_right()


def test_ones_own_trail_is_set_right_before_anything_is_recorded_in_it(person):
    update(person, total_points=71)
    assert AuditActor.objects.exclude(system_user="").update(entries=9) == 1
    assert is_set_right()


def test_whoever_could_leave_no_trace_repairs_nothing(person):
    update(person, total_points=71)
    with without_triggers(AuditEntry):
        AuditEntry.objects.exclude(system_user="").update(reason="another")
    plan = repair.plan()
    with pytest.raises(BrokenTrail):
        list(repair.apply(plan, BY))
    assert User.objects.get(pk=person.pk).total_points == 71
    staff = Author(reason="x", person_id=make_staff().pk)
    assert [one.problem for one in repair.apply(plan, staff)] == [""]


def test_whoever_lost_the_end_of_their_trail_repairs_nothing(person):
    update(person, total_points=71)
    AuditActor.objects.exclude(system_user="").update(head="f" * 64)
    with pytest.raises(BrokenTrail):
        list(repair.apply(repair.plan(), BY))


WIPED = {"points_hash": GENESIS_HASH}
RESET = {"points_hash": GENESIS_HASH, "points_version": 0, "total_points": 0}
STRANGE = {"points_hash": "f" * 64}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (WIPED, "entries stand behind the one that it names"),
        (RESET, "entries stand behind the one that it names"),
        (STRANGE, "it names an entry that is not there"),
    ],
)
def test_a_head_that_is_another_is_set_right_by_a_seal_alone(person, wrong, why):
    update(person, **wrong)
    assert why in beyond("balance", f"user {person.pk}")
    update(person, points_hash=person.points_hash, points_version=2, total_points=70)
    seal()
    update(person, **wrong)
    assert is_set_right()


def test_a_seal_of_an_earlier_entry_proves_no_later_one(person):
    seal()
    adjust(person_id=person.pk, points=5, reason="x")
    update(person, **RESET)
    assert "no seal proves" in beyond("balance", f"user {person.pk}")


def test_seals_that_are_doubted_prove_nothing(person):
    sealed = seal()
    update(person, **RESET)
    assert seals.sealed_heads() != {}
    with without_triggers(LedgerSeal):
        LedgerSeal.objects.update(accounts=99)
    assert seals.sealed_heads() == {}
    assert "no seal proves" in beyond("balance", f"user {person.pk}")
    assert "a seal is proof" in beyond("seals", f"seal {sealed.date}")


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_head_that_tells_of_an_entry_that_was_cut_off_is_never_lowered(person, is_sealed):
    if is_sealed:
        seal()
    adjust(person_id=person.pk, points=500, reason="x")
    with without_triggers(PointsEntry):
        PointsEntry.objects.filter(user=person, sequence=3).delete()
    why = beyond("balance", f"user {person.pk}")
    assert "in question" in why  # its cause tells of it as well
    with without_triggers(PointsAdjustment):
        PointsAdjustment.objects.filter(points=500).delete()
    why = beyond("balance", f"user {person.pk}")
    assert "it names an entry that is not there" in why


def test_an_entry_that_was_slipped_in_behind_the_head_gives_nothing():
    """A restock has no cause that tells whether it was one."""
    product = make_product(stock=5)
    version, head = product.stock_version, product.stock_hash
    change_stock(product_id=product.pk, quantity=95, operation=StockOperation.RESTOCK)
    Product.objects.update(stock=5, stock_version=version, stock_hash=head)
    assert "no seal proves" in beyond("balance", f"product {product.pk}")
    assert Product.objects.get().stock == 5


def test_a_head_over_a_broken_chain_stays_as_it_is(person):
    with without_triggers(PointsEntry):
        PointsEntry.objects.filter(user=person, sequence=1).update(related_id="another")
    update(person, total_points=71)
    assert "in question" in beyond("balance", f"user {person.pk}")
    ledger = ledgers.ledgers["points"]
    fresh = User.objects.get(pk=person.pk)
    assert heads.why_unproved(ledger, fresh, {}) == "its chain of entries is broken"
    assert not heads.is_whole(ledger, person.pk)


def test_what_was_broken_meanwhile_is_not_set_right(person):
    update(person, total_points=71)
    plan = repair.plan()
    update(person, **RESET)
    (outcome,) = repair.apply(plan, BY)
    assert "no seal proves" in outcome.problem
    assert User.objects.get(pk=person.pk).points_version == 0


def test_what_the_database_refuses_ends_that_repair_alone(person):
    other = make_person(points=3)
    update(person, total_points=71)
    update(other, total_points=4)
    plan = repair.plan()

    def refuse(author):
        User.objects.filter(pk=person.pk).update(total_points=-1)

    broken = Mend(says="", make=refuse)
    plan[0] = repair.Verdict(check="points", finding=plan[0].finding, answer=broken)
    problems = [one.problem for one in repair.apply(plan, BY)]
    assert sorted(map(bool, problems)) == [False, True]
    assert "refused it" in max(problems)
    assert found() == [("balance", f"user {person.pk}")]


# --- Counts of people ---------------------------------------------------------------------------
def test_lifetime_points_that_were_altered_are_counted_anew():
    receipt = make_decided(points=9)
    pay(receipt, 9)
    User.objects.filter(pk=receipt.person_id).update(lifetime_points=900)
    plan = repair.plan()
    assert is_set_right()
    assert [one.problem for one in repair.apply(plan, BY)] == [""]


def test_lifetime_points_are_left_while_an_entry_is_in_question():
    receipt = make_decided(points=9)
    pay(receipt, 9)
    with without_triggers(PointsEntry):
        PointsEntry.objects.update(points=900, balance_after=900)
    assert "in question" in beyond("lifetime", f"user {receipt.person_id}")


@pytest.fixture
def merged():
    """The cause of a merge, of an account with 70 points."""
    return merge_into(make_person(points=50), make_person(points=70))


def test_a_merged_account_says_again_where_it_went(merged):
    User.objects.filter(pk=merged.merged_id).update(merged_into=make_person())
    User.objects.filter(pk=merged.survivor_id).update(merged_accounts=4)
    assert is_set_right()
    assert User.objects.get(pk=merged.merged_id).merged_into_id == merged.survivor_id


def test_an_account_that_was_opened_again_cannot_be_closed_by_a_count(merged):
    """It has a phone by now: whose, nobody here knows."""
    User.objects.filter(pk=merged.merged_id).update(
        merged_into=None, status="active", phone="13900000001"
    )
    problems = repair_all()
    assert len(problems) == 1
    assert "user_merged_keeps_nothing" in problems[0]
    assert ("merge", f"user {merged.merged_id}") in found()


def test_a_merge_that_was_removed_is_not_forgotten():
    merged = merge_into(make_person(), make_person())  # without points there is no pair
    with without_triggers(AccountMerge):
        AccountMerge.objects.all().delete()
    assert "in question" in beyond("merge", f"user {merged.merged_id}")
    assert "in question" in beyond("merge", f"user {merged.survivor_id}")


def test_a_merge_with_a_forged_proof_moves_nothing(merged):
    with without_triggers(AccountMerge):
        AccountMerge.objects.update(lifetime_points=5)
    assert "without a right proof" in beyond("merge", f"merge {merged.pk}")
    assert "in question" in beyond("lifetime", f"user {merged.survivor_id}")


# --- Entries that no service can have written ---------------------------------------------------
@pytest.mark.parametrize(
    ("source", "points"), [("expire", -5), ("reverse", 50), ("adjust", 50), ("adjust", -5)]
)
def test_an_entry_that_nothing_writes_is_taken_back_by_an_adjustment(source, points):
    person = make_person(points=30)
    related_id = str(person.points_entries.get().pk) if source == "reverse" else ""
    give(person, points, source=source, related_id=related_id)
    assert is_set_right()
    fresh = User.objects.get(pk=person.pk)
    assert (fresh.total_points, fresh.points_version) == (30, 3)
    cause = PointsAdjustment.objects.get()
    assert cause.points == -points
    assert cause.corrects == person.points_entries.get(sequence=2)
    assert cause.finding == f"nothing accounts for entry {person.pk}/2"
    assert cause.reason == "A test"


def test_a_receipt_that_was_paid_twice_is_paid_once():
    receipt = make_receipt(process=None)
    settle(receipt, make_staff(), "approved", points=100)
    for _time in range(3):
        pay(receipt, 100)
    assert is_set_right()
    fresh = User.objects.get(pk=receipt.person_id)
    assert (fresh.total_points, fresh.lifetime_points, fresh.points_version) == (100, 100, 5)


def test_points_that_were_spent_are_not_taken_below_nothing():
    person = make_person(points=30)
    give(person, 50, source="reverse", related_id=str(person.points_entries.get().pk))
    order = make_order(person=person, product=make_product(points_price=60))
    assert order.total_points == 60
    why = beyond("cause", f"entry {person.pk}/2")
    assert why == "50 would have to be taken, and only 20 are left"


def test_points_that_are_spent_meanwhile_are_not_taken_either():
    person = make_person(points=30)
    give(person, 50, source="reverse", related_id=str(person.points_entries.get().pk))
    plan = repair.plan()
    make_order(person=person, product=make_product(points_price=60))
    rows = rows_of_ledgers()
    (outcome,) = repair.apply(plan, BY)
    assert "20" in outcome.problem
    assert rows_of_ledgers() == rows
    assert not PointsAdjustment.objects.exists()


def test_nothing_is_booked_behind_a_chain_that_was_broken_meanwhile(person):
    give(person, -5, source="expire")
    plan = repair.plan()
    update(person, total_points=66)
    (outcome,) = repair.apply(plan, BY)
    assert "broken" in outcome.problem


def test_an_account_that_was_merged_gets_no_correction():
    merged, survivor = make_person(points=30), make_person()
    give(merged, 50, source="adjust")
    merge_into(survivor, merged)
    assert "closed" in beyond("cause", f"entry {merged.pk}/2")


@pytest.mark.parametrize(
    ("source", "points", "related_id"),
    [
        ("photo_upload", 50, "999999"),  # a receipt that may have been removed
        ("prize", 50, "nonsense"),
        ("exchange", -5, "999999"),  # something was received for it, perhaps
        ("adjust", 50, "999999"),
        ("merge", 50, "999999"),
        ("cancel", 50, "999999"),
        ("register", 50, "999999"),
        ("lottery", -5, "999999"),
    ],
)
def test_an_entry_whose_cause_may_have_been_removed_is_left_to_people(source, points, related_id):
    person = make_person(points=30)
    give(person, points, source=source, related_id=related_id)
    name = f"entry {person.pk}/2"
    assert "may be forged, or the cause" in beyond("cause", name)

    repair_all(decided=[name])

    assert User.objects.get(pk=person.pk).total_points == 30
    assert ("cause", name) not in found()


def test_a_forged_receipt_is_not_paid():
    """Approved by hand: the ledger says nothing of it, and goes on saying nothing."""
    receipt = make_decided(points=5000)
    beyond("cause", f"receipt {receipt.pk}")
    assert not PointsEntry.objects.exists()


def test_a_forged_amount_of_a_receipt_is_not_made_right():
    receipt = make_decided(points=5)
    entry = pay(receipt, 5)
    Receipt.objects.update(points_awarded=5000)
    beyond("cause", f"receipt {receipt.pk}")
    beyond("cause", f"entry {receipt.person_id}/{entry.sequence}")
    assert User.objects.get(pk=receipt.person_id).total_points == 5


# --- Stock --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("operation", "quantity", "related_id"),
    [("restock", -1, ""), ("restock", 3, "order 1"), ("admin_adjust", 3, "order 1")],
)
def test_stock_that_nothing_writes_is_taken_back_by_an_adjustment(operation, quantity, related_id):
    product = make_product(stock=5)
    write_stock(product, quantity, operation, related_id)
    assert is_set_right()
    assert Product.objects.get().stock == 5
    entry = StockEntry.objects.latest("sequence")
    assert (entry.operation, entry.quantity) == (StockOperation.ADMIN_ADJUST, -quantity)
    assert entry.related_id == str(StockEntry.objects.get(sequence=2).pk)
    assert entry.reason == "A test"


def write_stock(product, quantity, operation, related_id=""):
    change = Change(
        product=product,
        quantity=quantity,
        operation=StockOperation(operation),
        related_id=related_id,
    )
    return write_entries([change])[0]


def test_the_same_correction_of_stock_again_changes_nothing():
    product = make_product(stock=5)
    entry = write_stock(product, -1, "restock")
    first = correct(entry_id=entry.pk, reason="x")
    assert correct(entry_id=entry.pk, reason="y") == first
    assert Product.objects.get().stock == 5
    with pytest.raises(NotFound):
        correct(entry_id=999_999, reason="x")


@pytest.mark.parametrize(
    "wrong", ["quantity", "product", "twice", "nobody's", "beyond", "one that is due"]
)
def test_a_correction_of_stock_that_takes_nothing_back_is_found(wrong):
    product, other = make_product(stock=50), make_product(stock=5)
    forged = write_stock(product, -1, "restock")
    where = other if wrong == "product" else product
    named = {
        "nobody's": "999999",
        "beyond": str(2**70),
        "one that is due": str(product.stock_entries.get(sequence=1).pk),
    }.get(wrong, str(forged.pk))
    entry = write_stock(where, 3 if wrong == "quantity" else 1, "admin_adjust", named)
    name = f"stock entry {where.pk}/{entry.sequence}"
    if wrong == "twice":
        assert found() == []
        entry = write_stock(product, 1, "admin_adjust", named)
        name = f"stock entry {product.pk}/{entry.sequence}"
    assert ("cause", name) in found()


def test_a_sale_that_somebody_took_back_by_hand_is_missed():
    order = make_order()
    sale = StockEntry.objects.get(operation=StockOperation.PURCHASE)
    write_stock(Product.objects.get(), 1, "admin_adjust", str(sale.pk))
    assert ("cause", f"order {order.pk}") in found()


def test_stock_is_not_taken_below_nothing():
    product = make_product(stock=1)
    write_stock(product, 50, "restock", "order 1")
    write_stock(product, -40, "admin_adjust")
    assert "50 would have to be taken" in beyond("cause", f"stock entry {product.pk}/2")


def test_stock_of_codes_is_its_codes():
    product = make_product(codes=["A-1"])
    write_stock(product, -1, "restock")
    assert "free codes" in beyond("cause", f"stock entry {product.pk}/2")
    assert "not made anew" in beyond("codes", f"product {product.pk}")


def test_stock_behind_a_chain_that_was_broken_meanwhile_is_left():
    product = make_product(stock=5)
    write_stock(product, -1, "restock")
    plan = repair.plan()
    Product.objects.update(stock=9)
    (outcome,) = repair.apply(plan, BY)
    assert "broken" in outcome.problem


def test_stock_of_an_order_that_is_gone_is_left_to_people():
    product = make_product(stock=5)
    write_stock(product, -1, "purchase", "999999")
    name = f"stock entry {product.pk}/2"
    beyond("cause", name)
    repair_all(decided=[name])
    assert Product.objects.get().stock == 5
    assert found() == []


def test_sales_are_counted_anew():
    make_order()
    Product.objects.update(sales_count=7)
    assert is_set_right()
    assert Product.objects.get().sales_count == 1


def test_sales_are_left_while_an_order_is_in_question():
    order = make_order()
    Order.objects.update(status="cancelled", returned_at=order.created_at)
    assert "in question" in beyond("sales", f"product {order.product_id}")


def test_codes_that_are_gone_are_not_made_anew():
    product = make_product(codes=["A-1", "A-2"])
    VirtualCode.objects.earliest("pk").delete()
    assert "not made anew" in beyond("codes", f"product {product.pk}")
    assert product.kind == ProductKind.VIRTUAL


def test_a_code_or_order_that_was_altered_is_named():
    order = make_order(product=make_product(codes=["A-1"]))
    VirtualCode.objects.update(order=None, delivered_at=None, code_hash="0" * 64)
    beyond("codes", f"order {order.pk}")
    beyond("codes", f"code {VirtualCode.objects.get().pk}")


def test_an_order_above_its_limit_is_left_to_people():
    order = make_order(person=make_person(points=500), quantity=2)
    Order.objects.update(limit_per_person=1)
    assert "somebody has to decide" in beyond("limit", f"order {order.pk}")


def test_one_receipt_that_was_paid_as_two_is_left_to_people():
    receipts = [make_decided(points=0, receipt_number="A1", issued_at=EPOCH), make_receipt()]
    Receipt.objects.filter(pk=receipts[1].pk).update(
        status="approved", points_awarded=0, reviewer=make_person(), reviewed_at=EPOCH,
        read_as=Receipt.objects.get(pk=receipts[0].pk).read_as,
    )  # fmt: skip
    assert "which one was meant" in beyond(
        "paid twice", f"receipts {receipts[0].pk}, {receipts[1].pk}"
    )


# --- Draws --------------------------------------------------------------------------------------
@pytest.fixture
def wheel():
    return make_wheel(
        points_prize("50", probability="0.3", quantity=100),
        points_prize("1", probability="0.1", is_pity_prize=True),
        pity_threshold=50,
    )


@pytest.fixture
def drawer(wheel):
    person = make_person(points=10_000)
    draw(person_id=person.pk, wheel_id=wheel.pk, count=10)
    return person


def counter_of(person, wheel):
    return f"pity counter of user {person.pk}, wheel {wheel.pk}"


@pytest.mark.parametrize("wrong", ["altered", "removed"])
def test_a_pity_counter_is_counted_anew(drawer, wheel, wrong):
    current = PityCounter.objects.get().current
    if wrong == "altered":
        PityCounter.objects.update(current=current + 40)
    else:
        PityCounter.objects.all().delete()
    assert is_set_right()
    assert PityCounter.objects.get().current == current


def test_a_pity_counter_without_any_draw_begins_anew(wheel):
    PityCounter.objects.create(person=make_person(), wheel=wheel, current=40)
    assert is_set_right()
    assert PityCounter.objects.get().current == 0


def test_a_counter_is_left_while_a_draw_is_in_question(drawer, wheel):
    PityCounter.objects.update(current=40)
    with without_triggers(Draw):
        one = Draw.objects.earliest("pk")
        Draw.objects.filter(pk=one.pk).update(ticket=(one.ticket + 1) % 10_000)
    assert "in question" in beyond("pity", counter_of(drawer, wheel))
    assert "decided once" in beyond("proof", f"draw {one.pk}")


def test_a_counter_is_left_where_a_draw_was_forged_meanwhile(drawer, wheel):
    PityCounter.objects.update(current=40)
    plan = repair.plan()
    with without_triggers(Draw):
        one = Draw.objects.earliest("pk")
        Draw.objects.filter(pk=one.pk).update(ticket=(one.ticket + 1) % 10_000)
    (outcome,) = repair.apply(plan, BY)
    assert "in question" in outcome.problem
    assert PityCounter.objects.get().current == 40


def test_a_pair_behind_its_draws_goes_on_after_them(drawer, wheel):
    SeedPair.objects.filter(next_nonce__gt=0).update(next_nonce=3)
    assert is_set_right()
    assert draw(person_id=drawer.pk, wheel_id=wheel.pk, count=1).draws[0].nonce == 10


def test_a_pair_before_its_draws_tells_of_draws_that_were_removed(drawer, wheel):
    pair = SeedPair.objects.get(next_nonce=10)
    SeedPair.objects.filter(pk=pair.pk).update(next_nonce=11)
    PityCounter.objects.update(current=40)
    assert "draws that were removed" in beyond("nonces", f"seed pair {pair.pk}")
    assert "in question" in beyond("pity", counter_of(drawer, wheel))


def test_a_pair_behind_is_left_while_its_draws_are_in_question(drawer):
    pair = SeedPair.objects.get(next_nonce=10)
    SeedPair.objects.filter(pk=pair.pk).update(next_nonce=3, client_seed="another")
    assert "in question" in beyond("nonces", f"seed pair {pair.pk}")


def test_seeds_and_orders_of_draws_are_named(drawer):
    pair = SeedPair.objects.get(next_nonce=10)
    SeedPair.objects.filter(pk=pair.pk).update(server_seed_encrypted="broken")
    assert "made once" in beyond("seed", f"seed pair {pair.pk}")


def test_a_count_of_a_prize_is_taken_from_its_draws(drawer):
    prize = Prize.objects.get(quantity=100)
    assert prize.given > 0
    Prize.objects.filter(pk=prize.pk).update(given=90, given_that_day=80)
    assert is_set_right()
    fresh = Prize.objects.get(pk=prize.pk)
    assert (fresh.given, fresh.given_that_day) == (prize.given, prize.given_that_day)


def test_a_count_of_a_prize_is_left_while_a_draw_is_in_question(drawer):
    prize = Prize.objects.get(quantity=100)
    Prize.objects.filter(pk=prize.pk).update(given=0)
    with without_triggers(Draw):
        one = Draw.objects.filter(prize_id=prize.pk).earliest("pk")
        Draw.objects.filter(pk=one.pk).update(cost_points=1)
    assert "in question" in beyond("given", f"prize {prize.pk}")


def test_a_count_that_tells_of_a_draw_that_was_removed_is_not_lowered(drawer):
    prize = Prize.objects.get(quantity=100)
    with without_triggers(Draw):
        Draw.objects.filter(prize_id=prize.pk).latest("pk").delete()
    assert "in question" in beyond("given", f"prize {prize.pk}")
    assert Prize.objects.get(pk=prize.pk).given == prize.given


def test_a_prize_allows_what_was_published(drawer):
    prize = Prize.objects.get(quantity=100)
    Prize.objects.filter(pk=prize.pk).update(published_quantity=100_000, published_daily_cap=5)
    assert is_set_right()
    fresh = Prize.objects.get(pk=prize.pk)
    assert (fresh.published_quantity, fresh.published_daily_cap) == (100, None)


def test_what_was_published_is_in_question_itself(drawer):
    prize = Prize.objects.get(quantity=100)
    Prize.objects.filter(pk=prize.pk).update(published_quantity=100_000)
    other = make_wheel()
    version = WheelVersion.objects.get(wheel=other)
    with without_triggers(WheelVersion):
        WheelVersion.objects.filter(pk=version.pk).update(prizes=[])
    assert "in question" in beyond("quantity", f"prize {prize.pk}")
    assert "decided once" in beyond("proof", f"version {version.pk}")


# --- Tables, seals, trail -----------------------------------------------------------------------
@pytest.mark.parametrize("model", [PointsEntry, StockEntry, AuditEntry, Draw, AccountMerge])
def test_a_table_that_is_guarded_no_more_is_named(model):
    with without_triggers(model):
        (answer,) = {
            one.answer for one in repair.plan() if one.finding.object_id == model._meta.db_table
        }
    assert isinstance(answer, Beyond)
    assert "diagnose_db" in str(answer.way_out)


@pytest.mark.postgresql
def test_a_constraint_that_is_gone_is_named(tables):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_user DROP CONSTRAINT user_merged_keeps_nothing")
    (answer,) = {one.answer for one in repair.plan() if one.finding.rule == "constraint"}
    assert isinstance(answer, Beyond)
    assert "diagnose_db" in str(answer.way_out)


def test_a_row_that_points_nowhere_is_named(tables):
    kept = Favorite.objects.create(person=make_person(), product=make_product())
    with connection.cursor() as cursor, past_the_triggers(cursor):
        Favorite.objects.filter(pk=kept.pk).update(product=999_999)
        reasons = {
            str(one.answer.reason)
            for one in repair.plan()
            if one.finding.rule == "reference" and isinstance(one.answer, Beyond)
        }
        Favorite.objects.all()._raw_delete("default")
    assert reasons == {"what it points to is gone, and nothing here knows it"}


def test_a_seal_whose_file_is_gone_is_not_made_anew(person, settings, tmp_path):
    sealed = seal()
    seal_files.set_aside(sealed.date)
    assert "a seal is proof" in beyond("seals", f"seal {sealed.date}")
    assert LedgerSeal.objects.count() == 1
    assert seal_files.days() == []


def test_an_entry_in_the_trail_of_somebody_else_is_named():
    staff = make_staff()
    adjust(person_id=make_person().pk, points=1, reason="x", author_id=staff.pk)
    AuditActor.objects.filter(person_id=staff.pk).update(person_id=make_person().pk)
    actor = AuditActor.objects.get(system_user="")
    beyond("actor", f"audit entry {actor.pk}/1")


def test_a_check_that_stumbled_repairs_nothing(monkeypatch):
    def stumble():
        raise ValueError

    checks = Registry[Check]()
    checks.register("receipts", Check(stumble, of=()))
    monkeypatch.setattr(integrity, "checks", checks)
    (verdict,) = repair.plan()
    assert isinstance(verdict.answer, Beyond)
    assert "could not be finished" in str(verdict.answer.reason)


# --- Every kind of finding ------------------------------------------------------------------------
def rules_in_the_code():
    """The rule of every `Finding(…)` that is written anywhere, where it is a text."""
    for path in ROOT.glob("*/**/*.py"):
        if "tests" in path.parts or path.parts[len(ROOT.parts)].startswith("."):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant):
                    yield first.value, path


def test_something_is_said_of_every_rule():
    rules = {rule for rule, path in rules_in_the_code() if "diagnosis" not in Path(path).parts}
    assert len(rules) > 20, "this test sees nothing"
    derived = {"lifetime", "sales", "given"}  # all of these findings have somebody who answers
    assert rules - set(repair.beyond.names()) == derived


def test_of_what_nobody_knows_it_is_said_that_nobody_does():
    finding = Finding("no such rule", "thing 5", "", Subject("no such kind"))
    answer = repair._answer(finding, Findings([("points", finding)]))
    assert isinstance(answer, Beyond)
    assert "nothing here knows" in str(answer.reason)


def test_findings_say_what_they_name():
    named = [("points", Finding("r", f"order {number}", "")) for number in (7, 8)]
    findings = Findings(named)
    assert findings.ids("order") == ["7", "8"]
    assert findings.of_kind("head") == []
    assert not findings.question("user 7")
