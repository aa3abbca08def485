"""The peer as a server: `uvicorn bench.peer.app:app`, one process, uvloop and httptools.

DATABASE_URL, REDIS_URL and the keys are those of the platform; it serves what the bench asks for.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from bench.peer import exchange, few, reads, steps
from bench.peer.asked import Answered, Asked
from bench.peer.entries import fingerprint_of
from bench.peer.refusals import Refusal
from bench.peer.sockets import Sockets
from bench.peer.state import Peer

CONNECTIONS = int(os.environ.get("PEER_CONNECTIONS", "16"))
OK = b'{"code":0,"msg":"success","data":'

type Once = Callable[[Peer, Asked], Awaitable[Answered]]
type Handler = Callable[[Request], Awaitable[Response]]


def make_app() -> Starlette:
    """The peer, on the servers that the environment names."""
    peer = Peer(
        database_url=os.environ["DATABASE_URL"],
        redis_url=os.environ["REDIS_URL"],
        connections=CONNECTIONS,
    )
    sockets = Sockets(peer)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await peer.open()
        await sockets.open()
        yield
        await sockets.close()
        await peer.close()

    def once(effect: Once) -> Handler:
        """A POST that has its effect once per Idempotency-Key."""

        async def handle(request: Request) -> Response:
            read = peer.keys.read_token(request.headers.get("authorization"))
            peer.count_request(read[0])
            body = orjson.loads(await request.body() or b"{}")
            asked = Asked(
                person_id=read[0],
                session_id=read[1],
                # One address of the platform's, whichever form answers.
                path=request.url.path.removesuffix("/steps"),
                key=request.headers["idempotency-key"],
                fingerprint=fingerprint_of(body),
                body=body,
            )
            answered = await effect(peer, asked)
            headers = {"Idempotent-Replay": "true"} if answered.is_replay else {}
            return _ok(answered.data, headers)

        return _refusing(handle)

    async def config(request: Request) -> Response:
        async with peer.pool.connection() as connection:
            person_id = await _person(connection, request)
            return _answer(await reads.wheel_config(peer, connection, person_id))

    async def mall(request: Request) -> Response:
        async with peer.pool.connection() as connection:
            person_id = await _person(connection, request)
            page = await reads.mall(
                peer,
                connection,
                person_id,
                cursor=request.query_params.get("cursor", ""),
                base=str(request.base_url).rstrip("/"),
            )
            return _answer(page)

    async def ledger(request: Request) -> Response:
        async with peer.pool.connection() as connection:
            person_id = await peer.sign_in(connection, request.headers.get("authorization"))
            cursor = request.query_params.get("cursor", "")
            return _answer(await reads.ledger(peer, connection, person_id, cursor=cursor))

    async def empty(request: Request) -> Response:
        async with peer.pool.connection() as connection:
            await peer.sign_in(connection, request.headers.get("authorization"))
        return _answer({"items": [], "next": None})

    async def _person(connection: Any, request: Request) -> int | None:
        header = request.headers.get("authorization")
        return None if header is None else await peer.sign_in(connection, header)

    async def socket(websocket: WebSocket) -> None:
        await sockets.serve(websocket)

    async def health(_request: Request) -> Response:
        return _answer(None)

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/health", health),
            Route("/api/lottery/draw", once(few.draw), methods=["POST"]),
            Route("/api/lottery/draw/steps", once(steps.draw), methods=["POST"]),
            Route("/api/exchange/submit", once(exchange.exchange), methods=["POST"]),
            Route("/api/lottery/config", _refusing(config)),
            Route("/api/exchange/products", _refusing(mall)),
            Route("/api/user/points", _refusing(ledger)),
            Route("/api/empty", _refusing(empty)),
            WebSocketRoute("/ws/", socket),
        ],
    )


def _refusing(handle: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handle(request)
        except Refusal as refusal:
            body = orjson.dumps({"code": refusal.code, "msg": "", "data": None})
            return Response(body, refusal.status, media_type="application/json")

    return answer


def _answer(data: Any) -> Response:
    return _ok(orjson.dumps(data), {})


def _ok(data: bytes, headers: dict[str, str]) -> Response:
    body = b"".join((OK, data, b"}"))
    return Response(body, media_type="application/json", headers=headers)


def __getattr__(name: str) -> Any:
    # Made when a server asks for it: tests import this module without one.
    if name == "app":
        return make_app()
    raise AttributeError(name)
