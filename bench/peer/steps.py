"""A draw in one statement per step: what somebody writes who reads what they lock.

The order of locks is the platform's: the key's record, the seed pair, the pity counter, prizes,
products, the person.
"""

from datetime import UTC, datetime
from typing import Any

import orjson

from bench.peer.answers import draw_answer, order_answer, points_update, stock_update
from bench.peer.asked import Answered, Asked, is_kept
from bench.peer.entries import (
    ORDER_LIFETIME,
    Entry,
    Head,
    local_day,
    midnight_before,
    new_draw_id,
    new_exchange_code,
    next_entry,
    stock_hash_around,
)
from bench.peer.refusals import Refusal
from bench.peer.state import SESSION, Peer, check_session
from bench.peer.wheels import Prize, draw_ticket

CLAIM = """
INSERT INTO ops_idempotencyrecord (owner_id, path, key, fingerprint, answer, created_at)
VALUES (%(person_id)s, %(path)s, %(key)s, %(fingerprint)s, '', %(now)s)
ON CONFLICT (owner_id, path, key) DO NOTHING RETURNING id
"""
CLAIMED = """
SELECT id, fingerprint, answer, created_at FROM ops_idempotencyrecord
WHERE owner_id = %(person_id)s AND path = %(path)s AND key = %(key)s FOR UPDATE
"""
CLAIM_ANEW = """
UPDATE ops_idempotencyrecord
SET created_at = %(now)s, fingerprint = %(fingerprint)s, updated_at = statement_timestamp()
WHERE id = %(record_id)s
"""
KEEP_ANSWER = """
UPDATE ops_idempotencyrecord SET answer = %(answer)s, updated_at = statement_timestamp()
WHERE id = %(record_id)s
"""
IN_FORCE = """
SELECT version.id, wheel.status, wheel.opens_at, wheel.closes_at, wheel.shop_id
FROM lottery_wheelversion AS version JOIN lottery_wheel AS wheel ON wheel.id = version.wheel_id
WHERE wheel.id = %(wheel_id)s::bigint OR (%(wheel_id)s::bigint IS NULL AND wheel.is_default)
ORDER BY version.number DESC LIMIT 1
"""
PAIR = """
SELECT id, server_seed_encrypted, client_seed, next_nonce FROM lottery_seedpair
WHERE person_id = %(person_id)s AND state = 'active' FOR NO KEY UPDATE
"""
USED_TODAY = """
SELECT count(*) AS used FROM lottery_draw
WHERE person_id = %(person_id)s AND wheel_id = %(wheel_id)s AND created_at >= %(midnight)s
"""
COUNTER = """
SELECT current FROM lottery_pitycounter
WHERE person_id = %(person_id)s AND wheel_id = %(wheel_id)s FOR NO KEY UPDATE
"""
PRIZES = """
SELECT id, published_quantity, published_daily_cap, given, given_on, given_that_day
FROM lottery_prize WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE
"""
PRODUCTS = """
SELECT product.id, product.name, product.kind, product.shop_id, product.stock,
    product.stock_version, product.stock_hash,
    product.status = 'active' AND product.is_listed AS is_visible,
    (SELECT file.sha256 FROM catalog_productimage AS image
     JOIN ops_storedfile AS file ON file.id = image.file_id
     WHERE image.product_id = product.id ORDER BY image.position, image.id LIMIT 1) AS sha256
FROM catalog_product AS product
WHERE product.id = ANY(%(ids)s) ORDER BY product.id FOR NO KEY UPDATE OF product
"""
PERSON = """
SELECT total_points, points_version, points_hash FROM accounts_user
WHERE id = %(person_id)s FOR NO KEY UPDATE
"""
ADD_ORDER = """
INSERT INTO catalog_order (person_id, shop_id, product_id, product_name, kind, unit_points,
    quantity, total_points, source, related_id, exchange_code, status, created_at, expires_at)
VALUES (%(person_id)s, %(shop_id)s, %(product_id)s, %(product_name)s, %(kind)s, %(unit_points)s,
    %(quantity)s, %(total_points)s, %(source)s, %(related_id)s, %(exchange_code)s, 'pending',
    %(now)s, %(expires_at)s)
RETURNING id
"""
TAKE_STOCK = """
UPDATE catalog_product SET stock = stock - 1, stock_version = stock_version + 1,
    stock_hash = encode(sha256(convert_to(
        %(stock_head)s || stock_hash || %(stock_middle)s || stock_version + 1
        || ',"stock_after":' || stock - 1 || '}', 'UTF8')), 'hex'),
    updated_at = statement_timestamp()
WHERE id = %(product_id)s RETURNING stock, stock_version, stock_hash
"""
ADD_STOCK_ENTRY = """
INSERT INTO catalog_stockentry (product_id, sequence, quantity, operation, stock_after, related_id,
    reason, previous_hash, entry_hash, created_at)
VALUES (%(product_id)s, %(stock_version)s, -1, 'prize', %(stock)s, %(related_id)s, '',
    %(previous_hash)s, %(stock_hash)s, %(now)s)
"""
ADD_DRAW = """
INSERT INTO lottery_draw (id, person_id, wheel_id, version_id, seed_pair_id, nonce, ticket,
    landed_prize_id, prize_id, is_pity, pity_before, stock_out, near_miss, cost_points,
    value_given, order_id, created_at)
VALUES (%(draw_id)s, %(person_id)s, %(wheel_id)s, %(version_id)s, %(pair_id)s, %(nonce)s,
    %(ticket)s, %(landed_id)s, %(prize_id)s, %(is_pity)s, %(pity_before)s, %(stock_out)s::jsonb,
    %(near_miss)s, %(cost)s, %(value)s, %(order_id)s, %(now)s)
"""
COUNT_PRIZE = """
UPDATE lottery_prize SET given = given + 1, given_on = %(day)s, updated_at = statement_timestamp(),
    given_that_day = CASE WHEN given_on = %(day)s THEN given_that_day + 1 ELSE 1 END
WHERE id = %(prize_id)s
"""
USE_NONCE = """
UPDATE lottery_seedpair SET next_nonce = next_nonce + 1, updated_at = statement_timestamp()
WHERE id = %(pair_id)s
"""
SET_COUNTER = """
INSERT INTO lottery_pitycounter (person_id, wheel_id, current)
VALUES (%(person_id)s, %(wheel_id)s, %(pity_after)s)
ON CONFLICT (person_id, wheel_id)
DO UPDATE SET current = EXCLUDED.current, updated_at = statement_timestamp()
"""
ADD_ENTRY = """
INSERT INTO accounts_pointsentry (user_id, sequence, points, source, related_id, balance_after,
    previous_hash, entry_hash, created_at)
VALUES (%(person_id)s, %(sequence)s, %(points)s, %(source)s, %(related_id)s, %(balance)s,
    %(previous_hash)s, %(entry_hash)s, %(now)s)
"""
SET_HEAD = """
UPDATE accounts_user SET total_points = %(balance)s, points_version = %(sequence)s,
    points_hash = %(entry_hash)s, updated_at = statement_timestamp()
WHERE id = %(person_id)s
"""


