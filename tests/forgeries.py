"""What somebody does who may write every row and knows how entries are hashed, but has no key.

A subject is a person with a product of their own, and what came of them by the services. Each
forgery changes one subject past all triggers and returns what a finding has to name.
"""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import AccountMerge, PointsEntry, RegistrationMark, User
from accounts.services import merging
from catalog.models import Order, Product, StockEntry
from catalog.services import orders
from catalog.tests.factories import make_product
from lottery.models import Draw, PityCounter, SeedPair
from lottery.tests.factories import draw_once
from ops.chain import GENESIS_HASH
from ops.models import AuditActor, AuditEntry
from ops.services import audit, seals
from reviews.models import Receipt
from reviews.tests.factories import make_receipt, pay, settle
from tests.people import make_person


@dataclass
class Subject:
    """A person, their product, their receipts, what they ordered and drew, what they changed."""

    person: User
    product: Product
    receipts: list[Receipt]
    orders: list[Order]
    draw: Draw

    def entry(self, sequence):
        """How a finding names an entry of the person."""
        return f"entry {self.person.pk}/{sequence}"


def make_subjects(count, *, shop, wheel, reviewer):
    """So many subjects, sealed before the last order of each."""
    subjects = [make_subject(shop=shop, wheel=wheel, reviewer=reviewer) for _ in range(count)]
    seals.seal_ledgers(now=timezone.now())
    for one in subjects:
        one.orders.append(buy(one.person, one.product))
        change_the_price(one.person, one.product, 400)
    return subjects


def make_subject(*, shop, wheel, reviewer):
    person = make_person(points=2000)  # entry 1
    product = make_product(stock=20, shop=shop, limit_per_person=5)
    receipts = [approved(shop=shop, person=person, reviewer=reviewer)]  # entry 2
    kept, returned = buy(person, product), buy(person, product)  # entries 3 and 4
    orders.cancel(person_id=person.pk, order_id=returned.pk)  # entry 5
    drawn = draw_once(person, wheel)  # entries 6 and 7
    receipts.append(approved(shop=shop, person=person, reviewer=reviewer))  # entry 8
    for price in (100, 200, 300):
        change_the_price(person, product, price)
    return Subject(person, product, receipts, [kept, returned], drawn)


def approved(*, shop, person, reviewer):
    receipt = make_receipt(shop=shop, person=person, process=None)
    settle(receipt, reviewer, "approved", points=1000)
    pay(receipt, 1000)
    return receipt


def buy(person, product):
    return orders.exchange(person_id=person.pk, product_id=product.pk, quantity=1)


@transaction.atomic
def change_the_price(person, product, price):
    """Leave the audit entry of it."""
    audit.record_form(
        action="change",
        row=product,
        before={"points_price": price - 100},
        after={"points_price": price},
        actor_id=person.pk,
    )


def delete(rows):
    """One DELETE, which asks nobody."""
    rows._raw_delete(rows.db)


# --- Chains made anew ---------------------------------------------------------------------------
def chain_of(subject):
    return list(PointsEntry.objects.filter(user=subject.person).order_by("sequence"))


def rewrite(entries, *, balance, amount):
    """Make a chain anew, with right sums and right hashes; returns its last balance and hash."""
    total, previous_hash = 0, GENESIS_HASH
    for entry in entries:
        total += getattr(entry, amount)
        setattr(entry, balance, total)
        entry.previous_hash = previous_hash
        entry.entry_hash = previous_hash = entry.computed_hash()
    type(entries[0]).objects.bulk_update(entries, [amount, balance, "previous_hash", "entry_hash"])
    return total, previous_hash


def rewrite_points(subject, entries):
    PointsEntry.objects.bulk_update(entries, ["source", "related_id"])
    total, head = rewrite(entries, balance="balance_after", amount="points")
    people = User.objects.filter(pk=subject.person.pk)
    people.update(total_points=total, points_version=len(entries), points_hash=head)


