"""The embedded set-up's server: daphne, which leaves to us what its users read of it."""

from typing import Any, override

from daphne import http_protocol, server, ws_protocol
from django.http import HttpResponse
from twisted.web import http
from twisted.web.http_headers import Headers

from config.handlers import MOST_BYTES
from ops.api.exception_handler import answer_outside

SOCKETS = (b"/ws", b"/ws/")  # the only addresses that are sockets; all others are HTTP


def _refusal(status: int, headers: Headers) -> HttpResponse:
    """The answer to what never becomes a request of Django's, by what was read of its headers."""
    read = {name.lower(): values[0] for name, values in headers.getAllRawHeaders()}
    return answer_outside(status, read)


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

    def process(self) -> Any:
        """Serve it. A wish for a socket where there is none is no reason not to answer."""
        if self.path not in SOCKETS:
            self.requestHeaders.removeHeader(b"upgrade")
        return super().process()

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Pass the answer on; to HEAD without its body, which would be read as the next answer.

        Twisted leaves out the first piece alone when daphne hands it several.
        """
        if self.method == b"HEAD" and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        super().handle_reply(message)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Refuse in the envelope what daphne refuses by itself."""
        answer = _refusal(status, self.requestHeaders)
        headers = [(name.encode(), value.encode()) for name, value in answer.items()]
        self.handle_reply(
            {"type": "http.response.start", "status": answer.status_code, "headers": headers}
        )
        self.handle_reply({"type": "http.response.body", "body": answer.content})


class PlainChannel(http.HTTPChannel):
    """A connection on which what is no HTTP is refused in the envelope as well."""

    transport: Any  # connected by the time that there is anything to read

    @override
    def _respondToBadRequestAndDisconnect(self) -> None:
        """Refuse what cannot be read, by whatever of its headers was read before that."""
        answer = _refusal(400, self.requests[-1].requestHeaders if self.requests else Headers())
        answer["Content-Length"] = str(len(answer.content))
        answer["Connection"] = "close"
        head = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\r\n".encode()
        self.transport.write(head + answer.serialize_headers() + b"\r\n\r\n" + answer.content)
        self.loseConnection()  # type: ignore[no-untyped-call]

    @override
    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is too long, which twisted would drop without a word."""
        self._respondToBadRequestAndDisconnect()


class PlainSocket(ws_protocol.WebSocketProtocol):  # type: ignore[misc]  # daphne is not typed
    """A socket that may be closed with the codes of the protocol, as 1008, and not ours alone."""

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802  daphne's name
        """Close it, once."""
        self.sendCloseFrame(code=1000 if code is None else code)


class PlainSockets(ws_protocol.WebSocketFactory):  # type: ignore[misc]  # daphne is not typed
    """Sockets that say why they are closed, whatever their client sent: 1002, 1007 or 1009."""

    protocol = PlainSocket

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.setProtocolOptions(failByDrop=False)


class EmbeddedServer(server.Server):  # type: ignore[misc]  # daphne is not typed
    """Daphne with requests, connections and sockets of the kinds above."""

    def run(self) -> None:
        """Serve until a signal; returns when everything is closed."""
        # Daphne and twisted name their classes in their own modules and have no settings for them.
        http.HTTPChannel = PlainChannel  # type: ignore[misc]
        http_protocol.WebRequest = PlainRequest
        server.WebSocketFactory = PlainSockets
        super().run()
