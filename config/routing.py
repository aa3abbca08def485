"""WebSockets, and HTTP as well in the embedded set-up, where daphne serves both."""

from typing import Any

import django

from config.handlers import HttpOnASGI

# First of all: the imports below need it.
django.setup(set_prefix=False)
http = HttpOnASGI()

from django.conf import settings  # noqa: E402
from django.http.request import split_domain_port, validate_host  # noqa: E402

from accounts.consumers import serve_socket  # noqa: E402
from ops.api.exception_handler import answer_outside  # noqa: E402

SOCKETS = ("/ws", "/ws/")


async def not_from_there(_scope: Any, _receive: Any, send: Any) -> None:
    """Refuse the handshake of a page of another site."""
    await send({"type": "websocket.close"})


async def no_socket(scope: Any, _receive: Any, send: Any) -> None:
    """Refuse the handshake where there is no socket: in the envelope, where the server can."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    answer = answer_outside(404, dict(scope["headers"]))
    await send(
        {
            "type": "websocket.http.response.start",
            "status": answer.status_code,
            "headers": [(name.lower().encode(), text.encode()) for name, text in answer.items()],
        }
    )
    await send({"type": "websocket.http.response.body", "body": answer.content})


def _is_ours(origin: str, host: bytes) -> bool:
    """Whether a page of this origin came from this host and port, or is let in by a setting."""
    if origin in settings.CORS_ALLOWED_ORIGINS:
        return True
    name = host.decode("latin-1")
    is_same = origin in {f"http://{name}", f"https://{name}"}
    return is_same and validate_host(split_domain_port(name)[0], settings.ALLOWED_HOSTS)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve a request, or a socket for as long as it is open.

    One function instead of a router in a router: what wraps a socket is kept while it is open.
    """
    match scope["type"]:
        case "http":
            await http(scope, receive, send)
        case "websocket":
            await _socket_for(scope)(scope, receive, send)
        case other:  # as of servers that ask about their own beginning and end
            raise ValueError(f"Nothing here serves {other!r}.")


def _socket_for(scope: Any) -> Any:
    """What answers a wish for a socket. A native app sends no Origin and may in."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")
    if origin is not None and not _is_ours(origin.decode("latin-1"), headers.get(b"host", b"")):
        return not_from_there
    is_there = scope["path"].removeprefix(scope.get("root_path", "")) in SOCKETS
    return serve_socket if is_there else no_socket
