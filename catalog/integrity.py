"""What must always hold for stock, codes and orders."""

from collections.abc import Iterator
from typing import Any

from cryptography.fernet import InvalidToken
from django.db.models import (
    CharField,
    Count,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    Window,
)
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext as _

from accounts.models import PointsSource
from accounts.services.merged_accounts import survivors
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
from ops.services import integrity
from ops.services.encryption import decrypt, keyed_hashes
from ops.services.integrity import Check, Finding, Subject, unlike
from ops.services.ledgers import Ledger, check_causes, check_chains, ledgers, without_cause

_BIGINT = 2**63


def corrections() -> dict[int, int]:
    """Which entries of stock an adjustment takes back: each once, by the id of the adjustment.

    An adjustment that names another one's, or not exactly what that did, takes nothing back.
    """
    named = StockEntry.objects.filter(operation=StockOperation.ADMIN_ADJUST).exclude(related_id="")
    taken: dict[int, int] = {}
    by_id = {entry.pk: entry for entry in named.order_by("pk")}
    ids = {pk: int(entry.related_id) for pk, entry in by_id.items() if entry.related_id.isdecimal()}
    targets = StockEntry.objects.in_bulk(one for one in ids.values() if one < _BIGINT)
    for pk, target_id in ids.items():
        target, entry = targets.get(target_id), by_id[pk]
        is_exact = target is not None and (target.product_id, -target.quantity) == (
            entry.product_id, entry.quantity,
        )  # fmt: skip
        if is_exact and target_id not in taken:
            taken[target_id] = pk
    return taken


STOCK = Ledger(
    entries=StockEntry,
    account="product",
    kind="operation",
    amount="quantity",
    balance_after="stock_after",
    balance="stock",
    version="stock_version",
    head="stock_hash",
    entry_name="stock entry",
    account_name="product",
    corrected=lambda: Q(pk__in=corrections()),
)
# What a finding is about (`Subject.kind`).
SALES, FREE_CODES = "sales", "free codes"
BOUGHT = Q(source=OrderSource.EXCHANGE)
KEPT = ~Q(status__in=RETURNED)
OF_ORDERS = (StockOperation.PURCHASE, StockOperation.PRIZE, StockOperation.CANCEL)


def register() -> None:
    """Register the stock ledger and the integrity checks of stock and orders."""
    ledgers.register("stock", STOCK)
    integrity.checks.register("stock", Check(stock_adds_up, of=(StockEntry, Product, VirtualCode)))
    integrity.checks.register("orders", Check(orders_are_settled, of=(Order,)))


# --- Stock ------------------------------------------------------------------------------------
def stock_adds_up() -> Iterator[Finding]:
    """Recompute every product's chain and compare it with its orders, codes and sales."""
    yield from check_chains(STOCK)
    yield from _causes_of_stock()
    yield from _sales()
    yield from _free_codes()


def _causes_of_stock() -> Iterator[Finding]:
    """Compare what was taken and returned with the orders that took and returned it."""
    orders = Order.objects.filter(product__isnull=False)
    number = Cast("pk", CharField())
    bought = orders.filter(BOUGHT).values_list(
        "product", Value(StockOperation.PURCHASE), number, -F("quantity")
    )
    won = orders.exclude(BOUGHT).values_list(
        "product", Value(StockOperation.PRIZE), "related_id", -F("quantity")
    )
    returned = orders.exclude(KEPT).values_list(
        "product", Value(StockOperation.CANCEL), number, "quantity"
    )
    yield from check_causes(
        STOCK,
        kinds=OF_ORDERS,
        due=bought.union(won, returned, all=True),
        name_cause=lambda kind, cause: (
            f"draw {cause}" if kind == StockOperation.PRIZE else f"order {cause}"
        ),
    )
    # What people book says so: it names no cause but an entry that it takes back, and a restock
    # takes nothing away.
    by_hand = Q(operation=StockOperation.ADMIN_ADJUST) | Q(
        operation=StockOperation.RESTOCK, quantity__gt=0
    )
    known = Q(operation__in=OF_ORDERS) | (by_hand & Q(related_id=""))
    taken = corrections()
    settled = {*taken, *taken.values()}
    others = unlike(StockEntry.objects.exclude(pk__in=settled), known)
    fields = ("product", "sequence", "operation", "related_id")
    for product_id, sequence, operation, cause in others.order_by(*fields[:2]).values_list(*fields):
        yield without_cause(
            STOCK,
            account_id=product_id,
            sequence=sequence,
            kind=operation,
            cause=cause,
            never=True,
        )


def _sales() -> Iterator[Finding]:
    wrong = unlike(with_sales(Product.objects.all()), sales_count=F("sold")).order_by("pk")
    for pk, told, due in wrong.values_list("pk", "sales_count", "sold"):
        problem = _("says %(told)d were sold, the orders say %(due)d") % {"told": told, "due": due}
        subject = Subject(SALES, facts={"product_id": pk, "due": due})
        yield Finding("sales", STOCK.name_account(pk), problem, subject)


def with_sales(products: QuerySet[Product]) -> QuerySet[Any]:
    """These products, with what their orders say was `sold` of each."""
    sold = (
        Order.objects.filter(BOUGHT & KEPT, product=OuterRef("pk"))
        .order_by()
        .values("product")
        .annotate(sold=Sum("quantity"))
    )
    counted: QuerySet[Any] = products.annotate(sold=Coalesce(Subquery(sold.values("sold")), 0))
    return counted


