"""What people look at: read from the tables for each of them, kept nowhere."""

from datetime import UTC, datetime
from typing import Any

from bench.peer.answers import picture
from bench.peer.entries import local, midnight_before
from bench.peer.refusals import Refusal
from bench.peer.state import Peer
from bench.peer.wheels import Sheet

PAGE_SIZE = 20
MAX_COUNT = 10

WHEEL = """
SELECT version.*, personal.* FROM lottery_wheelversion AS version
JOIN lottery_wheel AS wheel ON wheel.id = version.wheel_id
LEFT JOIN LATERAL (
    SELECT active.server_seed_hash, active.client_seed, active.client_seed_by, active.next_nonce,
        following.server_seed_hash AS next_hash,
        (SELECT current FROM lottery_pitycounter AS counter
         WHERE counter.person_id = %(person_id)s AND counter.wheel_id = version.wheel_id) AS pity,
        (SELECT count(*) FROM lottery_draw AS draw
         WHERE draw.person_id = %(person_id)s AND draw.wheel_id = version.wheel_id
           AND draw.created_at >= %(midnight)s) AS used
    FROM lottery_seedpair AS active JOIN lottery_seedpair AS following
        ON following.person_id = active.person_id AND following.state = 'next'
    WHERE active.person_id = %(person_id)s::bigint AND active.state = 'active'
) AS personal ON true
WHERE wheel.is_default ORDER BY version.number DESC LIMIT 1
"""
MALL = """
SELECT product.*, category.name AS category, file.sha256, thumbnail.sha256 AS thumbnail,
    CASE WHEN %(person_id)s::bigint IS NOT NULL THEN
        EXISTS (SELECT FROM favorites_favorite AS favorite
                WHERE favorite.person_id = %(person_id)s::bigint
                  AND favorite.product_id = product.id)
    END AS is_favorite
FROM catalog_product AS product
LEFT JOIN catalog_category AS category ON category.id = product.category_id
LEFT JOIN LATERAL (
    SELECT file_id, thumbnail_id FROM catalog_productimage AS image
    WHERE image.product_id = product.id ORDER BY image.position, image.id LIMIT 1
) AS image ON true
LEFT JOIN ops_storedfile AS file ON file.id = image.file_id
LEFT JOIN ops_storedfile AS thumbnail ON thumbnail.id = image.thumbnail_id
WHERE product.status = 'active' AND product.is_listed
  AND (%(last)s::bigint IS NULL OR product.id < %(last)s::bigint)
ORDER BY product.id DESC LIMIT %(limit)s
"""
LEDGER = """
SELECT id, sequence, points, source, balance_after, related_id, created_at
FROM accounts_pointsentry WHERE user_id = %(person_id)s AND sequence < %(last)s
ORDER BY sequence DESC LIMIT %(limit)s
"""
SOURCES = {
    "register": "新用户礼",
    "photo_upload": "小票",
    "lottery": "抽奖",
    "prize": "奖品",
    "exchange": "兑换",
    "cancel": "退回的订单",
    "adjust": "调整",
    "reverse": "冲正",
}
FIRST = 2**62


async def wheel_config(peer: Peer, connection: Any, person_id: int | None) -> dict[str, Any]:
    """The default wheel, and what it is for the person."""
    names = {"person_id": person_id, "midnight": midnight_before(datetime.now(UTC))}
    row = await (await connection.execute(WHEEL, names)).fetchone()
    if row is None:
        raise Refusal(1010, 404)
    sheet, is_known = Sheet(row), person_id is not None
    left = None
    if is_known and sheet.daily_limit is not None:
        left = max(0, sheet.daily_limit - (row["used"] or 0))
    pity = {"threshold": sheet.threshold, "current": (row["pity"] or 0) if is_known else None}
    fairness = {
        "server_seed_hash": row["server_seed_hash"],
        "client_seed": row["client_seed"],
        "client_seed_by": row["client_seed_by"],
        "nonce": row["next_nonce"],
        "next_server_seed_hash": row["next_hash"],
    }
    return {
        "wheel_id": sheet.wheel_id,
        "name": row["name"],
        "version": row["number"],
        "cost_points": sheet.cost,
        "max_count": MAX_COUNT,
        "prizes": [prize.shown for prize in sheet.prizes],
        "fallback_prize_id": sheet.fallback.id,
        "pity": None if sheet.threshold is None else pity,
        "daily_limit": sheet.daily_limit,
        "remaining_today": left,
        "fairness": fairness if is_known else None,
    }


async def mall(
    peer: Peer, connection: Any, person_id: int | None, *, cursor: str, base: str
) -> dict[str, Any]:
    """A page of the mall, newest first."""
    last = peer.keys.read_cursor("mall", cursor) if cursor else None
    names = {"person_id": person_id, "last": last, "limit": PAGE_SIZE + 1}
    rows = await (await connection.execute(MALL, names)).fetchall()
    is_more = len(rows) > PAGE_SIZE
    return {
        "items": [_product(row, base) for row in rows[:PAGE_SIZE]],
        "next": peer.keys.sign_cursor("mall", rows[PAGE_SIZE - 1]["id"]) if is_more else None,
    }


def _product(row: dict[str, Any], base: str) -> dict[str, Any]:
    return {
        "commodity_id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "category": row["category"],
        "category_id": row["category_id"],
        "shop_id": row["shop_id"],
        "image": picture(row["sha256"], base),
        "thumbnail": picture(row["thumbnail"] or row["sha256"], base),
        "exchange_points": row["points_price"],
        "market_price": str(row["market_price"]),
        "stock": row["stock"],
        "stock_version": row["stock_version"],
        "sales_count": row["sales_count"],
        "kind": row["kind"],
        "is_favorite": row["is_favorite"],
        "status": "active",
        "on_sale_from": local(row["on_sale_from"]),
        "on_sale_until": local(row["on_sale_until"]),
    }


async def ledger(peer: Peer, connection: Any, person_id: int, *, cursor: str) -> dict[str, Any]:
    """A page of the person's ledger, newest first."""
    last = peer.keys.read_cursor("ledger", cursor) if cursor else FIRST
    names = {"person_id": person_id, "last": last, "limit": PAGE_SIZE + 1}
    rows = await (await connection.execute(LEDGER, names)).fetchall()
    is_more = len(rows) > PAGE_SIZE
    following = None
    if is_more:
        following = peer.keys.sign_cursor("ledger", rows[PAGE_SIZE - 1]["sequence"])
    return {"items": [_entry(row) for row in rows[:PAGE_SIZE]], "next": following}


def _entry(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "version": row["sequence"],
        "type": "earn" if row["points"] > 0 else "spend",
        "points": row["points"],
        "source": row["source"],
        "description": SOURCES.get(row["source"], row["source"]),
        "balance_after": row["balance_after"],
        "related_id": row["related_id"] or None,
        "created_at": local(row["created_at"]),
    }
