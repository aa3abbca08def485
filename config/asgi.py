"""WebSockets, and HTTP as well in the embedded set-up, where daphne serves both."""

import os
from typing import Any, override

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator, WebsocketDenier
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# First of all: it sets Django up, which the imports below need.
http = get_asgi_application()

from django.conf import settings  # noqa: E402
from django.urls import re_path  # noqa: E402

from accounts.consumers import RealtimeConsumer  # noqa: E402


class KnownOrigin(OriginValidator):  # type: ignore[misc]  # channels is not typed
    """Refuses at the handshake a page of another site. A native app sends no Origin and may in."""

    @override
    def valid_origin(self, parsed_origin: Any) -> bool:
        return parsed_origin is None or bool(super().valid_origin(parsed_origin))


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": KnownOrigin(
            URLRouter(
                [
                    re_path(r"^ws/?$", RealtimeConsumer.as_asgi()),
                    re_path(r"", WebsocketDenier.as_asgi()),
                ]
            ),
            [*settings.ALLOWED_HOSTS, *settings.CORS_ALLOWED_ORIGINS],
        ),
    }
)
