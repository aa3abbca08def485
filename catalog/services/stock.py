"""The one place where stock changes: a ledger entry and the product's stock, together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.utils import timezone

from catalog import events
from catalog.errors import NotEnoughStock, ProductNotFound, StockIsCodes
from catalog.metrics import STOCK_UNITS
from catalog.models import Product, ProductKind, StockEntry, StockOperation
from ops.errors import NotFound
from ops.services import audit
from ops.tally import Account, Tally, write_heads
from ops.transactions import in_transaction

ACCOUNT = Account(model=Product, balance="stock", version="stock_version", head="stock_hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Units that a product gets, negative where they are taken; `sold` is added to its sales."""

    product: Product
    quantity: int
    operation: StockOperation
    related_id: str = ""
    author_id: int | None = None
    reason: str = ""
    sold: int = 0


def lock_products(product_ids: Iterable[int]) -> dict[int, Product]:
    """Hold these products until commit, in pk order, and return those that exist, by id.

    Their shops come along, unlocked. Needs a transaction around it.
    """
    rows = Product.objects.filter(pk__in=set(product_ids)).select_related("shop").locked()
    return {product.pk: product for product in rows}


def lock_product(product_id: int | None) -> Product:
    """Hold one product until commit. Raises ProductNotFound (4001); None is the id of nothing."""
    products = {} if product_id is None else lock_products([product_id])
    if not products:
        raise ProductNotFound
    return products.popitem()[1]


@in_transaction
def change_stock(
    *,
    product_id: int,
    quantity: int,
    operation: StockOperation,
    related_id: str = "",
    author_id: int | None = None,
    reason: str = "",
) -> StockEntry:
    """Add `quantity` units (negative to take them) to a product's stock, as one ledger entry.

    For staff: it is audited. Locks the product until commit; pushes a stock_update after commit.
    Raises ProductNotFound, NotEnoughStock when there is not so much to take, StockIsCodes for a
    virtual product (its stock is its free codes: see services.virtual_codes), and IntegrityError
    when a cause that can happen only once happens again.
    """
    product = lock_product(product_id)
    if product.kind == ProductKind.VIRTUAL:
        raise StockIsCodes
    before = product.stock
    change = Change(
        product=product,
        quantity=quantity,
        operation=operation,
        related_id=related_id,
        author_id=author_id,
        reason=reason,
    )
    (entry,) = write_entries([change])
    audit.record(
        action="product.change_stock",
        row=product,
        before={"stock": before},
        after={"stock": entry.stock_after},
        reason=reason,
        shop_id=product.shop_id,
        actor_id=author_id,
    )
    return entry


@in_transaction
def correct(*, entry_id: int, reason: str, author_id: int | None = None) -> StockEntry:
    """Take back exactly what an entry did, by an adjustment that names it; the entry stays.

    The same correction again changes nothing. Locks the product until commit; audited. Raises
    NotFound for no such entry, and what `change_stock` raises.
    """
    found = StockEntry.objects.filter(pk=entry_id).first()
    if found is None:
        raise NotFound
    lock_product(found.product_id)
    earlier = StockEntry.objects.filter(
        product=found.product_id,
        quantity=-found.quantity,
        operation=StockOperation.ADMIN_ADJUST,
        related_id=str(found.pk),
    ).first()
    if earlier is not None:
        return earlier
    return change_stock(
        product_id=found.product_id,
        quantity=-found.quantity,
        operation=StockOperation.ADMIN_ADJUST,
        related_id=str(found.pk),
        author_id=author_id,
        reason=reason,
    )


def write_entries(changes: Sequence[Change]) -> list[StockEntry]:
    """Write an entry for each change, in this order, and bring the products up to date.

    For services of this app, which have locked the products; several changes of one product name
    one object. Two statements, whatever the number of changes and products; pushes the changes
    after commit. Raises NotEnoughStock, before anything is written.
    """
    entries: list[StockEntry] = []
    tallies: dict[int, Tally] = {}
    for change in changes:
        tally = tallies.setdefault(change.product.pk, Tally(change.product, ACCOUNT))
        entries.append(_add(tally, change))
    StockEntry.objects.bulk_create(entries)
    write_heads(ACCOUNT, tallies.values())
    for entry in entries:
        events.stock_changed(entry)
    transaction.on_commit(partial(_count, changes), robust=True)
    return entries


def _count(changes: Sequence[Change]) -> None:
    for change in changes:
        STOCK_UNITS.add(abs(change.quantity), change.operation)


def _add(tally: Tally, change: Change) -> StockEntry:
    """The next entry of a product, which is still to be written."""
    stock = tally.balance + change.quantity
    if stock < 0:
        raise NotEnoughStock(available_stock=tally.balance)
    entry = StockEntry(
        product=change.product,
        quantity=change.quantity,
        operation=change.operation,
        stock_after=stock,
        related_id=change.related_id,
        author_id=change.author_id,
        reason=change.reason,
        created_at=timezone.now(),
    )
    tally.chain(entry, change.quantity, sales_count=change.sold)
    return entry
