"""Rules, readings and channels for tests of alerts; and a server that takes what they send."""

import json
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

from ops.models import AlertChannel, AlertRule, ChannelKind
from ops.monitoring import channels, samples
from ops.monitoring.series import Series

NOW = datetime(2026, 11, 26, 4, 0, tzinfo=UTC)  # noon in Shanghai
NOWHERE = "http://127.0.0.1:9/hook"
_numbers = count(1)


def later(**span):
    return NOW + timedelta(**span)


def make_rule(**fields):
    facts = {
        "name": f"Rule {next(_numbers)}",
        "metric": "platform_disk_free_bytes",
        "comparison": "above",
        "threshold": 100,
    }
    return AlertRule.objects.create(**facts | fields)


def make_channel(address=NOWHERE, kind=ChannelKind.WEBHOOK, **fields):
    facts = {"name": f"Channel {next(_numbers)}", "kind": kind, **channels.sealed(address)}
    return AlertChannel.objects.create(**facts | fields)


def says(value, *, at, metric="platform_disk_free_bytes", host="one", **labels):
    """Let a machine read this value of a metric at this moment."""
    samples.keep({Series.of(metric, labels): value}, host=host, now=at)


class Taken(BaseHTTPRequestHandler):
    server: "Catcher"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.taken.append((self.path, json.loads(body or "null"), dict(self.headers)))
        self.server.arrived.release()
        if self.server.hangs:
            self.server.released.wait(30)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        answer = self.server.answer
        if not isinstance(answer, bytes):
            answer = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815  the names are those of http.server

    def log_message(self, *_arguments):
        pass


class Catcher(ThreadingHTTPServer):
    """Takes what is sent to it: path, JSON and headers, in `taken`."""

    daemon_threads = True

    def __init__(self, *, hangs=False, statuses=(), answer=None, location="", certificate=None):
        super().__init__(("127.0.0.1", 0), Taken)
        self.taken, self.hangs, self.statuses = [], hangs, list(statuses)
        self.location = location
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.file, certificate.key_file)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answer = {"ok": True} if answer is None else answer
        self.arrived, self.released = threading.Semaphore(0), threading.Event()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def address(self):
        return f"{self.base}/hook?token=s3cret"

    def handle_error(self, request, client_address):
        """A client that went away is no error of ours."""

    def waits_for_one(self, seconds=20):
        """Whether one more arrives in time."""
        return self.arrived.acquire(timeout=seconds)


@contextmanager
def catcher(**facts):
    server = Catcher(**facts)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