async def draw(peer: Peer, asked: Asked) -> Answered:
    """Draw once. Raises Refusal; whatever is raised takes everything back."""
    async with peer.pool.connection() as connection:
        check_session(await _one(connection, SESSION, asked.names))
        async with connection.transaction():
            record_id, kept = await _claim(connection, asked)
            if kept is not None:
                return Answered(peer.keys.decrypt(kept), is_replay=True)
            data, messages = await _draw(peer, connection, asked)
            answer = orjson.dumps(data)
            await connection.execute(
                KEEP_ANSWER, {"answer": peer.keys.encrypt(answer), "record_id": record_id}
            )
    for message, owner_id in messages:
        peer.publisher.put(message, owner_id=owner_id)
    return Answered(answer)


async def _claim(connection: Any, asked: Asked) -> tuple[int, str | None]:
    """The record of the key, and what was answered under it before."""
    now = datetime.now(UTC)
    while True:
        if row := await _one(connection, CLAIM, {**asked.names, "now": now}):
            return row["id"], None
        if row := await _one(connection, CLAIMED, asked.names):
            if is_kept(row["created_at"], now=now):
                asked.check(row["fingerprint"])
                return row["id"], row["answer"]
            anew = {"record_id": row["id"], "now": now, "fingerprint": asked.fingerprint}
            await connection.execute(CLAIM_ANEW, anew)
            return row["id"], None


