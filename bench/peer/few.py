"""A draw in as few statements as it can be: one that reads everything, one that writes everything.

Between them stands what the database cannot do: opening the seed. Nothing is locked while that
happens. The second statement writes only if the nonce and the person's ledger stand where they were
read, and raises otherwise, which takes it back as a whole; then both are done again. It is a
transaction of its own, so that each draw waits for the disk once.

A scarce prize is decided inside of it, under its lock: the statement brings what is to be written
if the prize is there and what if it is gone. It locks in the order of the platform: the seed pair,
prizes, products, the person. What is rarer (a prize that is counted and a product as well, a pity
draw that may run out of prizes, a draw that costs nothing) goes the way of steps.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import errors

from bench.peer import steps
from bench.peer.answers import draw_answer, order_answer, points_update, stock_update
from bench.peer.asked import Answered, Asked, is_kept
from bench.peer.entries import (
    ORDER_LIFETIME,
    Entry,
    Head,
    local_day,
    midnight_before,
    new_draw_id,
    next_entry,
    stock_hash_around,
)
from bench.peer.refusals import Moved, Refusal
from bench.peer.state import Peer, check_session
from bench.peer.wheels import Outcome, Sheet, draw_ticket

READ = """
SELECT session.revoked_at, person.status, person.total_points, person.points_version,
    person.points_hash, record.fingerprint, record.answer, record.created_at AS answered_at,
    wheel.id, wheel.wheel_status, wheel.opens_at, wheel.closes_at, wheel.shop_id,
    pair.id AS pair_id, pair.server_seed_encrypted, pair.client_seed, pair.next_nonce,
    coalesce(counter.current, 0) AS pity_before,
    CASE WHEN wheel.daily_limit IS NOT NULL THEN
        (SELECT count(*) FROM lottery_draw AS draw
         WHERE draw.person_id = person.id AND draw.wheel_id = wheel.wheel_id
           AND draw.created_at >= %(midnight)s)
    END AS used
FROM accounts_devicesession AS session
JOIN accounts_user AS person ON person.id = session.user_id
LEFT JOIN ops_idempotencyrecord AS record
    ON record.owner_id = person.id AND record.path = %(path)s AND record.key = %(key)s
LEFT JOIN LATERAL (
    SELECT version.id, version.wheel_id, version.daily_limit, wheel.status AS wheel_status,
        wheel.opens_at, wheel.closes_at, wheel.shop_id
    FROM lottery_wheelversion AS version JOIN lottery_wheel AS wheel ON wheel.id = version.wheel_id
    WHERE wheel.id = %(wheel_id)s::bigint OR (%(wheel_id)s::bigint IS NULL AND wheel.is_default)
    ORDER BY version.number DESC LIMIT 1
) AS wheel ON true
LEFT JOIN lottery_seedpair AS pair ON pair.person_id = person.id AND pair.state = 'active'
LEFT JOIN lottery_pitycounter AS counter
    ON counter.person_id = person.id AND counter.wheel_id = wheel.wheel_id
WHERE session.id = %(session_id)s AND session.user_id = %(person_id)s
"""
PRODUCT = """
SELECT product.id, product.name, product.kind, product.shop_id,
    product.status = 'active' AND product.is_listed AS is_visible,
    (SELECT file.sha256 FROM catalog_productimage AS image
     JOIN ops_storedfile AS file ON file.id = image.file_id
     WHERE image.product_id = product.id ORDER BY image.position, image.id LIMIT 1) AS sha256
