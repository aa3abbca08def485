"""Errors as a Sentry-compatible server receives them, from a process of their own."""

import gzip
import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from config.tests.test_settings import SECURE, manage
from ops.logs import sentry

HANGS = 60  # seconds, of a server that does not answer
ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef0123456789abcdef"


class Catcher(ThreadingHTTPServer):
    """Keeps the envelopes that it is sent; one that hangs answers nothing until it is released."""

    def __init__(self, *, hangs=False):
        super().__init__(("127.0.0.1", 0), _Taking)
        self.envelopes = []
        self.released = threading.Event()
        if not hangs:
            self.released.set()

    @property
    def dsn(self):
        return f"http://{KEY}@127.0.0.1:{self.server_port}/7"


class _Taking(BaseHTTPRequestHandler):
    server: Catcher

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.envelopes.append((self.path, dict(self.headers), body))
        self.server.released.wait(HANGS)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_facts):
        """Say nothing."""


@contextmanager
def catching(**options):
    server = Catcher(**options)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


FAIL = """
import logging, sys, time, django
django.setup()
from ops.request_id import current
current.set("abcdef-1")

def sign_in(phone, nickname):
    secret_local = "local-" + phone
    raise LookupError(f"token={phone} of {phone}, called {nickname!r}")

logging.getLogger("probe").warning("a bread" + "crumb of %s", "13700000001")
try:
    sign_in("13700000001", "Li at" + " home")
except LookupError:
    logging.getLogger("probe").exception("It failed for %s", "Li at" + " home")
logging.getLogger("probe").error("no tr" + "ace")
begun = time.monotonic()
for _time in range(300):
    try:
        sign_in("13700000001", "x")
    except LookupError:
        logging.getLogger("probe").exception("It failed again")
print(time.monotonic() - begun)
from ops.logs import sentry
begun = time.monotonic()
sentry.leave()
print(time.monotonic() - begun)
"""


def run(tmp_path, dsn, script=FAIL):
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATA_DIR": str(tmp_path),
            "SENTRY_DSN": dsn,
            "SENTRY_ENVIRONMENT": "a-test",
            "VERSION": "2026.11.1",
            "DATABASE_URL": "",
            "REDIS_URL": "",
            "PATH": "",
        },
        capture_output=True,
        text=True,
        timeout=2 * HANGS,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return [float(line) for line in finished.stdout.split()]


def events_of(server):
    """The events in the envelopes, and all that was sent as one text."""
    events = []
    for path, _headers, body in server.envelopes:
        assert path == "/api/7/envelope/"
        lines = body.splitlines()
        for head, item in zip(lines[1::2], lines[2::2], strict=True):
            if json.loads(head)["type"] == "event":
                events.append(json.loads(item))
    return events, b"".join(body for _path, _headers, body in server.envelopes).decode()


def test_an_error_arrives_without_anything_of_anybody(tmp_path):
    with catching() as server:
        run(tmp_path, server.dsn)
        events, text = events_of(server)
    event = events[0]
    assert KEY in server.envelopes[0][1]["X-Sentry-Auth"]
    assert (event["environment"], event["release"]) == ("a-test", "2026.11.1")
    assert event["level"] == "error"
    (exception,) = event["exception"]["values"]
    assert exception["type"] == "LookupError"
    assert exception["value"] == "token=*** of 137****0001, called '***'"
    frames = [frame["function"] for frame in exception["stacktrace"]["frames"]]
    assert frames[-1] == "sign_in"
    assert [frame for frame in exception["stacktrace"]["frames"] if "vars" in frame] == []
    assert event["tags"]["request_id"] == "abcdef-1"
    assert len(event["fingerprint"][0]) == 64
    for name in ("breadcrumbs", "user", "request", "extra", "modules", "server_name"):
        assert name not in event
    for value in ("13700000001", "Li at home", "local-1", "a breadcrumb", "no trace"):
        assert value not in text


@pytest.mark.parametrize("state", ["hanging", "away"])
def test_a_server_that_hangs_or_is_away_holds_nothing_up(tmp_path, state):
    with catching(hangs=state == "hanging") as server:
        dsn = server.dsn if state == "hanging" else f"http://{KEY}@127.0.0.1:9/7"
        logging_took, leaving_took = run(tmp_path, dsn)
    assert logging_took < HANGS / 2, "300 errors, none of which waits for the server"
    assert leaving_took < HANGS / 2
    assert sentry.SECONDS_TO_LEAVE <= 2


def test_without_a_dsn_the_library_is_not_even_imported(tmp_path):
    script = "import sys, django; django.setup(); print(int('sentry_sdk' in sys.modules))"
    assert run(tmp_path, "", script) == [0]
    assert run(tmp_path, f"http://{KEY}@127.0.0.1:9/7", script) == [1]


# --- The setting ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("dsn", "sentence"),
    [
        ("somewhere", "SENTRY_DSN is no DSN"),
        ("https://errors.example/7", "SENTRY_DSN is no DSN"),
        (f"https://{KEY}@errors.example", "SENTRY_DSN is no DSN"),
        (f"https://{KEY}@errors.example/project", "SENTRY_DSN is no DSN"),
        (f"ftp://{KEY}@errors.example/7", "SENTRY_DSN is no DSN"),
        (f"http://{KEY}@errors.example/7", "SENTRY_DSN reaches errors.example without TLS"),
    ],
)
def test_what_is_no_dsn_or_has_no_tls_stops_the_start(tmp_path, dsn, sentence):
    finished = manage(tmp_path, "check", **SECURE, SENTRY_DSN=dsn)
    assert finished.returncode == 1
    (line,) = finished.stderr.strip().splitlines()
    assert line.startswith(sentence)
    assert KEY not in line


@pytest.mark.parametrize(
    "dsn",
    [f"https://{KEY}@errors.example/7", f"https://{KEY}:old@errors.example:8443/a/b/7",
     f"http://{KEY}@127.0.0.1:9000/7"],
)  # fmt: skip
def test_what_is_one_is_taken(tmp_path, dsn):
    finished = manage(tmp_path, "check", **SECURE, SENTRY_DSN=dsn)
    assert finished.returncode == 0, finished.stderr