def append(subject, points, source, related_id=""):
    """One more entry, as a service would write it."""
    person = User.objects.get(pk=subject.person.pk)
    entry = PointsEntry(
        user=person,
        sequence=person.points_version + 1,
        points=points,
        source=source,
        related_id=related_id,
        balance_after=person.total_points + points,
        previous_hash=person.points_hash,
        created_at=timezone.now(),
    )
    entry.entry_hash = entry.computed_hash()
    entry.save()
    User.objects.filter(pk=person.pk).update(
        total_points=entry.balance_after,
        points_version=entry.sequence,
        points_hash=entry.entry_hash,
        lifetime_points=F("lifetime_points") + (points if source == "photo_upload" else 0),
    )
    return subject.entry(entry.sequence)


# --- People, receipts, draws --------------------------------------------------------------------
def edit_an_entry(subject):
    PointsEntry.objects.filter(user=subject.person, sequence=2).update(points=F("points") + 5)
    return subject.entry(2)


def rewrite_what_was_sealed(subject):
    entries = chain_of(subject)
    entries[0].points += 500
    rewrite_points(subject, entries)
    return f"user {subject.person.pk}"


def add_an_adjustment(subject):
    return append(subject, 500, "adjust")


def add_a_merge(subject):
    return append(subject, 500, "merge", "1")


def add_an_expiry(subject):
    return append(subject, -5, "expire")


def add_a_reversal(subject):
    return append(subject, 100, "reverse", str(chain_of(subject)[2].pk))


def return_an_order_that_is_kept(subject):
    return append(subject, 100, "cancel", str(subject.orders[2].pk))


def welcome_twice(subject):
    return append(subject, 1000, "register", f"{subject.person.pk} ")


def pay_for_no_receipt(subject):
    return append(subject, 1000, "photo_upload", f"9{subject.person.pk:09d}")


def win_without_a_draw(subject):
    return append(subject, 50, "prize", f"{subject.draw.pk}".upper())


def welcome_with_a_mark_of_ones_own(subject):
    stranger = User.objects.create(nickname="stranger")
    append(Subject(stranger, *[subject] * 4), 1000, "register", str(stranger.pk))
    mark = RegistrationMark.objects.create(
        key_hash=f"{stranger.pk:064x}", person=stranger, points=1000, proof="0" * 64
    )
    return f"registration mark {mark.pk}"


def delete_an_entry(subject):
    delete(PointsEntry.objects.filter(user=subject.person, sequence=4))
    return subject.entry(5)


def cut_below_the_seal(subject):
    """The last receipt never was: neither its row nor its entry, nor anything after it."""
    entries = chain_of(subject)
    delete(PointsEntry.objects.filter(user=subject.person, sequence__gt=7))
    delete(Receipt.objects.filter(pk=subject.receipts[1].pk))
    User.objects.filter(pk=subject.person.pk).update(
        total_points=entries[6].balance_after,
        points_version=7,
        points_hash=entries[6].entry_hash,
        lifetime_points=1000,
    )
    return f"user {subject.person.pk}"


def take_the_receipt_of_somebody_else(subject):
    entries = chain_of(subject)
    entries[1].related_id = str(subject.receipts[0].pk + 10_000_000)
    rewrite_points(subject, entries)
    return f"receipt {subject.receipts[0].pk}"


def raise_a_prize(subject):
    entries = chain_of(subject)
    entries[6].points += 100
    rewrite_points(subject, entries)
    return subject.entry(7)


def raise_a_balance(subject):
    User.objects.filter(pk=subject.person.pk).update(total_points=F("total_points") + 1)
    return f"user {subject.person.pk}"


def raise_lifetime_points(subject):
    User.objects.filter(pk=subject.person.pk).update(lifetime_points=F("lifetime_points") + 1)
    return f"user {subject.person.pk}"


def raise_a_receipt(subject):
    Receipt.objects.filter(pk=subject.receipts[0].pk).update(points_awarded=5000)
    return f"receipt {subject.receipts[0].pk}"


