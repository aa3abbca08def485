"""The codes of virtual products: loaded in batches, kept encrypted, handed out once."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import chain

from catalog.errors import NotEnoughStock, NotVirtual
from catalog.models import Order, Product, ProductKind, StockOperation, VirtualCode
from catalog.services.stock import Change, lock_product, write_entries
from ops.services import audit, key_ring
from ops.services.encryption import decrypt, encrypt, keyed_hashes
from ops.transactions import in_transaction


@in_transaction
def add_codes(*, product_id: int, codes: Iterable[str], author_id: int | None = None) -> int:
    """Load codes into a virtual product and restock it by as many; returns how many were new.

    White space around a code and empty lines do not count; a code that this product had before is
    left out. Audited by their number alone. Raises ProductNotFound, and NotVirtual for another
    kind of product.
    """
    product = lock_product(product_id)
    if product.kind != ProductKind.VIRTUAL:
        raise NotVirtual
    wanted = {code: _hashes(code) for code in map(str.strip, codes) if code}
    known = set(
        VirtualCode.objects.filter(
            product=product, code_hash__in=chain.from_iterable(wanted.values())
        ).values_list("code_hash", flat=True)
    )
    key_id = key_ring.newest("hash").id
    added = VirtualCode.objects.bulk_create(
        VirtualCode(
            product=product, code_hash=hashes[0], key_id=key_id, code_encrypted=encrypt(code)
        )
        for code, hashes in wanted.items()
        if known.isdisjoint(hashes)
    )
    if added:
        before = product.stock
        restock = Change(
            product=product,
            quantity=len(added),
            operation=StockOperation.RESTOCK,
            author_id=author_id,
        )
        write_entries([restock])
        audit.record(
            action="product.add_codes",
            row=product,
            before={"stock": before},
            after={"stock": product.stock, "added": len(added)},
            shop_id=product.shop_id,
            actor_id=author_id,
        )
    return len(added)


def _hashes(code: str) -> list[str]:
    """How a code may be known: under every hash key, newest first."""
    return keyed_hashes("virtual code", code)


def rehashed(code: VirtualCode) -> dict[str, str]:
    """The columns of a code's hash, under the newest key. Raises InvalidToken where unreadable."""
    newest, *_older = _hashes(decrypt(code.code_encrypted))
    return {"code_hash": newest, "key_id": key_ring.newest("hash").id}


def hand_out(*, orders: Sequence[Order], product: Product, moment: datetime) -> None:
    """Give each of these orders as many codes as it has units; the caller has locked the product.

    Two statements, whatever their number. Raises NotEnoughStock when fewer are free.
    """
    units = [order for order in orders for _unit in range(order.quantity)]
    free = VirtualCode.objects.filter(product=product).free()
    codes = list(free.locked()[: len(units)])
    if len(codes) < len(units):
        raise NotEnoughStock(available_stock=len(codes))
    for code, order in zip(codes, units, strict=True):
        code.order, code.delivered_at = order, moment
    # Of those that are free still: with the lock gone, this would decide.
    if free.bulk_update(codes, ["order", "delivered_at"]) < len(units):
        raise NotEnoughStock(available_stock=0)


def codes_by_order(order_ids: Collection[int]) -> dict[int, list[str]]:
    """What `codes_of` says of each of these orders: one query for all, and none without any."""
    codes: dict[int, list[str]] = {order_id: [] for order_id in order_ids}
    delivered = VirtualCode.objects.filter(order__in=codes).order_by("pk")
    for order_id, code in delivered.values_list("order_id", "code_encrypted"):
        codes[order_id].append(decrypt(code))
    return codes


def codes_of(order: Order) -> list[str]:
    """The codes that an order delivered, in plain text: for its owner's eyes alone."""
    codes = sorted(order.codes.all(), key=lambda code: code.pk)
    return [decrypt(code.code_encrypted) for code in codes]
