"""Orders: bought with points or won, redeemed at the counter, taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from django.db.models import Exists, OuterRef, Sum
from django.utils import timezone

from accounts.models import PointsSource, User
from accounts.services import points
from accounts.services.merged_accounts import account_ids, is_own
from catalog.errors import (
    AlreadyRedeemed,
    ExchangeCodeUnknown,
    ExchangeCodeVoid,
    LimitReached,
    NotCancellable,
    NotEnoughStock,
    NotOnSale,
    OrderNotFound,
    ProductNotFound,
)
from catalog.live_settings import ORDER_LIFETIME
from catalog.metrics import EXCHANGES, ORDERS_RETURNED, REDEMPTIONS
from catalog.models import (
    Order,
    OrderSource,
    OrderStatus,
    Product,
    ProductKind,
    ShopRole,
    StockOperation,
)
from catalog.services.exchange_codes import new_exchange_code, normal_form
from catalog.services.shops import require_merchant
from catalog.services.stock import Change, lock_product, lock_products, write_entries
from catalog.services.virtual_codes import hand_out
from ops.errors import NotAllowed
from ops.identifiers import find
from ops.request_context import at_shop
from ops.services import audit
from ops.services.failed_rows import do_each
from ops.transactions import in_transaction

BATCH_SIZE = 500  # orders that one round of the job takes back
# Who may hand goods over at the counter.
COUNTER_ROLES = (ShopRole.OWNER, ShopRole.MANAGER, ShopRole.CASHIER)


@in_transaction
def exchange(*, person_id: int, product_id: int | None, quantity: int) -> Order:
    """Buy `quantity` units of a product of the mall with the person's points.

    A virtual product delivers its codes at once; anything else waits at the counter. Raises, in
    this order: ProductNotFound (also when it is not visible), NotOnSale, LimitReached,
    NotEnoughStock, NotEnoughPoints. The person of the order is as the exchange left them.
    """
    product = lock_product(product_id)
    now = timezone.now()
    if not product.is_visible:
        raise ProductNotFound
    at_shop(product.shop_id)
    if not product.is_on_sale_at(now):
        raise NotOnSale(name=product.name)
    _check_limit(product=product, person_id=person_id, quantity=quantity)
    if product.stock < quantity:
        raise NotEnoughStock(available_stock=product.stock)
    order = Order(
        person_id=person_id,
        shop_id=product.shop_id,
        product=product,
        product_name=product.name,
        kind=product.kind,
        unit_points=product.points_price,
        quantity=quantity,
        total_points=product.points_price * quantity,
        limit_per_person=product.limit_per_person,
        source=OrderSource.EXCHANGE,
        created_at=now,
    )
    _open([order], moment=now)
    purchase = Change(
        product=product,
        quantity=-quantity,
        operation=StockOperation.PURCHASE,
        related_id=str(order.pk),
        sold=quantity,
    )
    write_entries([purchase])
    order.person = points.lock_person(person_id)
    price = points.Change(
        person=order.person,
        points=-order.total_points,
        source=PointsSource.EXCHANGE,
        related_id=str(order.pk),
    )
    points.write_entries([price])
    EXCHANGES.add_on_commit(1, order.kind)
    return order


def _check_limit(*, product: Product, person_id: int, quantity: int) -> None:
    """Refuse what goes over the limit per person, whatever accounts were merged into theirs.

    The lock on the product carries it: whoever orders this product at the same time, the same
    person included, waits for that lock, and counts after it what was committed before it.
    """
    if product.limit_per_person is None:
        return
    mine = Order.objects.filter(
        product=product,
        person__in=User.objects.of_one_person(person_id).values("pk"),
        source=OrderSource.EXCHANGE,
    ).not_returned()
    used = mine.aggregate(used=Sum("quantity", default=0))["used"]
    if used + quantity > product.limit_per_person:
        raise LimitReached(limit=product.limit_per_person, used=used)


@dataclass(frozen=True, slots=True, kw_only=True)
class WonPrize:
    """A prize that a draw gave and that somebody has to hand over.

    A product, which the caller has locked, decides kind and shop and gives one unit of its stock,
    visible or not; when it is virtual its code is delivered at once. Without a product there is no
    code to deliver: even a virtual prize then waits at the counter of its shop, or of every shop
    when `shop_id` is None.
    """

    draw_id: str
    product: Product | None
    name: str
    kind: ProductKind
    shop_id: int | None


@in_transaction
def orders_for_prizes(*, person_id: int, prizes: Sequence[WonPrize]) -> list[Order]:
    """Open the orders of a person's prizes, without points and one for each draw.

    As few statements for ten as for one. Raises NotEnoughStock.
    """
    now = timezone.now()
    orders = [
        Order(
            person_id=person_id,
            shop_id=prize.product.shop_id if prize.product else prize.shop_id,
            product=prize.product,
            product_name=prize.name,
            kind=prize.product.kind if prize.product else prize.kind,
            unit_points=0,
            quantity=1,
            total_points=0,
            source=OrderSource.LOTTERY,
            related_id=prize.draw_id,
            created_at=now,
        )
        for prize in prizes
    ]
    _open(orders, moment=now)
    write_entries(
        [
            Change(
                product=prize.product,
                quantity=-1,
                operation=StockOperation.PRIZE,
                related_id=prize.draw_id,
            )
            for prize in prizes
            if prize.product
        ]
    )
    return orders


def _open(orders: Sequence[Order], *, moment: datetime) -> None:
    """Write orders with a code of their own; a virtual product's codes go with them."""
    to_deliver: dict[Product, list[Order]] = {}
    for order in orders:
        order.exchange_code = new_exchange_code()
        if order.product and order.kind == ProductKind.VIRTUAL:
            order.status, order.delivered_at = OrderStatus.DELIVERED, moment
            to_deliver.setdefault(order.product, []).append(order)
        else:
            order.status = OrderStatus.PENDING
            order.expires_at = moment + ORDER_LIFETIME.value
    Order.objects.bulk_create(orders)
    for product, delivered in to_deliver.items():
        hand_out(orders=delivered, product=product, moment=moment)


