"""What a process of the peer keeps: connections, keys, sheets, who asked how often."""

import asyncio
import json
import os
import time
from collections import deque
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.numeric import Int8BinaryDumper
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from bench.peer.keys import Keys
from bench.peer.refusals import Refusal, too_many_requests
from bench.peer.wheels import Sheet

CHANNEL = "peer"
# What its sockets hear; elsewhere when the bench tells them itself, to know when it did.
HEARD = os.environ.get("PEER_HEARS", CHANNEL)
REQUESTS_A_MINUTE = int(os.environ.get("PEER_REQUESTS_PER_PERSON", "600"))
IDS_AT_ONCE = 100

SESSION = """
SELECT session.revoked_at, person.status FROM accounts_devicesession AS session
JOIN accounts_user AS person ON person.id = session.user_id
WHERE session.id = %(session_id)s AND session.user_id = %(person_id)s
"""
VERSION = """
SELECT id, wheel_id, cost_points, daily_limit, pity_threshold, fallback_prize_id, prizes
FROM lottery_wheelversion WHERE id = %(version_id)s
"""
ORDER_IDS = """
SELECT nextval(pg_get_serial_sequence('catalog_order', 'id')) AS id
FROM generate_series(1, %(many)s)
"""


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    # One type for every whole number: by their size, one statement would be prepared many times.
    connection.adapters.register_dumper(int, Int8BinaryDumper)
    connection.prepare_threshold = 0
    connection.prepared_max = None


class Peer:
    """Everything that requests share."""

    def __init__(self, *, database_url: str, redis_url: str, connections: int) -> None:
        self.keys = Keys()
        self.pool = AsyncConnectionPool(
            database_url,
            min_size=connections,
            max_size=connections,
            open=False,
            configure=_configure,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                # What the platform sets, and 5 seconds for a twin that runs (1015).
                "options": "-c statement_timeout=30s -c lock_timeout=5s"
                " -c idle_in_transaction_session_timeout=60s",
            },
        )
        self.redis = Redis.from_url(redis_url)
        self.publisher = Publisher(self.redis)
        self.sheets: dict[int, Sheet] = {}
        self._order_ids: deque[int] = deque()
        self._asked: dict[int, int] = {}
        self._minute = 0

    async def open(self) -> None:
        await self.pool.open(wait=True)

    async def close(self) -> None:
        await self.publisher.flush()
        await self.pool.close()
        await self.redis.aclose()

    def count_request(self, person_id: int) -> None:
        """Refuse whoever asks too often in one minute of the clock. Raises Refusal."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._asked = minute, {}
        asked = self._asked.get(person_id, 0) + 1
        self._asked[person_id] = asked
        if asked > REQUESTS_A_MINUTE:
            raise too_many_requests()

    async def sign_in(self, connection: Any, header: str | None) -> int:
        """The person of a token, whose sign-in and account still live. Raises Refusal."""
        person_id, session_id = self.keys.read_token(header)
        found = await connection.execute(
            SESSION, {"session_id": session_id, "person_id": person_id}
        )
        check_session(await found.fetchone())
        self.count_request(person_id)
        return person_id

    async def sheet(self, connection: Any, version_id: int) -> Sheet:
        if version_id not in self.sheets:
            found = await connection.execute(VERSION, {"version_id": version_id})
            self.sheets[version_id] = Sheet(await found.fetchone())
        return self.sheets[version_id]

    async def new_order_id(self, connection: Any) -> int:
        """The id of an order before it is written, since its answer is written with it."""
        if not self._order_ids:
            found = await connection.execute(ORDER_IDS, {"many": IDS_AT_ONCE})
            self._order_ids.extend([row["id"] for row in await found.fetchall()])
        return self._order_ids.popleft()


class Publisher:
    """Tells every process's sockets what was committed, in order, and lets no request wait."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[bytes] = []
        self._drain: asyncio.Task[None] | None = None

    def put(self, message: dict[str, Any], *, owner_id: int | None = None) -> None:
        text = json.dumps(message, separators=(",", ":"))
        self._waiting.append(json.dumps({"owner_id": owner_id, "text": text}).encode())
        if self._drain is None or self._drain.done():
            self._drain = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            async with self._redis.pipeline(transaction=False) as pipeline:
                for message in batch:
                    pipeline.publish(CHANNEL, message)
                await pipeline.execute()

    async def flush(self) -> None:
        if self._drain is not None:
            await self._drain


def check_session(row: dict[str, Any] | None) -> None:
    """Raise Refusal unless the sign-in is there, its account open and it was not ended."""
    if row is None:
        raise Refusal(1006, 401)
    if row["status"] != "active":
        raise Refusal(1005, 403)
    if row["revoked_at"] is not None:
        raise Refusal(1006, 401)
