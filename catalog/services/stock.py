"""The one place where stock changes: a ledger entry and the product's stock, together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import F
from django.utils import timezone

from catalog import events
from catalog.errors import NotEnoughStock, ProductNotFound, StockIsCodes
from catalog.models import Product, ProductKind, StockEntry, StockOperation
from ops.per_row import per_row
from ops.services import audit
from ops.transactions import in_transaction


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


def write_entries(changes: Sequence[Change]) -> list[StockEntry]:
    """Write an entry for each change, in this order, and bring the products up to date.

    For services of this app, which have locked the products; several changes of one product name
    one object. Two statements, whatever the number of changes and products; pushes the changes
    after commit. Raises NotEnoughStock, before anything is written.
    """
    entries: list[StockEntry] = []
    totals: dict[int, _Total] = {}
    for change in changes:
        total = totals.setdefault(change.product.pk, _Total(change.product))
        entries.append(total.add(change))
    StockEntry.objects.bulk_create(entries)
    _write_totals(totals)
    for entry in entries:
        events.stock_changed(entry)
    return entries


class _Total:
    """What a product's new entries come to; the product says what is committed until then."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.quantity = self.entries = self.sold = 0
        self.hash = product.stock_hash

    def add(self, change: Change) -> StockEntry:
        """The next entry, which is still to be written."""
        stock = self.product.stock + self.quantity
        if stock + change.quantity < 0:
            raise NotEnoughStock(available_stock=stock)
        entry = StockEntry(
            product=self.product,
            sequence=self.product.stock_version + self.entries + 1,
            quantity=change.quantity,
            operation=change.operation,
            stock_after=stock + change.quantity,
            related_id=change.related_id,
            author_id=change.author_id,
            reason=change.reason,
            previous_hash=self.hash,
            created_at=timezone.now(),
        )
        entry.entry_hash = self.hash = entry.computed_hash()
        self.quantity += entry.quantity
        self.entries += 1
        self.sold += change.sold
        return entry

    def bring_up_to_date(self) -> None:
        """Let the product say what is written now."""
        self.product.stock += self.quantity
        self.product.stock_version += self.entries
        self.product.stock_hash = self.hash


def _write_totals(totals: Mapping[int, _Total]) -> None:
    """Bring stock and heads up to date, in one statement.

    F(), not the values that were read: should the lock ever go, two writers add up instead of
    overwriting each other, and the constraints on stock and sequence still bite.
    """
    if not totals:
        return
    Product.objects.filter(pk__in=totals).update(
        stock=F("stock") + per_row({pk: total.quantity for pk, total in totals.items()}),
        stock_version=F("stock_version")
        + per_row({pk: total.entries for pk, total in totals.items()}),
        stock_hash=per_row({pk: total.hash for pk, total in totals.items()}),
        sales_count=F("sales_count") + per_row({pk: total.sold for pk, total in totals.items()}),
    )
    for total in totals.values():
        total.bring_up_to_date()