async def _draw(
    peer: Peer, connection: Any, asked: Asked
) -> tuple[dict[str, Any], list[tuple[dict[str, Any], int | None]]]:
    names: dict[str, Any] = {"person_id": asked.person_id}
    wheel = await _one(connection, IN_FORCE, {"wheel_id": asked.body.get("wheel_id")})
    check_wheel(wheel, now=datetime.now(UTC))
    assert wheel is not None
    sheet = await peer.sheet(connection, wheel["id"])
    names["wheel_id"] = sheet.wheel_id
    pair = await _one(connection, PAIR, names)
    if pair is None:
        raise NotImplementedError("The peer makes no seeds; the platform made them before.")
    used = None
    if sheet.daily_limit is not None:
        names["midnight"] = midnight_before(datetime.now(UTC))
        used = (await _one(connection, USED_TODAY, names) or {})["used"]
        if used >= sheet.daily_limit:
            raise Refusal(3003, 409)
    counter = await _one(connection, COUNTER, names)
    pity_before = counter["current"] if counter else 0
    nonce = pair["next_nonce"]
    ticket = draw_ticket(
        server_seed=peer.keys.decrypt(pair["server_seed_encrypted"]).decode(),
        client_seed=pair["client_seed"],
        nonce=nonce,
    )
    reachable = sheet.reachable(ticket, pity_before=pity_before)
    prizes, products = await _hold(connection, reachable)
    now = datetime.now(UTC)
    gone = {prize.id for prize in reachable if _is_gone(prize, prizes, products, now=now)}
    outcome = sheet.outcome(ticket, pity_before=pity_before, gone=gone)
    person = await _one(connection, PERSON, names)
    assert person is not None
    head = Head(person["total_points"], person["points_version"], person["points_hash"])
    if head.balance < sheet.cost:
        raise Refusal(3001, 409)

    draw_id, given = new_draw_id(), outcome.given
    messages: list[tuple[dict[str, Any], int | None]] = []
    order = image = None
    if given.opens_order:
        product = products[given.product_id] if given.product_id else None
        order = prize_order(
            given, person_id=asked.person_id, draw_id=str(draw_id), product=product, wheel=wheel
        )
        times = {"now": now, "expires_at": now + ORDER_LIFETIME}
        order["id"] = (await _one(connection, ADD_ORDER, {**order, **times}) or {})["id"]
        if product:
            image = product["sha256"]
            messages += await _take_stock(connection, product, draw_id=str(draw_id), now=now)
    await connection.execute(
        ADD_DRAW,
        {
            **names,
            "draw_id": draw_id,
            "version_id": sheet.version_id,
            "pair_id": pair["id"],
            "nonce": nonce,
            "ticket": ticket,
            "landed_id": outcome.landed.id,
            "prize_id": given.id,
            "is_pity": outcome.is_pity,
            "pity_before": pity_before,
            "stock_out": orjson.dumps(outcome.stock_out).decode(),
            "near_miss": outcome.near_miss,
            "cost": sheet.cost,
            "value": given.value,
            "order_id": order and order["id"],
            "now": now,
        },
    )
    if given.is_counted:
        await connection.execute(COUNT_PRIZE, {"prize_id": given.id, "day": local_day(now)})
    await connection.execute(USE_NONCE, {"pair_id": pair["id"]})
    await connection.execute(SET_COUNTER, {**names, "pity_after": outcome.pity_after})
    entry = None
    for points, source in ((-sheet.cost, "lottery"), (given.credited, "prize")):
        if points:
            entry = await _book(
                connection, head, names, points=points, source=source, related=str(draw_id), now=now
            )
            head = entry.head
            messages.append((points_update(asked.person_id, entry, moment=now), asked.person_id))
    if entry is not None:
        changed = {"balance": head.balance, "sequence": head.version, "entry_hash": head.hash}
        await connection.execute(SET_HEAD, {**names, **changed})
    data = draw_answer(
        draw_id=draw_id,
        sheet=sheet,
        outcome=outcome,
        nonce=nonce,
        ticket=ticket,
        order=order and order_answer(order, moment=now, image=image),
        entry=entry or Entry(head.version, 0, "", head.balance, "", head.hash),
        used_today=used,
    )
    return data, messages


