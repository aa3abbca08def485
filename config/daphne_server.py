"""The embedded set-up's server: daphne, which leaves the bodies of requests to Django."""

from typing import Any

from daphne import http_protocol
from daphne.server import Server

from config.handlers import MOST_BYTES


class PlainRequest(http_protocol.WebRequest):  # type: ignore[misc]  # daphne is not typed
    """A request whose body nobody looks into before Django does.

    Twisted would parse a form on the event loop, whole and in memory (15 times its size was
    measured), before sign-in or a limit could refuse it, and answer a broken one by itself.
    """

    received = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options, parsePOSTFormSubmission=False)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  twisted's name
        """Keep what comes in, on disk when it is large, up to MOST_BYTES."""
        self.received += len(data)
        if self.received <= MOST_BYTES:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802
        """Hand the whole request on, with the length of its body and no more than is wanted."""
        if self.received > MOST_BYTES:
            self.content.seek(0)
            self.content.truncate()
        if self.received and not self.requestHeaders.hasHeader(b"content-length"):
            # A chunked body: Django and DRF take one without a length for an empty one.
            length = str(self.received).encode()
            self.requestHeaders.setRawHeaders(b"content-length", [length])
        super().requestReceived(command, path, version)


class EmbeddedServer(Server):  # type: ignore[misc]  # daphne is not typed
    """Daphne with requests of the kind above."""

    def run(self) -> None:
        """Serve until a signal; returns when everything is closed."""
        # Daphne's factory names its request class in its own module and has no setting for it.
        http_protocol.WebRequest = PlainRequest
        super().run()