def have_a_receipt_paid_again(subject):
    Receipt.objects.filter(pk=subject.receipts[0].pk).update(
        status="pending", points_awarded=None, reviewer=None, reviewed_at=None, paid_as=None
    )
    return subject.entry(2)


def edit_a_draw(subject):
    Draw.objects.filter(pk=subject.draw.pk).update(ticket=(subject.draw.ticket + 1) % 10_000)
    return f"draw {subject.draw.pk}"


def delete_a_draw(subject):
    delete(Draw.objects.filter(pk=subject.draw.pk))
    return f"seed pair {subject.draw.seed_pair_id}"


def exchange_a_client_seed(subject):
    SeedPair.objects.filter(pk=subject.draw.seed_pair_id).update(client_seed="lucky")
    return f"draw {subject.draw.pk}"


def push_pity(subject):
    PityCounter.objects.filter(person=subject.person).update(current=90)
    return f"pity counter of user {subject.person.pk}, wheel {subject.draw.wheel_id}"


# --- Products and orders ------------------------------------------------------------------------
def stock_of(subject):
    return list(StockEntry.objects.filter(product=subject.product).order_by("sequence"))


def take_stock_for_no_order(subject):
    product = Product.objects.get(pk=subject.product.pk)
    entry = StockEntry(
        product=product,
        sequence=product.stock_version + 1,
        quantity=-1,
        operation="purchase",
        stock_after=product.stock - 1,
        related_id=f"9{product.pk:09d}",
        previous_hash=product.stock_hash,
        created_at=timezone.now(),
    )
    entry.entry_hash = entry.computed_hash()
    entry.save()
    Product.objects.filter(pk=product.pk).update(
        stock=entry.stock_after, stock_version=entry.sequence, stock_hash=entry.entry_hash
    )
    return f"stock entry {product.pk}/{entry.sequence}"


def raise_stock(subject):
    Product.objects.filter(pk=subject.product.pk).update(stock=F("stock") + 1)
    return f"product {subject.product.pk}"


def raise_sales(subject):
    Product.objects.filter(pk=subject.product.pk).update(sales_count=F("sales_count") + 1)
    return f"product {subject.product.pk}"


def rewrite_sealed_stock(subject):
    entries = stock_of(subject)
    entries[0].quantity += 10
    total, head = rewrite(entries, balance="stock_after", amount="quantity")
    Product.objects.filter(pk=subject.product.pk).update(stock=total, stock_hash=head)
    return f"product {subject.product.pk}"


def edit_a_stock_entry(subject):
    StockEntry.objects.filter(product=subject.product, sequence=1).update(reason="another")
    return f"stock entry {subject.product.pk}/1"


def cut_stock(subject):
    entries = stock_of(subject)
    delete(StockEntry.objects.filter(pk=entries[-1].pk))
    Product.objects.filter(pk=subject.product.pk).update(
        stock=entries[-2].stock_after,
        stock_version=entries[-2].sequence,
        stock_hash=entries[-2].entry_hash,
    )
    return f"order {subject.orders[2].pk}"


def cancel_by_hand(subject):
    Order.objects.filter(pk=subject.orders[0].pk).update(
        status="cancelled", returned_at=timezone.now()
    )
    return f"order {subject.orders[0].pk}"


def lower_a_price(subject):
    Order.objects.filter(pk=subject.orders[0].pk).update(unit_points=1, total_points=1)
    return f"order {subject.orders[0].pk}"


def give_an_order_away(subject):
    other = User.objects.exclude(pk=subject.person.pk).earliest("pk")
    Order.objects.filter(pk=subject.orders[0].pk).update(person=other)
    return f"order {subject.orders[0].pk}"


def delete_an_order(subject):
    delete(Order.objects.filter(pk=subject.orders[0].pk))
    return f"stock entry {subject.product.pk}/2"


def order_above_the_limit(subject):
    Order.objects.filter(pk=subject.orders[2].pk).update(limit_per_person=1)
    return f"order {subject.orders[2].pk}"


