"""Draws recomputed by PostgreSQL: of whom something does not fit, out of millions of draws.

It only says with whom to look closer. `lottery.integrity.recompute` then goes through the draws of
these people one by one and names what is wrong: rules and texts stand there once. So nothing may
be missed here, while naming somebody in vain costs no more than time.

Measured with 200,000 draws of 20,000 people on 2 cores: one by one a draw takes 25 µs and more,
here 5. Of these the database takes 2.5, for no instance of a model is made and nothing is sorted
but narrow rows. The rest is for seeds that are decrypted and tickets that are made in Python, pair
by pair: faster than in SQL, and no server seed reaches the database or its log.
"""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from django.db import connection
from django.db.models import Max

from lottery import decision
from lottery.altered import Published, Versions, server_seed_of, stock_out_of
from lottery.decision import Decision
from lottery.models import Draw
from lottery.odds import TICKETS, OddsSheet

# What bounds the memory, here and there. A tenth of it costs 1 µs a draw more.
DRAWS_AT_ONCE = 200_000
_NEVER = 2**31  # more than a counter of draws can say

# The pairs that people drew with, and whether each of their draws has a nonce of its own. That none
# is beyond their number is seen below: there is no ticket for it.
_PAIRS = """
SELECT d.person_id, d.seed_pair_id, d.draws, p.server_seed_encrypted, p.server_seed_hash,
    p.client_seed,
    p.person_id = d.person_id AND p.next_nonce = d.draws AND d.nonces = d.draws AS fits
FROM (
    SELECT person_id, seed_pair_id, count(*) AS draws, count(DISTINCT nonce) AS nonces
    FROM lottery_draw
    WHERE person_id BETWEEN %(first)s AND %(last)s
    GROUP BY person_id, seed_pair_id
) AS d
LEFT JOIN lottery_seedpair AS p ON p.id = d.seed_pair_id
"""

# What draws say that they were decided by: few rows, however many draws there are. As JSON, since
# [1.0] is [1], and as text, since Python does not read all that is JSON.
_GROUNDS = """
SELECT version_id, stock_out::text
FROM (SELECT DISTINCT version_id, stock_out FROM lottery_draw) AS d
"""

# A draw fits one of the outcomes, or none. Only then draws are sorted, as narrow rows: each tells
# the next one of its person on its wheel how long a pity prize has been missing, the last one the
# counter. OFFSET 0 keeps the planner from sorting whole rows and comparing them afterwards.
_SUSPECTS = """
WITH judged AS (
    SELECT d.person_id, d.wheel_id, d.seed_pair_id, d.nonce, d.pity_before,
        CASE WHEN o.is_pity_prize THEN 0 ELSE d.pity_before::bigint + 1 END AS pity_after,
        d.ticket BETWEEN o.first_ticket AND o.last_ticket
            AND d.ticket = CASE WHEN d.nonce BETWEEN 0 AND t.draws - 1
                THEN (%(tickets)s::int[])[t.start + d.nonce] END
            AND d.pity_before BETWEEN o.least_pity AND o.most_pity
            AND d.near_miss = o.near_miss
            AND d.value_given = o.value_given
            AND d.cost_points = o.cost_points
            AND d.wheel_id = o.wheel_id
            AND CASE WHEN d.order_id IS NULL THEN NOT o.opens_order ELSE
                o.opens_order AND r.source = 'lottery' AND r.related_id = d.id::text
                AND r.person_id = d.person_id AND r.product_id IS NOT DISTINCT FROM o.product_id
                AND r.quantity = 1 AND r.product_name = o.name
                AND (o.product_id IS NOT NULL OR r.kind = o.kind)
                END AS fits
    FROM lottery_draw AS d
    LEFT JOIN json_to_recordset(%(outcomes)s) AS o (
        version_id bigint, stock_out jsonb, is_pity bool, landed_prize_id bigint, prize_id bigint,
        first_ticket int, last_ticket int, least_pity bigint, most_pity bigint,
        is_pity_prize bool, near_miss bool, value_given numeric, cost_points int, wheel_id bigint,
        opens_order bool, product_id bigint, name text, kind text
    ) USING (version_id, stock_out, is_pity, landed_prize_id, prize_id)
    LEFT JOIN unnest(%(pairs)s::bigint[], %(starts)s::int[], %(draws)s::int[])
        AS t (pair_id, start, draws) ON t.pair_id = d.seed_pair_id
    LEFT JOIN catalog_order AS r ON r.id = d.order_id
    WHERE d.person_id BETWEEN %(first)s AND %(last)s
    OFFSET 0
), followed AS (
    SELECT person_id, wheel_id, fits, pity_before, pity_after,
        lag(pity_after, 1, 0::bigint) OVER in_order AS pity_due,
        lead(false, 1, true) OVER in_order AS is_last
    FROM judged
    WINDOW in_order AS (PARTITION BY person_id, wheel_id ORDER BY seed_pair_id, nonce)
)
SELECT DISTINCT f.person_id
FROM followed AS f
LEFT JOIN lottery_pitycounter AS c
    ON f.is_last AND c.person_id = f.person_id AND c.wheel_id = f.wheel_id
WHERE f.fits IS NOT TRUE
    OR f.pity_before <> f.pity_due
    OR f.is_last AND c.current IS DISTINCT FROM f.pity_after
"""