def ordered_at(shops: frozenset[int]) -> Exists:
    """Whether the person at hand has an order at one of these shops; over rows of people."""
    return Exists(Order.objects.filter(person=OuterRef("pk"), shop__in=shops))


def counted_of(person: User) -> dict[str, int]:
    """How many orders a person has of the mall, as their statistics say it."""
    mine = Order.objects.filter(person__in=account_ids(person), source=OrderSource.EXCHANGE)
    exchanges = mine.not_returned()
    return {"exchanges": exchanges.count()}


def own_order(*, person_id: int, order_id: int | None) -> Order:
    """A person's order, also of an account that was merged into theirs.

    Raises OrderNotFound (4007), also for somebody else's.
    """
    accounts = User.objects.of_one_person(person_id).values("pk")
    order = find(Order.objects.filter(person__in=accounts), order_id)
    if order is None:
        raise OrderNotFound
    return order


@in_transaction
def cancel(*, person_id: int, order_id: int | None) -> Order:
    """Take a person's own pending order of the mall back; points and stock return, once.

    Raises OrderNotFound, and NotCancellable for a prize or an order that is pending no more.
    """
    return _cancel(own_order(person_id=person_id, order_id=order_id))


@in_transaction
def cancel_for_customer(
    *, order_id: int | None, author_id: int | None = None, reason: str = ""
) -> Order:
    """Take an order of the mall back for whoever ordered it, as staff do; audited.

    Raises what `cancel` raises.
    """
    order = find(Order.objects.all(), order_id)
    if order is None:
        raise OrderNotFound
    cancelled = _cancel(order)
    audit.record(
        action="order.cancel",
        row=cancelled,
        before={"status": OrderStatus.PENDING},
        after={"status": cancelled.status},
        reason=reason,
        shop_id=cancelled.shop_id,
        actor_id=author_id,
    )
    return cancelled


def _cancel(order: Order) -> Order:
    can_be = order.source == OrderSource.EXCHANGE
    if not (can_be and _take_back(order, status=OrderStatus.CANCELLED, now=timezone.now())):
        order.refresh_from_db(fields=["status"])
        raise NotCancellable(status=order.status)
    order.refresh_from_db()
    return order