def check_wheel(wheel: dict[str, Any] | None, *, now: datetime) -> None:
    """Raise Refusal unless people may draw on it."""
    if wheel is None or wheel["id"] is None:
        raise Refusal(1010, 404)
    opens, closes = wheel["opens_at"], wheel["closes_at"]
    is_open = (opens is None or opens <= now) and (closes is None or closes > now)
    if wheel["status"] != "active" or not is_open:
        raise Refusal(3002, 409)


def prize_order(
    given: Prize,
    *,
    person_id: int,
    draw_id: str,
    product: dict[str, Any] | None,
    wheel: dict[str, Any],
) -> dict[str, Any]:
    """The order of a prize, before it has an id."""
    return {
        "person_id": person_id,
        "shop_id": product["shop_id"] if product else wheel["shop_id"],
        "product_id": given.product_id,
        "product_name": given.name,
        "kind": product["kind"] if product else given.type,
        "unit_points": 0,
        "quantity": 1,
        "total_points": 0,
        "source": "lottery",
        "related_id": draw_id,
        "exchange_code": new_exchange_code(),
    }


async def _hold(
    connection: Any, reachable: list[Prize]
) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
    counted = [prize.id for prize in reachable if prize.is_counted]
    product_ids = [prize.product_id for prize in reachable if prize.product_id is not None]
    held = []
    for statement, ids in ((PRIZES, counted), (PRODUCTS, product_ids)):
        found = (await connection.execute(statement, {"ids": ids})).fetchall() if ids else None
        held.append({row["id"]: row for row in await found} if found else {})
    return held[0], held[1]


def _is_gone(
    prize: Prize,
    prizes: dict[int, dict[str, Any]],
    products: dict[int, dict[str, Any]],
    *,
    now: datetime,
) -> bool:
    if prize.is_counted:
        row = prizes.get(prize.id)
        if row is None:
            return True
        quantity, cap = row["published_quantity"], row["published_daily_cap"]
        today = row["given_that_day"] if row["given_on"] == local_day(now) else 0
        if (quantity is not None and row["given"] >= quantity) or (
            cap is not None and today >= cap
        ):
            return True
    if prize.product_id is None:
        return False
    product = products.get(prize.product_id)
    return product is None or product["stock"] <= 0


async def _take_stock(
    connection: Any, product: dict[str, Any], *, draw_id: str, now: datetime
) -> list[tuple[dict[str, Any], int | None]]:
    around = stock_hash_around(
        product_id=product["id"], quantity=-1, operation="prize", related_id=draw_id, moment=now
    )
    names = {"product_id": product["id"], "related_id": draw_id, "now": now, **around}
    taken = await _one(connection, TAKE_STOCK, names) or {}
    entry = {**names, **taken, "previous_hash": product["stock_hash"]}
    await connection.execute(ADD_STOCK_ENTRY, entry)
    if not product["is_visible"]:
        return []
    message = stock_update(
        product_id=product["id"],
        name=product["name"],
        stock=taken["stock"],
        version=taken["stock_version"],
        operation="prize",
        moment=now,
    )
    return [(message, None)]


async def _book(
    connection: Any,
    head: Head,
    names: dict[str, Any],
    *,
    points: int,
    source: str,
    related: str,
    now: datetime,
) -> Entry:
    entry = next_entry(
        head,
        person_id=names["person_id"],
        points=points,
        source=source,
        related_id=related,
        moment=now,
    )
    await connection.execute(
        ADD_ENTRY,
        {
            **names,
            "sequence": entry.sequence,
            "points": points,
            "source": source,
            "related_id": related,
            "balance": entry.balance,
            "previous_hash": entry.previous_hash,
            "entry_hash": entry.hash,
            "now": now,
        },
    )
    return entry


async def _one(connection: Any, statement: str, names: dict[str, Any]) -> dict[str, Any] | None:
    row: dict[str, Any] | None = await (await connection.execute(statement, names)).fetchone()
    return row
