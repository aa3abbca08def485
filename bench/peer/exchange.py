"""An exchange in two statements, as `few` draws: one reads, one writes all of it or nothing.

The limit per person needs no lock of its own: whoever exchanges moves their ledger, and the second
statement writes only where it stands as it was read.
"""

from datetime import UTC, datetime
from typing import Any

import orjson
from psycopg import errors

from bench.peer import few
from bench.peer.answers import order_answer, points_update, stock_update
from bench.peer.asked import Answered, Asked, is_kept
from bench.peer.entries import Head, new_exchange_code, next_entry
from bench.peer.refusals import Moved, Refusal
from bench.peer.state import Peer, check_session

READ = """
SELECT session.revoked_at, person.status, person.total_points, person.points_version,
    person.points_hash, record.fingerprint, record.answer, record.created_at AS answered_at,
    product.id, product.name, product.kind, product.shop_id, product.points_price, product.stock,
    product.limit_per_person, product.on_sale_from, product.on_sale_until,
    product.status = 'active' AND product.is_listed AS is_visible,
    CASE WHEN product.limit_per_person IS NOT NULL THEN
        (SELECT coalesce(sum(quantity), 0) FROM catalog_order AS mine
         WHERE mine.person_id = person.id AND mine.product_id = product.id
           AND mine.source = 'exchange' AND mine.status NOT IN ('cancelled', 'expired'))
    END AS used,
    (SELECT file.sha256 FROM catalog_productimage AS image
     JOIN ops_storedfile AS file ON file.id = image.file_id
     WHERE image.product_id = product.id ORDER BY image.position, image.id LIMIT 1) AS sha256
FROM accounts_devicesession AS session
JOIN accounts_user AS person ON person.id = session.user_id
LEFT JOIN ops_idempotencyrecord AS record
    ON record.owner_id = person.id AND record.path = %(path)s AND record.key = %(key)s
LEFT JOIN catalog_product AS product ON product.id = %(product_id)s
WHERE session.id = %(session_id)s AND session.user_id = %(person_id)s
"""
HELD = """
WITH held AS MATERIALIZED (
    SELECT product.id, product.stock - %(bought)s AS stock, product.stock_version + 1 AS version,
        product.stock_hash AS previous_hash
    FROM catalog_product AS product
    WHERE product.id = %(product_id)s AND product.stock >= %(bought)s
      AND product.status = 'active' AND product.is_listed AND product.points_price = %(unit_points)s
    FOR NO KEY UPDATE
)"""
CHOSEN = """
, chosen AS MATERIALIZED (
    SELECT %(order_id)s::bigint AS order_id, %(paid_balance)s::bigint AS balance,
        %(points_version)s::bigint + 1 AS sequence, %(paid_hash)s::text AS entry_hash,
        %(answer)s::text AS answer
    FROM stock
)"""
ALL_OF_IT = """
SELECT stock.stock, stock.version, 1 / (SELECT count(*) FROM kept) AS all_of_it FROM stock"""
WRITE = "".join((HELD, few.STOCK, CHOSEN, few.ENTRIES, few.ORDERED, few.KEPT, ALL_OF_IT))


async def exchange(peer: Peer, asked: Asked) -> Answered:
    """Buy with points. Raises Refusal."""
    for _try in range(few.TRIES):
        try:
            async with peer.pool.connection() as connection:
                return await _exchange(peer, connection, asked)
        except (Moved, errors.DivisionByZero):
            continue
    raise Refusal(1015, 409)


async def _exchange(peer: Peer, connection: Any, asked: Asked) -> Answered:
    now = datetime.now(UTC)
    product_id, bought = int(asked.body["product_id"]), int(asked.body.get("quantity", 1))
    names = {**asked.names, "product_id": product_id}
    row = await (await connection.execute(READ, names)).fetchone()
    check_session(row)
    if row["answered_at"] is not None and is_kept(row["answered_at"], now=now):
        asked.check(row["fingerprint"])
        return Answered(peer.keys.decrypt(row["answer"]), is_replay=True)
    _check(row, bought=bought, now=now)
    order = {
        "id": await peer.new_order_id(connection),
        "shop_id": row["shop_id"],
        "product_id": row["id"],
        "product_name": row["name"],
        "kind": row["kind"],
        "unit_points": row["points_price"],
        "quantity": bought,
        "total_points": row["points_price"] * bought,
        "limit_per_person": row["limit_per_person"],
        "source": "exchange",
        "related_id": "",
        "exchange_code": new_exchange_code(),
    }
    paid = next_entry(
        Head(row["total_points"], row["points_version"], row["points_hash"]),
        person_id=asked.person_id,
        points=-order["total_points"],
        source="exchange",
        related_id=str(order["id"]),
        moment=now,
    )
    data = orjson.dumps(
        {
            "exchange_id": order["id"],
            "exchange_code": order["exchange_code"],
            "remaining_points": paid.balance,
            "points_version": paid.sequence,
            "order": order_answer(order, moment=now, image=row["sha256"]),
        }
    )
    stock = few.stock_names(
        product_id,
        quantity=-bought,
        operation="purchase",
        related_id=str(order["id"]),
        now=now,
    )
    written = await connection.execute(
        WRITE,
        {
            **asked.names,
            **few.order_names(order, now=now),
            **stock,
            "sold": bought,
            "order_id": order["id"],
            "points_version": row["points_version"],
            "points_hash": row["points_hash"],
            "cost": order["total_points"],
            "source": paid.source,
            "paid_balance": paid.balance,
            "paid_hash": paid.hash,
            "answer": peer.keys.encrypt(data),
            "now": now,
        },
    )
    taken = await written.fetchone()
    if taken is None:
        raise Moved
    peer.publisher.put(points_update(asked.person_id, paid, moment=now), owner_id=asked.person_id)
    peer.publisher.put(
        stock_update(
            product_id=product_id,
            name=row["name"],
            stock=taken["stock"],
            version=taken["version"],
            operation="purchase",
            moment=now,
        )
    )
    return Answered(data)


def _check(row: dict[str, Any], *, bought: int, now: datetime) -> None:
    """Raise the Refusal that comes first."""
    if row["id"] is None or not row["is_visible"]:
        raise Refusal(4001, 404)
    begins, ends = row["on_sale_from"], row["on_sale_until"]
    if (begins is not None and begins > now) or (ends is not None and ends <= now):
        raise Refusal(4002, 409)
    if row["kind"] == "virtual":
        raise NotImplementedError("The peer hands out no codes.")
    limit = row["limit_per_person"]
    if limit is not None and row["used"] + bought > limit:
        raise Refusal(4006, 409)
    if row["stock"] < bought:
        raise Refusal(4004, 409)
    if row["total_points"] < row["points_price"] * bought:
        raise Refusal(4005, 409)