# --- The audit trail ----------------------------------------------------------------------------
def trail_of(subject):
    """The actor that a person is, and their entries; three of the four are sealed."""
    actor = AuditActor.objects.get(person_id=subject.person.pk)
    return actor, list(AuditEntry.objects.filter(chain=actor).order_by("sequence"))


def rewrite_trail(actor, entries):
    previous_hash = GENESIS_HASH
    for number, entry in enumerate(entries, start=1):
        entry.sequence, entry.previous_hash = number, previous_hash
        entry.entry_hash = previous_hash = entry.computed_hash()
    # One after the other: closing up, each takes the number that the one before it left.
    for entry in entries:
        AuditEntry.objects.filter(pk=entry.pk).update(
            sequence=entry.sequence,
            reason=entry.reason,
            previous_hash=entry.previous_hash,
            entry_hash=entry.entry_hash,
        )
    AuditActor.objects.filter(pk=actor.pk).update(entries=len(entries), head=previous_hash)
    return f"audit actor {actor.pk}"


def edit_an_audit_entry(subject):
    actor, entries = trail_of(subject)
    AuditEntry.objects.filter(pk=entries[1].pk).update(after='{"points_price":199}')
    return f"audit entry {actor.pk}/2"


def move_an_audit_entry(subject):
    actor, entries = trail_of(subject)
    AuditEntry.objects.filter(pk=entries[3].pk).update(address="198.51.100.1")
    return f"audit entry {actor.pk}/4"


def delete_an_audit_entry(subject):
    actor, entries = trail_of(subject)
    delete(AuditEntry.objects.filter(pk=entries[1].pk))
    return f"audit entry {actor.pk}/3"


def slip_an_audit_entry_in(subject):
    """Behind the newest, with a right hash: the head does not know it."""
    actor, entries = trail_of(subject)
    last = entries[-1]
    last.pk, last.sequence, last.previous_hash = None, 5, last.entry_hash
    last.entry_hash = last.computed_hash()
    last.save(force_insert=True)
    return f"audit actor {actor.pk}"


def rewrite_what_was_sealed_of_the_trail(subject):
    actor, entries = trail_of(subject)
    entries[2].reason = "as agreed"
    return rewrite_trail(actor, entries)


def cut_the_trail_below_the_seal(subject):
    actor, entries = trail_of(subject)
    delete(AuditEntry.objects.filter(pk__in=[entry.pk for entry in entries[2:]]))
    return rewrite_trail(actor, entries[:2])


def replace_the_sealed_tail_of_the_trail(subject):
    """One entry is taken out, and those after it close up."""
    actor, entries = trail_of(subject)
    delete(AuditEntry.objects.filter(pk=entries[1].pk))
    return rewrite_trail(actor, [entries[0], *entries[2:]])


def forget_who_acted(subject):
    actor, _entries = trail_of(subject)
    delete(AuditEntry.objects.filter(chain=actor))
    delete(AuditActor.objects.filter(pk=actor.pk))
    return f"audit actor {actor.pk}"


# --- Merges ---------------------------------------------------------------------------------------
@dataclass
class Pair:
    """Two accounts of one person that staff merged, with points of a receipt, and a stranger."""

    cause: AccountMerge
    stranger: User

    def user(self, which):
        """How a finding names one of the two."""
        return f"user {getattr(self.cause, f'{which}_id')}"

    @property
    def causes(self):
        return AccountMerge.objects.filter(pk=self.cause.pk)

    @property
    def name(self):
        return f"merge {self.cause.pk}"


def make_pair(*, shop, reviewer, author):
    survivor, merged = make_person(points=50), make_person(points=70)
    approved(shop=shop, person=merged, reviewer=reviewer)
    cause = merging.merge(
        survivor_id=survivor.pk, merged_id=merged.pk, reason="One person", author_id=author.pk
    )
    return Pair(cause, make_person(points=5))


def move_more_lifetime_points(pair):
    pair.causes.update(lifetime_points=F("lifetime_points") + 1)
    return pair.user("merged")


def say_that_more_moved(pair):
    pair.causes.update(points=F("points") + 1)
    return pair.name


