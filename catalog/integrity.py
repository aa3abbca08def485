"""What must always hold for stock, codes and orders."""

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import batched, groupby

from django.db import connection
from django.db.models import Count, Q

from accounts.models import PointsEntry, PointsSource
from catalog.models import (
    Order,
    OrderSource,
    OrderStatus,
    Product,
    ProductKind,
    StockEntry,
    StockOperation,
    VirtualCode,
)
from catalog.models.orders import RETURNED
from ops.append_only import missing_triggers
from ops.services import integrity
from ops.services.integrity import Finding

BATCH_SIZE = 2000


def register() -> None:
    """Register the integrity checks of stock and orders."""
    integrity.checks.register("stock", stock_adds_up)
    integrity.checks.register("orders", orders_are_settled)


# --- Stock ------------------------------------------------------------------------------------
def stock_adds_up() -> Iterator[Finding]:
    """Add up every product's ledger and compare it with its stock and with its free codes."""
    for table in missing_triggers(connection, StockEntry._meta.db_table):
        yield Finding("append-only", table, "its trigger is missing: rows could be altered")
    entries = StockEntry.objects.order_by("product_id", "sequence").iterator(chunk_size=BATCH_SIZE)
    ends: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for product_id, chain in groupby(entries, key=lambda entry: entry.product_id):
        ends[product_id] = yield from _walk(product_id, chain)
    free = Count("codes", filter=Q(codes__order__isnull=True))
    products = Product.objects.values_list("pk", "kind", "stock", "stock_version")
    for pk, kind, stock, version, free_codes in products.annotate(free=free).order_by("pk"):
        if (stock, version) != ends[pk]:
            told, number = ends[pk]
            yield Finding(
                "stock",
                f"product {pk}",
                f"keeps {stock} at version {version}, the ledger says {told} at {number}",
            )
        if kind == ProductKind.VIRTUAL and stock != free_codes:
            problem = f"keeps {stock} in stock, {free_codes} codes are free"
            yield Finding("codes", f"product {pk}", problem)


def _walk(
    product_id: int, chain: Iterable[StockEntry]
) -> Generator[Finding, None, tuple[int, int]]:
    """Tell what is wrong within one product's ledger; returns its last stock and number."""
    stock = sequence = 0
    for entry in chain:
        name = f"stock entry {product_id}/{entry.sequence}"
        sequence += 1
        stock += entry.quantity
        if entry.sequence != sequence:
            yield Finding("sequence", name, f"number {sequence} was expected")
            sequence = entry.sequence
        if entry.stock_after != stock:
            yield Finding("stock", name, f"says {entry.stock_after}, adds up to {stock}")
            stock = entry.stock_after
    return stock, sequence


# --- Orders -----------------------------------------------------------------------------------
def orders_are_settled() -> Iterator[Finding]:
    """See that every order was paid, taken from stock, delivered and returned exactly once."""
    same_code = Order.objects.values("exchange_code").annotate(count=Count("pk"))
    for row in same_code.filter(count__gt=1):
        yield Finding("exchange code", row["exchange_code"], f"opens {row['count']} orders")
    for orders in batched(Order.objects.order_by("pk").iterator(chunk_size=BATCH_SIZE), BATCH_SIZE):
        yield from _settled(orders)
    paid = PointsEntry.objects.filter(source=PointsSource.EXCHANGE).order_by("pk")
    for entries in batched(paid.iterator(chunk_size=BATCH_SIZE), BATCH_SIZE):
        numbers = {entry.related_id for entry in entries if entry.related_id.isdecimal()}
        known = set(Order.objects.filter(pk__in=numbers).values_list("pk", flat=True))
        for entry in entries:
            if entry.related_id not in map(str, known):
                name = f"entry {entry.user_id}/{entry.sequence}"
                yield Finding("order", name, f"pays for order {entry.related_id}: there is none")


def _settled(orders: Sequence[Order]) -> Iterator[Finding]:
    """Compare some orders with the entries and codes that name them, a few queries for all."""
    numbers = [str(order.pk) for order in orders]
    draws = [order.related_id for order in orders if order.source == OrderSource.LOTTERY]
    points = defaultdict(list)
    for points_entry in PointsEntry.objects.filter(
        source__in=(PointsSource.EXCHANGE, PointsSource.CANCEL), related_id__in=numbers
    ):
        cause = (points_entry.source, points_entry.related_id)
        points[cause].append((points_entry.user_id, points_entry.points))
    stock = defaultdict(list)
    by_number = Q(operation__in=(StockOperation.PURCHASE, StockOperation.CANCEL))
    for stock_entry in StockEntry.objects.filter(
        (by_number & Q(related_id__in=numbers))
        | Q(operation=StockOperation.PRIZE, related_id__in=draws)
    ):
        cause = (stock_entry.operation, stock_entry.related_id)
        stock[cause].append((stock_entry.product_id, stock_entry.quantity))
    codes = dict(
        VirtualCode.objects.filter(order__in=[order.pk for order in orders])
        .values_list("order")
        .annotate(count=Count("pk"))
    )
    for order in orders:
        number = str(order.pk)
        is_bought = order.source == OrderSource.EXCHANGE
        is_returned = order.status in RETURNED
        taken = (StockOperation.PURCHASE, number)
        if not is_bought:
            taken = (StockOperation.PRIZE, order.related_id)
        paid = [(order.person_id, -order.total_points)] if is_bought else []
        paid_back = [(order.person_id, order.total_points)] if is_bought and is_returned else []
        out = [(order.product_id, -order.quantity)] if order.product_id else []
        back = [(order.product_id, order.quantity)] if order.product_id and is_returned else []
        delivered = order.quantity if order.status == OrderStatus.DELIVERED else 0
        for what, expected, found in (
            ("spending entries", paid, points[PointsSource.EXCHANGE, number]),
            ("return entries", paid_back, points[PointsSource.CANCEL, number]),
            ("stock entries taking it", out, stock[taken]),
            ("stock entries returning it", back, stock[StockOperation.CANCEL, number]),
            ("codes", delivered, codes.get(order.pk, 0)),
        ):
            if expected != found:
                yield Finding(what, f"order {number}", f"expected {expected}, found {found}")