def _free_codes() -> Iterator[Finding]:
    free = Count("codes", filter=Q(codes__order__isnull=True))
    wrong = Product.objects.filter(kind=ProductKind.VIRTUAL).annotate(free=free)
    for pk, stock, free_codes in (
        unlike(wrong, stock=F("free")).order_by("pk").values_list("pk", "stock", "free")
    ):
        problem = _("keeps %(stock)d in stock, %(free)d codes are free") % {
            "stock": stock,
            "free": free_codes,
        }
        subject = Subject(FREE_CODES, facts={"product_id": pk, "free": free_codes})
        yield Finding("codes", STOCK.name_account(pk), problem, subject)


# --- Orders -----------------------------------------------------------------------------------
def orders_are_settled() -> Iterator[Finding]:
    """See that every order was paid, delivered and returned exactly once, and within its limit."""
    yield from _paid()
    yield from _codes_of_orders()
    yield from _same_exchange_code()
    yield from _over_the_limit()


def _paid() -> Iterator[Finding]:
    """Compare what was paid and paid back with the orders, both ways."""
    number = Cast("pk", CharField())
    orders = Order.objects.filter(BOUGHT)
    paid = orders.values_list(
        "person", Value(PointsSource.EXCHANGE), number, F("total_points") * -1
    )
    returned = orders.exclude(KEPT).values_list(
        Coalesce("returned_to_id", "person_id"),
        Value(PointsSource.CANCEL),
        number,
        "total_points",
    )
    yield from _returned_elsewhere()
    yield from check_causes(
        ledgers["points"],
        kinds=(PointsSource.EXCHANGE, PointsSource.CANCEL),
        due=paid.union(returned, all=True),
        name_cause=lambda kind, cause: f"order {cause}",
    )


def _codes_of_orders() -> Iterator[Finding]:
    delivered = Order.objects.filter(status=OrderStatus.DELIVERED)
    wrong = unlike(delivered.annotate(number=Count("codes")), number=F("quantity"))
    for pk, quantity, number in wrong.order_by("pk").values_list("pk", "quantity", "number"):
        problem = _("delivered %(quantity)d codes, %(number)d are its own") % {
            "quantity": quantity,
            "number": number,
        }
        yield Finding("codes", f"order {pk}", problem)
    for code in VirtualCode.objects.order_by("pk").iterator():
        if not _is_known_by_its_hash(code):
            yield Finding("codes", f"code {code.pk}", _("is not what was loaded: it was altered"))
    given = VirtualCode.objects.filter(order__isnull=False)
    strays = unlike(given, order__status=OrderStatus.DELIVERED, order__product=F("product"))
    for pk, order_id in strays.order_by("pk").values_list("pk", "order"):
        problem = _("belongs to order %(order)d, which did not deliver it") % {"order": order_id}
        yield Finding("codes", f"code {pk}", problem)


def _is_known_by_its_hash(code: VirtualCode) -> bool:
    """Whether a code can be read and is the one whose keyed hash stands beside it."""
    try:
        plain = decrypt(code.code_encrypted)
    except (InvalidToken, ValueError):
        return False
    return code.code_hash in keyed_hashes("virtual code", plain)


def _returned_elsewhere() -> Iterator[Finding]:
    """Points that returned to somebody into whom the account of the order was never merged."""
    into = survivors()
    elsewhere = Order.objects.filter(returned_to__isnull=False).order_by("pk")
    for pk, person_id, got in elsewhere.values_list("pk", "person", "returned_to"):
        if got not in into.get(person_id, ()):
            problem = _("returned its points to user %(person)d, who never was its user's")
            yield Finding("cause", f"order {pk}", problem % {"person": got})


def _same_exchange_code() -> Iterator[Finding]:
    same = Order.objects.values("exchange_code").annotate(count=Count("pk")).filter(count__gt=1)
    for code, count in same.order_by("exchange_code").values_list("exchange_code", "count"):
        problem = _("opens %(count)d orders") % {"count": count}
        yield Finding("exchange code", code, problem)


def _over_the_limit() -> Iterator[Finding]:
    """Orders that went over the limit per person as it was when they were made.

    Orders of one product are made one after another, so their ids count them. Whoever stays below
    the limit with everything that they ever ordered needs no closer look.
    """
    ordered = Window(
        Sum("quantity"), partition_by=[F("person"), F("product")], order_by=F("pk").asc()
    )
    suspects = Order.objects.filter(BOUGHT).annotate(ordered=ordered)
    counted = (
        Order.objects.filter(
            BOUGHT, person=OuterRef("person"), product=OuterRef("product"), pk__lte=OuterRef("pk")
        )
        .filter(Q(returned_at__isnull=True) | Q(returned_at__gt=OuterRef("created_at")))
        .order_by()
        .values("person")
        .annotate(had=Sum("quantity"))
    )
    had = Subquery(counted.values("had"))
    close = Order.objects.filter(
        pk__in=suspects.filter(ordered__gt=F("limit_per_person")).values("pk")
    )
    over = close.annotate(had=had).filter(had__gt=F("limit_per_person")).order_by("pk")
    for pk, number, limit in over.values_list("pk", "had", "limit_per_person"):
        problem = _("comes to %(had)d of its product, the limit was %(limit)d") % {
            "had": number,
            "limit": limit,
        }
        yield Finding("limit", f"order {pk}", problem)