def give_a_merge_to_somebody_else(pair):
    pair.causes.update(survivor=pair.stranger)
    return f"entry {pair.cause.survivor_id}/2"


def blame_somebody_else_for_a_merge(pair):
    pair.causes.update(author=pair.stranger)
    return pair.name


def forget_a_merge(pair):
    delete(pair.causes)
    return pair.user("merged")


def take_back_a_merge(pair):
    User.objects.filter(pk=pair.cause.merged_id).update(merged_into=None)
    return pair.user("merged")


def lead_a_merge_elsewhere(pair):
    User.objects.filter(pk=pair.cause.merged_id).update(merged_into=pair.stranger)
    return pair.user("merged")


def own_one_account_more(pair):
    User.objects.filter(pk=pair.stranger.pk).update(merged_accounts=1)
    return f"user {pair.stranger.pk}"


def merge_by_hand(pair):
    """A whole merge, in which everything adds up; only the proof is none of the platform's."""
    thief, victim = make_person(), pair.stranger
    merge = AccountMerge.objects.create(
        merged=victim, survivor=thief, points=5, lifetime_points=0, author=pair.cause.author,
        reason="mine", key_id=pair.cause.key_id, proof=pair.cause.proof,
    )  # fmt: skip
    for person, points in ((victim, -5), (thief, 5)):
        append(Subject(person, *[pair] * 4), points, "merge", str(merge.pk))
    User.objects.filter(pk=victim.pk).update(
        merged_into=thief, status="inactive", phone=None, lifetime_points=0
    )
    User.objects.filter(pk=thief.pk).update(merged_accounts=1)
    return f"merge {merge.pk}"


def have_an_order_returned_to_a_stranger(pair):
    product = make_product(stock=1)
    person = make_person(points=1000)
    order = buy(person, product)
    orders.cancel(person_id=person.pk, order_id=order.pk)
    Order.objects.filter(pk=order.pk).update(returned_to=pair.stranger)
    return f"order {order.pk}"


def have_a_receipt_paid_to_a_stranger(pair):
    receipt = Receipt.objects.get(person=pair.cause.merged)
    Receipt.objects.filter(pk=receipt.pk).update(paid_to=pair.stranger)
    return f"receipt {receipt.pk}"


OF_MERGES = (
    move_more_lifetime_points,
    say_that_more_moved,
    give_a_merge_to_somebody_else,
    blame_somebody_else_for_a_merge,
    forget_a_merge,
    take_back_a_merge,
    lead_a_merge_elsewhere,
    own_one_account_more,
    merge_by_hand,
    have_an_order_returned_to_a_stranger,
    have_a_receipt_paid_to_a_stranger,
)

OF_PEOPLE = (
    edit_an_entry,
    rewrite_what_was_sealed,
    add_an_adjustment,
    add_a_merge,
    add_an_expiry,
    add_a_reversal,
    return_an_order_that_is_kept,
    welcome_twice,
    pay_for_no_receipt,
    win_without_a_draw,
    welcome_with_a_mark_of_ones_own,
    delete_an_entry,
    cut_below_the_seal,
    take_the_receipt_of_somebody_else,
    raise_a_prize,
    raise_a_balance,
    raise_lifetime_points,
    raise_a_receipt,
    have_a_receipt_paid_again,
    edit_a_draw,
    delete_a_draw,
    exchange_a_client_seed,
    push_pity,
)
OF_PRODUCTS = (
    take_stock_for_no_order,
    raise_stock,
    raise_sales,
    rewrite_sealed_stock,
    edit_a_stock_entry,
    cut_stock,
    cancel_by_hand,
    lower_a_price,
    give_an_order_away,
    delete_an_order,
    order_above_the_limit,
)
OF_THE_TRAIL = (
    edit_an_audit_entry,
    move_an_audit_entry,
    delete_an_audit_entry,
    slip_an_audit_entry_in,
    rewrite_what_was_sealed_of_the_trail,
    cut_the_trail_below_the_seal,
    replace_the_sealed_tail_of_the_trail,
    forget_who_acted,
)
