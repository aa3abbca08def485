"""Sockets: a greeting for whoever signs in, and what Redis brings, handed on to all of them."""

import asyncio
import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from bench.peer.entries import local
from bench.peer.refusals import Refusal
from bench.peer.state import HEARD, Peer

HEARTBEAT = 30
SOCKETS_PER_PERSON = 5
GREETING = """
SELECT session.revoked_at, person.status, person.total_points, person.points_version
FROM accounts_devicesession AS session JOIN accounts_user AS person ON person.id = session.user_id
WHERE session.id = %(session_id)s AND session.user_id = %(person_id)s
"""


class Sockets:
    """The sockets of this process."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._by_owner: dict[int, list[WebSocket]] = defaultdict(list)
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        subscription = self._peer.redis.pubsub()
        await subscription.subscribe(HEARD)
        self._listening = asyncio.create_task(self._listen(subscription))

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self, subscription: Any) -> None:
        async for message in subscription.listen():
            if message["type"] == "message":
                read = json.loads(message["data"])
                await self._hand_on(read["owner_id"], read["text"])

    async def _hand_on(self, owner_id: int | None, text: str) -> None:
        if owner_id is not None:
            sockets = list(self._by_owner.get(owner_id, ()))
        else:
            sockets = [socket for several in self._by_owner.values() for socket in several]
        message = {"type": "websocket.send", "text": text}
        for socket in sockets:
            if socket.application_state is WebSocketState.CONNECTED:
                await socket.send(message)

    async def serve(self, socket: WebSocket) -> None:
        """One socket from its handshake to its end."""
        offered = socket.scope["subprotocols"]
        has_token = bool(offered) and offered[0] == "bearer"
        header = f"bearer {offered[1]}" if has_token else socket.headers.get("authorization")
        await socket.accept(subprotocol="bearer" if has_token else None)
        try:
            person_id, session_id = self._peer.keys.read_token(header)
        except Refusal:
            await socket.close(4401)
            return
        mine = self._by_owner[person_id]
        mine.append(socket)
        if len(mine) > SOCKETS_PER_PERSON:
            await mine.pop(0).close(4429)
        try:
            async with self._peer.pool.connection() as connection:
                names = {"person_id": person_id, "session_id": session_id}
                row = await (await connection.execute(GREETING, names)).fetchone()
            if row is None or row["status"] != "active" or row["revoked_at"] is not None:
                await socket.close(4403)
                return
            await self._greet(socket, person_id, row)
            while True:
                if json.loads(await socket.receive_text()).get("type") == "ping":
                    await self._say(socket, "pong", {"server_time": local(datetime.now(UTC))})
        except WebSocketDisconnect:
            pass
        finally:
            if socket in mine:
                mine.remove(socket)

    async def _greet(self, socket: WebSocket, person_id: int, row: dict[str, Any]) -> None:
        data = {
            "user_id": person_id,
            "total_points": row["total_points"],
            "points_version": row["points_version"],
            "heartbeat": HEARTBEAT,
            "server_time": local(datetime.now(UTC)),
        }
        await self._say(socket, "hello", data)

    async def _say(self, socket: WebSocket, kind: str, data: dict[str, Any]) -> None:
        await socket.send_text(json.dumps({"type": kind, "data": data}, separators=(",", ":")))