def suspects(versions: Versions) -> Iterator[list[int]]:
    """Yield the ids of all people in whose draws something does not fit: in order, in parts."""
    outcomes = json.dumps(list(_outcomes(versions)))
    people = Draw.objects.order_by("person_id").values("person_id")
    part, first = people, -(2**63)
    while (last := part[:DRAWS_AT_ONCE].aggregate(last=Max("person_id"))["last"]) is not None:
        yield sorted(_suspects_among(first, last, outcomes))
        part, first = people.filter(person_id__gt=last), last + 1


def _suspects_among(first: int, last: int, outcomes: str) -> set[int]:
    among: dict[str, Any] = {"first": first, "last": last}
    found = set()
    pairs: list[int] = []
    starts: list[int] = []
    draws: list[int] = []
    tickets: list[int] = []
    with connection.cursor() as cursor:
        cursor.execute(_PAIRS, among)
        for person_id, pair_id, count, encrypted, seed_hash, client_seed, fits in cursor.fetchall():
            server_seed = server_seed_of(encrypted) if fits else None
            if server_seed is None or decision.hash_seed(server_seed) != seed_hash:
                found.add(person_id)
                continue
            pairs.append(pair_id)
            starts.append(len(tickets) + 1)  # an array of SQL begins with 1
            draws.append(count)
            tickets += decision.first_tickets(
                server_seed=server_seed, client_seed=client_seed, count=count
            )
        arrays = {"pairs": pairs, "starts": starts, "draws": draws, "tickets": tickets}
        among |= {name: _array(numbers) for name, numbers in arrays.items()}
        cursor.execute(_SUSPECTS, {**among, "outcomes": outcomes})
        return found.union(person_id for (person_id,) in cursor.fetchall())


def _array(numbers: Sequence[int]) -> str:
    """Numbers as PostgreSQL reads an array: at once, while a list becomes an expression of each."""
    return "{" + ",".join(map(str, numbers)) + "}"


# --- What a draw can come to --------------------------------------------------------------------
def _outcomes(versions: Versions) -> Iterator[dict[str, Any]]:
    """Every way in which a draw can end, by what draws say that they were decided by."""
    with connection.cursor() as cursor:
        cursor.execute(_GROUNDS)
        grounds = cursor.fetchall()
    for version_id, text in grounds:
        stock_out, published = stock_out_of(text), versions.get(version_id)
        if stock_out is not None and published is not None:
            yield from _outcomes_of(published, stock_out)


def _outcomes_of(published: Published, stock_out: list[float]) -> Iterator[dict[str, Any]]:
    """The rules are asked for each end, not said again; what is gone has to be scarce first."""
    sheet, version = published.sheet, published.version
    if not {prize.prize_id for prize in sheet.prizes if prize.is_scarce}.issuperset(stock_out):
        return
    for least_pity, most_pity in _ranges_of_pity(sheet):
        decide = partial(published.decide, pity_before=least_pity, gone=stock_out)
        for first_ticket, last_ticket, decided in _runs(decide):
            if decided is None or decided.stock_out != stock_out:
                continue
            given = decided.given
            yield {
                "version_id": version.pk,
                "stock_out": stock_out,
                "is_pity": decided.is_pity,
                "landed_prize_id": decided.landed.prize_id,
                "prize_id": given.prize_id,
                "first_ticket": first_ticket,
                "last_ticket": last_ticket,
                "least_pity": least_pity,
                "most_pity": most_pity,
                "is_pity_prize": given.is_pity_prize,
                "near_miss": decision.is_near_miss(sheet, given=given),
                "value_given": str(given.value),
                "cost_points": version.cost_points,
                "wheel_id": version.wheel_id,
                "opens_order": given.kind.opens_order,
                "product_id": given.product_id,
                "name": given.name,
                "kind": given.kind.product_kind,
            }


def _ranges_of_pity(sheet: OddsSheet) -> Iterator[tuple[int, int]]:
    """From how many to how many draws before it a draw is one without pity, and one with."""
    first = bisect_left(
        range(_NEVER), True, key=lambda before: decision.is_pity_draw(sheet, pity_before=before)
    )
    if first > 0:
        yield 0, first - 1
    if first < _NEVER:
        yield first, _NEVER - 1


def _runs(decide: Callable[..., Decision | None]) -> Iterator[tuple[int, int, Decision | None]]:
    """First and last ticket of each run of tickets that come to the same, found by halving.

    Prizes follow each other by angle as tickets grow, so that none comes up twice.
    """
    first = 0
    while first < TICKETS:
        decided = decide(ticket=first)
        differs = partial(_differs, decide, decided)
        end = bisect_left(range(TICKETS), True, lo=first, key=differs)
        yield first, end - 1, decided
        first = end


def _differs(decide: Callable[..., Decision | None], decided: Decision | None, ticket: int) -> bool:
    return decide(ticket=ticket) != decided