FROM catalog_product AS product WHERE product.id = %(product_id)s
"""

# --- The statement that writes, in pieces; a draw uses those that it needs -----------------------
PAIR = """
WITH pair AS (
    UPDATE lottery_seedpair SET next_nonce = next_nonce + 1, updated_at = statement_timestamp()
    WHERE id = %(pair_id)s AND state = 'active' AND next_nonce = %(nonce)s
    RETURNING id
)"""
# given_on: had somebody counted a later day meanwhile, the end of the statement would see it.
COUNTED = """
, taken AS (
    UPDATE lottery_prize AS prize SET given = prize.given + 1,
        given_that_day =
            CASE WHEN prize.given_on = %(day)s THEN prize.given_that_day + 1 ELSE 1 END,
        given_on = GREATEST(prize.given_on, %(day)s), updated_at = statement_timestamp()
    FROM pair
    WHERE prize.id = %(landed_id)s
      AND (prize.published_quantity IS NULL OR prize.given < prize.published_quantity)
      AND (prize.published_daily_cap IS NULL OR prize.given_on IS DISTINCT FROM %(day)s
           OR prize.given_that_day < prize.published_daily_cap)
    RETURNING prize.given_on
), gone AS (SELECT NOT EXISTS (SELECT FROM taken) AS is_gone FROM pair)"""
HELD = """
, held AS MATERIALIZED (
    SELECT product.id, product.stock - 1 AS stock, product.stock_version + 1 AS version,
        product.stock_hash AS previous_hash
    FROM pair JOIN catalog_product AS product ON product.id = %(product_id)s AND product.stock > 0
    FOR NO KEY UPDATE OF product
)"""
STOCK = """
, stock AS MATERIALIZED (
    SELECT held.*, encode(sha256(convert_to(%(stock_head)s || previous_hash || %(stock_middle)s
        || version || ',"stock_after":' || stock || '}', 'UTF8')), 'hex') AS entry_hash
    FROM held
), stocked AS (
    UPDATE catalog_product AS product SET stock = stock.stock, stock_version = stock.version,
        stock_hash = stock.entry_hash, sales_count = product.sales_count + %(sold)s,
        updated_at = statement_timestamp()
    FROM stock WHERE product.id = stock.id
), booked AS (
    INSERT INTO catalog_stockentry (product_id, sequence, quantity, operation, stock_after,
        related_id, reason, previous_hash, entry_hash, created_at)
    SELECT id, version, %(quantity)s, %(operation)s, stock, %(related_id)s, '', previous_hash,
        entry_hash, %(now)s FROM stock
)"""
GONE_IF_SOLD_OUT = ", gone AS (SELECT NOT EXISTS (SELECT FROM stock) AS is_gone FROM pair)"
NEVER_GONE = ", gone AS (SELECT false AS is_gone FROM pair)"
ENTRIES = """
, payer AS (
    UPDATE accounts_user AS person SET total_points = chosen.balance,
        points_version = chosen.sequence, points_hash = chosen.entry_hash,
        updated_at = statement_timestamp()
    FROM chosen
    WHERE person.id = %(person_id)s AND person.points_version = %(points_version)s
    RETURNING person.id
), paid AS (
    INSERT INTO accounts_pointsentry (user_id, sequence, points, source, related_id, balance_after,
        previous_hash, entry_hash, created_at)
    SELECT payer.id, %(points_version)s + 1, -%(cost)s, %(source)s, %(related_id)s,
        %(paid_balance)s, %(points_hash)s, %(paid_hash)s, %(now)s FROM payer
)"""
WON = """
, won AS (
    INSERT INTO accounts_pointsentry (user_id, sequence, points, source, related_id, balance_after,
        previous_hash, entry_hash, created_at)
    SELECT payer.id, chosen.sequence, chosen.credited, 'prize', %(related_id)s, chosen.balance,
        %(paid_hash)s, chosen.entry_hash, %(now)s FROM payer, chosen WHERE chosen.credited > 0
)"""
ORDERED = """
, ordered AS (
    INSERT INTO catalog_order (id, person_id, shop_id, product_id, product_name, kind, unit_points,
        quantity, total_points, limit_per_person, source, related_id, exchange_code, status,
        created_at, expires_at)
    SELECT chosen.order_id, payer.id, %(shop_id)s::bigint, %(product_id)s::bigint,
        %(product_name)s, %(kind)s, %(unit_points)s, %(bought)s, %(total_points)s,
        %(limit_per_person)s::integer, %(order_source)s, %(order_cause)s, %(exchange_code)s,
        'pending', %(now)s, %(expires_at)s
    FROM payer, chosen WHERE chosen.order_id IS NOT NULL
)"""
DRAWN = """
, counter AS (
    INSERT INTO lottery_pitycounter (person_id, wheel_id, current)
    SELECT payer.id, %(wheel_id)s, chosen.pity_after FROM payer, chosen
    ON CONFLICT (person_id, wheel_id)
    DO UPDATE SET current = EXCLUDED.current, updated_at = statement_timestamp()
), drawn AS (
    INSERT INTO lottery_draw (id, person_id, wheel_id, version_id, seed_pair_id, nonce, ticket,
        landed_prize_id, prize_id, is_pity, pity_before, stock_out, near_miss, cost_points,
        value_given, order_id, created_at)
    SELECT %(draw_id)s, payer.id, %(wheel_id)s, %(version_id)s, %(pair_id)s, %(nonce)s, %(ticket)s,
        %(landed_id)s, chosen.prize_id, %(is_pity)s, %(pity_before)s, chosen.stock_out,
        chosen.near_miss, %(cost)s, chosen.value, chosen.order_id, %(now)s FROM payer, chosen
)"""
KEPT = """
, kept AS (
    INSERT INTO ops_idempotencyrecord AS record (owner_id, path, key, fingerprint, answer,
        created_at)
    SELECT payer.id, %(path)s, %(key)s, %(fingerprint)s, chosen.answer, %(now)s
    FROM payer, chosen
    ON CONFLICT (owner_id, path, key) DO UPDATE
    SET fingerprint = EXCLUDED.fingerprint, answer = EXCLUDED.answer,
        created_at = EXCLUDED.created_at, updated_at = statement_timestamp()
    WHERE record.created_at <= EXCLUDED.created_at - interval '24 hours'
    RETURNING id
)"""
# A division by nothing takes all of it back.
ALL_OF_IT = """
SELECT chosen.is_gone, 1 / (SELECT count(*) FROM kept) AS all_of_it"""
AND_SAME_DAY = """, 1 / (SELECT count(*) FROM kept WHERE NOT EXISTS
    (SELECT FROM taken WHERE given_on > %(day)s)) AS same_day"""
FROM_CHOSEN = " FROM chosen"
WITH_STOCK = ", stock.stock, stock.version"
AND_STOCK = " LEFT JOIN stock ON true"
VARIANT = """(%(gone{n})s::boolean, %(prize{n})s::bigint, %(near{n})s::boolean,
    %(out{n})s::jsonb, %(value{n})s::numeric, %(pity{n})s::integer, %(credited{n})s::bigint,
    %(balance{n})s::bigint, %(sequence{n})s::bigint, %(hash{n})s::text, %(order{n})s::bigint,
    %(answer{n})s::text)"""
CHOSEN = (
    """
