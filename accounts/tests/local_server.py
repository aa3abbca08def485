"""A server of somebody else, played on loopback: each test says what it answers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

NEVER = 20  # seconds: longer than anybody waits for an answer


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Answer:
    """What comes back: JSON unless it is bytes."""

    body: Any
    status: int = 200
    content_type: str = "application/json"
    is_slow: bool = False  # byte by byte, so that no read ever times out

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


HANGS = Answer(b"")


@dataclass
class LocalServer:
    """What runs: its address, what it answers, and what it was asked."""

    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)
    base: str = ""
    is_over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def running(answer: Callable[[Asked], Answer]) -> Iterator[LocalServer]:
    """Serve on a port of its own until the block ends."""
    local = LocalServer(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            asked = Asked(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query, keep_blank_values=True)),
                dict(self.headers.items()),
                self.rfile.read(length),
            )
            local.asked.append(asked)
            said = local.answer(asked)
            if said is HANGS:
                local.is_over.wait(NEVER)
                return
            self.send_response(said.status)
            self.send_header("Content-Type", said.content_type)
            self.send_header("Content-Length", str(len(said.content)))
            self.send_header("Connection", "close")
            self.end_headers()
            if said.is_slow:
                for byte in said.content:
                    if local.is_over.wait(0.1):
                        return
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
            else:
                self.wfile.write(said.content)

        def do_GET(self) -> None:
            self.do_POST()

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                """Whoever asked has gone: that is what these tests are about."""

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    local.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield local
    finally:
        local.is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()
