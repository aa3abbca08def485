"""The one place where stock changes: a ledger entry and the product's stock, together."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from catalog import events
from catalog.errors import NotEnoughStock, ProductNotFound, StockIsCodes
from catalog.models import Product, ProductKind, StockEntry, StockOperation
from ops.services import audit


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


@transaction.atomic
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
    entry = write_entry(
        product=product,
        quantity=quantity,
        operation=operation,
        related_id=related_id,
        author_id=author_id,
        reason=reason,
    )
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


def write_entry(
    *,
    product: Product,
    quantity: int,
    operation: StockOperation,
    related_id: str = "",
    author_id: int | None = None,
    reason: str = "",
    sold: int = 0,
) -> StockEntry:
    """Write the entry of a product that the caller has locked, and bring `product` up to date.

    For services of this app; `sold` is added to the sales. Raises NotEnoughStock.
    """
    if product.stock + quantity < 0:
        raise NotEnoughStock(available_stock=product.stock)
    entry = StockEntry(
        product=product,
        sequence=product.stock_version + 1,
        quantity=quantity,
        operation=operation,
        stock_after=product.stock + quantity,
        related_id=related_id,
        author_id=author_id,
        reason=reason,
        previous_hash=product.stock_hash,
        created_at=timezone.now(),
    )
    entry.entry_hash = entry.computed_hash()
    entry.save(force_insert=True)
    # F(), not the values read above: should the lock ever go, two writers add up instead of
    # overwriting each other, and the constraints on stock and sequence still bite.
    Product.objects.filter(pk=product.pk).update(
        stock=F("stock") + quantity,
        stock_version=F("stock_version") + 1,
        stock_hash=entry.entry_hash,
        sales_count=F("sales_count") + sold,
    )
    product.stock, product.stock_version = entry.stock_after, entry.sequence
    product.stock_hash = entry.entry_hash
    events.stock_changed(entry)
    return entry