def expire_orders(*, now: datetime) -> int:
    """Take back pending orders whose time is over, BATCH_SIZE at most; returns how many these were.

    Each in a transaction of its own: stock returns, and points if any were paid. One that fails
    stops no other.
    """
    overdue = Order.objects.filter(status=OrderStatus.PENDING, expires_at__lte=now)
    return do_each(
        "expire orders",
        overdue.order_by("expires_at", "pk"),
        lambda order: _take_back(order, status=OrderStatus.EXPIRED, now=now),
        batch_size=BATCH_SIZE,
    )


@in_transaction
def _take_back(order: Order, *, status: OrderStatus, now: datetime) -> bool:
    """End a pending order and give back what it took; False when it is pending no more."""
    product_ids = [] if order.product_id is None else [order.product_id]
    products = lock_products(product_ids)
    pending = Order.objects.filter(pk=order.pk, status=OrderStatus.PENDING)
    # One conditional UPDATE decides between a cancel, a job and the counter.
    if not pending.update(status=status, returned_at=now):
        return False
    was_sold = order.source == OrderSource.EXCHANGE
    write_entries(
        [
            Change(
                product=product,
                quantity=order.quantity,
                operation=StockOperation.CANCEL,
                related_id=str(order.pk),
                sold=-order.quantity if was_sold else 0,
            )
            for product in products.values()
        ]
    )
    if order.total_points:
        _pay_back(order)
    ORDERS_RETURNED.add_on_commit(1, status)
    return True


def _pay_back(order: Order) -> None:
    """Return the points to whoever paid them; of an account that was merged, to where it is now."""
    person = points.lock_receiver(order.person_id)
    if person.pk != order.person_id:
        Order.objects.filter(pk=order.pk).update(returned_to=person)
    paid_back = points.Change(
        person=person,
        points=order.total_points,
        source=PointsSource.CANCEL,
        related_id=str(order.pk),
    )
    points.write_entries([paid_back])


def look_up(*, cashier: User, exchange_code: str) -> Order:
    """The order that the cashier may hand over for this code; nothing is changed.

    Raises what `redeem` would raise now, in the same order.
    """
    order = _order_of_code(cashier=cashier, exchange_code=exchange_code)
    if not Order.objects.filter(pk=order.pk).collectable(now=timezone.now()).exists():
        _refuse_ended(order)
    return order


@in_transaction
def redeem(*, cashier: User, exchange_code: str) -> Order:
    """Hand an order over at the counter of its shop, once; audited.

    Raises, in this order: NotAMerchant for a member of no shop; NotAllowed for somebody who may
    redeem nowhere; ExchangeCodeUnknown, also for an order of a shop they do not work at;
    NotAllowed when they are there in another role, or for their own order; AlreadyRedeemed;
    ExchangeCodeVoid when it expired or was cancelled.
    """
    order = _order_of_code(cashier=cashier, exchange_code=exchange_code)
    now = timezone.now()
    # One conditional UPDATE decides between two counters, a cancel and the end of its time.
    collectable = Order.objects.filter(pk=order.pk).collectable(now=now)
    if not collectable.update(status=OrderStatus.REDEEMED, redeemed_at=now, redeemed_by=cashier):
        _refuse_ended(order)
    order.refresh_from_db()
    audit.record(
        action="order.redeem",
        row=order,
        before={"status": OrderStatus.PENDING},
        after={"status": order.status},
        shop_id=order.shop_id,
        actor_id=cashier.pk,
    )
    REDEMPTIONS.add_on_commit(1, order.kind)
    return order


def _order_of_code(*, cashier: User, exchange_code: str) -> Order:
    """The order of this code, if the cashier works at its counter and it is not their own."""
    roles = require_merchant(cashier, *COUNTER_ROLES)
    order: Order | None = Order.objects.filter(exchange_code=normal_form(exchange_code)).first()
    if order is None:
        raise ExchangeCodeUnknown
    if order.shop_id is not None:
        role = roles.get(order.shop_id)
        if role is None:
            raise ExchangeCodeUnknown
        if role not in COUNTER_ROLES:
            raise NotAllowed
    if is_own(cashier, order.person_id):
        raise NotAllowed
    return order


def _refuse_ended(order: Order) -> NoReturn:
    """Say why an order is not to be collected any more, by what it is now."""
    order.refresh_from_db(fields=["status"])
    is_done = order.status in {OrderStatus.REDEEMED, OrderStatus.DELIVERED}
    raise AlreadyRedeemed if is_done else ExchangeCodeVoid
