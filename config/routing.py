"""WebSockets, and HTTP as well in the embedded set-up, where daphne serves both."""

from typing import Any, cast

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import WebsocketDenier

from config.handlers import HttpOnASGI

# First of all: the imports below need it.
django.setup(set_prefix=False)
http = HttpOnASGI()

from django.conf import settings  # noqa: E402
from django.http.request import split_domain_port, validate_host  # noqa: E402
from django.urls import re_path  # noqa: E402

from accounts.consumers import RealtimeConsumer  # noqa: E402
from ops.api.exception_handler import answer_outside  # noqa: E402


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


class KnownOrigin:
    """Refuses at the handshake a page of another site. A native app sends no Origin and may in."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        is_known = origin is None or _is_ours(origin.decode("latin-1"), headers.get(b"host", b""))
        chosen = self.application if is_known else WebsocketDenier.as_asgi()
        return await chosen(scope, receive, send)


def _is_ours(origin: str, host: bytes) -> bool:
    """Whether a page of this origin came from this host and port, or is let in by a setting."""
    if origin in settings.CORS_ALLOWED_ORIGINS:
        return True
    name = host.decode("latin-1")
    is_same = origin in {f"http://{name}", f"https://{name}"}
    return is_same and validate_host(split_domain_port(name)[0], settings.ALLOWED_HOSTS)


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": KnownOrigin(
            URLRouter(
                [
                    re_path(r"^ws/?$", RealtimeConsumer.as_asgi()),
                    re_path(r"", cast("Any", no_socket)),  # URLRouter takes applications for views
                ]
            ),
        ),
    }
)