, chosen AS MATERIALIZED (
    SELECT variant.* FROM gone JOIN (VALUES """,
    """) AS variant (is_gone, prize_id, near_miss, stock_out, value, pity_after, credited, balance,
        sequence, entry_hash, order_id, answer) ON variant.is_gone = gone.is_gone
)""",
)


def _writing(*, counted: bool, stock: bool, won: bool, ordered: bool) -> str:
    """The statement for a draw of this kind; there are a dozen, and each is prepared once."""
    scarce = counted or stock
    variants = ", ".join(VARIANT.replace("{n}", str(n)) for n in range(2 if scarce else 1))
    pieces = [
        PAIR,
        COUNTED if counted else HELD + STOCK + GONE_IF_SOLD_OUT if stock else NEVER_GONE,
        variants.join(CHOSEN),
        ENTRIES,
        WON if won else "",
        ORDERED if ordered else "",
        DRAWN,
        KEPT,
        ALL_OF_IT,
        WITH_STOCK if stock else "",
        AND_SAME_DAY if counted else "",
        FROM_CHOSEN,
        AND_STOCK if stock else "",
    ]
    return "".join(pieces)


TRIES = 20


@dataclass(slots=True, kw_only=True)
class _Variant:
    """What is written and answered when a prize is there, or when it is gone."""

    outcome: Outcome
    entries: list[Entry]
    order: dict[str, Any] | None
    data: bytes


async def draw(peer: Peer, asked: Asked) -> Answered:
    """Draw once. Raises Refusal."""
    for _try in range(TRIES):
        try:
            async with peer.pool.connection() as connection:
                answered = await _draw(peer, connection, asked)
        except (Moved, errors.DivisionByZero):
            continue
        return await steps.draw(peer, asked) if answered is None else answered
    raise Refusal(1015, 409)


async def _draw(peer: Peer, connection: Any, asked: Asked) -> Answered | None:
    """Draw, if it is a draw for two statements. Raises Moved, DivisionByZero to be tried again."""
    now = datetime.now(UTC)
    wheel = {"wheel_id": asked.body.get("wheel_id"), "midnight": midnight_before(now)}
    row = await _row(connection, READ, {**asked.names, **wheel})
    check_session(row)
    if row["answered_at"] is not None and is_kept(row["answered_at"], now=now):
        asked.check(row["fingerprint"])
        return Answered(peer.keys.decrypt(row["answer"]), is_replay=True)
    steps.check_wheel({**row, "status": row["wheel_status"]}, now=now)
    sheet = await peer.sheet(connection, row["id"])
    if sheet.daily_limit is not None and row["used"] >= sheet.daily_limit:
        raise Refusal(3003, 409)
    if row["pair_id"] is None:
        raise NotImplementedError("The peer makes no seeds; the platform made them before.")
    ticket = draw_ticket(
        server_seed=peer.keys.decrypt(row["server_seed_encrypted"]).decode(),
        client_seed=row["client_seed"],
        nonce=row["next_nonce"],
    )
    if _is_rare(sheet, ticket, pity_before=row["pity_before"]):
        return None
    if row["total_points"] < sheet.cost:
        raise Refusal(3001, 409)
    return await _Writing(peer, connection, asked, row, sheet, ticket, now).write()


def _is_rare(sheet: Sheet, ticket: int, *, pity_before: int) -> bool:
    """Whether it goes the way of steps."""
    if not sheet.cost:
        return True
    if sheet.is_pity_draw(pity_before):
        return any(prize.is_scarce for prize in sheet.pity_prizes)
    landed = sheet.landed(ticket)
    both = landed.is_counted and landed.product_id is not None
    return both or (landed.is_scarce and sheet.fallback.opens_order)


@dataclass(slots=True)
class _Writing:
    """One draw on its way into the database."""

    peer: Peer
    connection: Any
    asked: Asked
    row: dict[str, Any]
    sheet: Sheet
    ticket: int
    now: datetime
    draw_id: UUID = field(default_factory=new_draw_id)
    order_id: int | None = None
    product: dict[str, Any] | None = None

    async def write(self) -> Answered:
        """Write the draw and all that belongs to it, and tell sockets of it."""
        sheet, pity_before = self.sheet, self.row["pity_before"]
        first = sheet.outcome(self.ticket, pity_before=pity_before, gone=set())
        outcomes, landed = [first], first.landed
        if not first.is_pity and landed.is_scarce:
            gone = {landed.id}
            outcomes.append(sheet.outcome(self.ticket, pity_before=pity_before, gone=gone))
        counted = len(outcomes) > 1 and landed.is_counted
        stock = len(outcomes) > 1 and landed.product_id is not None
        if stock:
            names = {"product_id": landed.product_id}
            self.product = await _row(self.connection, PRODUCT, names)
        if any(outcome.given.opens_order for outcome in outcomes):
            self.order_id = await self.peer.new_order_id(self.connection)
        paid = self._entry(
            Head(self.row["total_points"], self.row["points_version"], self.row["points_hash"]),
            points=-sheet.cost,
            source="lottery",
        )
        variants = [self._variant(outcome, paid) for outcome in outcomes]
        order = next((variant.order for variant in variants if variant.order), None)
        statement = _writing(
            counted=counted,
            stock=stock,
            won=any(len(variant.entries) > 1 for variant in variants),
            ordered=order is not None,
        )
        names = self._names(first, paid)
        if stock:
            names |= stock_names(
                landed.product_id or 0,
                quantity=-1,
                operation="prize",
                related_id=str(self.draw_id),
                now=self.now,
            )
        if order:
            names |= order_names(order, now=self.now)
        for n, variant in enumerate(variants):
            names |= self._variant_names(n, variant)
        written = await _row(self.connection, statement, names)
        if written is None:
            raise Moved
        variant = variants[written["is_gone"]]
        self._tell(variant, written)
        return Answered(variant.data)

    def _entry(self, head: Head, *, points: int, source: str) -> Entry:
        return next_entry(
            head,
            person_id=self.asked.person_id,
            points=points,
            source=source,
            related_id=str(self.draw_id),
            moment=self.now,
        )

    def _variant(self, outcome: Outcome, paid: Entry) -> _Variant:
        given, entries = outcome.given, [paid]
        order: dict[str, Any] | None = None
        image: str | None = None
        if given.credited:
            entries.append(self._entry(paid.head, points=given.credited, source="prize"))
        if given.opens_order:
            product = self.product if given.product_id is not None else None
            order = steps.prize_order(
                given,
                person_id=self.asked.person_id,
                draw_id=str(self.draw_id),
                product=product,
                wheel=self.row,
            )
            order["id"] = self.order_id
            image = product["sha256"] if product else None
        answer = draw_answer(
            draw_id=self.draw_id,
            sheet=self.sheet,
            outcome=outcome,
            nonce=self.row["next_nonce"],
            ticket=self.ticket,
            order=order and order_answer(order, moment=self.now, image=image),
            entry=entries[-1],
            used_today=self.row["used"],
        )
        return _Variant(outcome=outcome, entries=entries, order=order, data=orjson.dumps(answer))

    def _names(self, outcome: Outcome, paid: Entry) -> dict[str, Any]:
        return {
            **self.asked.names,
            "pair_id": self.row["pair_id"],
            "nonce": self.row["next_nonce"],
            "day": local_day(self.now),
            "landed_id": outcome.landed.id,
            "points_version": self.row["points_version"],
            "points_hash": self.row["points_hash"],
            "cost": self.sheet.cost,
            "source": paid.source,
            "related_id": str(self.draw_id),
            "paid_balance": paid.balance,
            "paid_hash": paid.hash,
            "wheel_id": self.sheet.wheel_id,
            "version_id": self.sheet.version_id,
            "draw_id": self.draw_id,
            "ticket": self.ticket,
            "is_pity": outcome.is_pity,
            "pity_before": self.row["pity_before"],
            "now": self.now,
        }

    def _variant_names(self, n: int, variant: _Variant) -> dict[str, Any]:
        outcome, last = variant.outcome, variant.entries[-1]
        return {
            f"gone{n}": bool(n),
            f"prize{n}": outcome.given.id,
            f"near{n}": outcome.near_miss,
            f"out{n}": orjson.dumps(outcome.stock_out).decode(),
            f"value{n}": outcome.given.value,
            f"pity{n}": outcome.pity_after,
            f"credited{n}": outcome.given.credited,
            f"balance{n}": last.balance,
            f"sequence{n}": last.sequence,
            f"hash{n}": last.hash,
            f"order{n}": variant.order and variant.order["id"],
            f"answer{n}": self.peer.keys.encrypt(variant.data),
        }

    def _tell(self, variant: _Variant, written: dict[str, Any]) -> None:
        person_id, tell = self.asked.person_id, self.peer.publisher.put
        for entry in variant.entries:
            tell(points_update(person_id, entry, moment=self.now), owner_id=person_id)
        if self.product and not written["is_gone"] and self.product["is_visible"]:
            tell(
                stock_update(
                    product_id=self.product["id"],
                    name=self.product["name"],
                    stock=written["stock"],
                    version=written["version"],
                    operation="prize",
                    moment=self.now,
                )
            )


# --- What an exchange writes in the same way -----------------------------------------------------
def stock_names(
    product_id: int, *, quantity: int, operation: str, related_id: str, now: datetime
) -> dict[str, Any]:
    """What HELD and STOCK name."""
    return {
        "product_id": product_id,
        "quantity": quantity,
        "operation": operation,
        "related_id": related_id,
        "sold": 0,
        **stock_hash_around(
            product_id=product_id,
            quantity=quantity,
            operation=operation,
            related_id=related_id,
            moment=now,
        ),
    }


def order_names(order: dict[str, Any], *, now: datetime) -> dict[str, Any]:
    """What ORDERED names, beside the person."""
    return {
        "shop_id": order["shop_id"],
        "product_id": order["product_id"],
        "product_name": order["product_name"],
        "kind": order["kind"],
        "unit_points": order["unit_points"],
        "bought": order["quantity"],
        "total_points": order["total_points"],
        "limit_per_person": order.get("limit_per_person"),
        "order_source": order["source"],
        "order_cause": order["related_id"],
        "exchange_code": order["exchange_code"],
        "expires_at": now + ORDER_LIFETIME,
    }


async def _row(connection: Any, statement: str, names: dict[str, Any]) -> Any:
    return await (await connection.execute(statement, names)).fetchone()
