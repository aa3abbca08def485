"""What the embedded server does with bodies before Django sees them, and how it will not start."""

import json
import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from tests.api import answer_of, data_of
from tests.live import Platform, new_platform, platform

FORM = "multipart/form-data"
CUSTOMER = {"phone": "13800138001", "code": "123456"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with new_platform(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def headers(running):
    return {"Authorization": f"Bearer {running.sign_in(CUSTOMER['phone']).token}"}


def most_memory(running: Platform) -> int:
    """The most memory the server ever held, in MB."""
    assert running.process is not None
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) // 1024


def test_a_broken_form_is_refused_in_the_envelope(running, headers):
    answer = httpx.post(
        f"{running.base}/api/photo/upload",
        content=b"garbage",
        headers={**headers, "Content-Type": FORM},
    )
    assert answer_of(answer) == (400, 1017, None)
    assert "X-Request-ID" in answer.headers


def test_a_large_form_is_refused_without_being_taken_into_memory(running, headers):
    before = most_memory(running)
    image = {"image": ("a.jpg", b"x" * 63 * 2**20)}
    codes = [
        answer_of(httpx.post(f"{running.base}{path}", files=image, headers=sent, timeout=60)).code
        for path, sent in (
            ("/api/photo/upload", headers),
            ("/api/photo/upload", {}),
            ("/api/nothing", {}),
        )
    ]
    assert codes == [5004, 1006, 1010]
    # Parsed by twisted, one of these took 1.3 GB.
    assert most_memory(running) - before < 400


def test_a_body_beyond_all_limits_is_refused_by_its_length(running, headers):
    answer = httpx.post(
        f"{running.base}/api/photo/upload", content=b"x" * 66 * 2**20, headers=headers, timeout=60
    )
    assert answer_of(answer) == (413, 1018, None)


def test_a_body_in_chunks_is_read(running):
    def chunks():
        yield b'{"phone": "13800138001", '
        yield b'"code": "123456"}'

    answer = httpx.post(
        f"{running.base}/api/auth/login",
        content=chunks(),
        headers={"Content-Type": "application/json"},
    )
    assert data_of(answer)["user_info"]["mobile"] == "138****8001"


def test_a_port_that_is_taken_is_said_in_a_sentence(running):
    finished = running.manage("serve")
    assert finished.returncode == 1
    assert f"127.0.0.1:{running.port}" in finished.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "away",
    [
        {"DATABASE_URL": "postgres://a:b@127.0.0.1:1/c", "DB_POOL_TIMEOUT": "1"},
        {"REDIS_URL": "redis://127.0.0.1:1/0"},
    ],
)
def test_a_server_that_is_away_is_said_in_a_sentence(tmp_path, away):
    finished = Platform(tmp_path, away).manage("serve")
    assert finished.returncode == 1
    assert "127.0.0.1" in finished.stderr or "1.00 sec" in finished.stderr
    assert "Traceback" not in finished.stderr


# --- What never becomes a request of Django's ----------------------------------------------------
def raw(running: Platform, *lines: bytes, body: bytes = b"") -> httpx.Response:
    """Send these bytes over a connection of their own; returns what came back of it."""
    head = b"\r\n".join([*lines, b"Host: localhost", b"Connection: close", b"", b""])
    received = b""
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        connection.sendall(head + body)
        while chunk := connection.recv(65536):
            received += chunk
    head, _empty, content = received.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    return httpx.Response(int(status.split()[1]), headers=headers, content=content)


JSON = b"Content-Type: application/json"
CHUNKED = b"Transfer-Encoding: chunked"
NEVER_A_REQUEST = {
    "no request line": [b"GET"],
    "a path beyond ASCII": [b"GET /api/\xff\xe4 HTTP/1.1"],
    "a query beyond ASCII": [b"GET /api/shops?search=\xff HTTP/1.1"],
    "NUL in a header": [b"GET /api/shops HTTP/1.1", b"X-A: a\0b"],
    "no name of a header": [b"GET /api/shops HTTP/1.1", b"X A: a"],
    "no header": [b"GET /api/shops HTTP/1.1", b"nothing"],
    "a header too long": [b"GET /api/shops HTTP/1.1", b"X-A: " + b"a" * 20_000],
    "too many headers": [b"GET /api/shops HTTP/1.1", *[b"X-A: a"] * 600],
    "a length that is none": [b"POST /api/auth/login HTTP/1.1", JSON, b"Content-Length: x"],
    "a length below 0": [b"POST /api/auth/login HTTP/1.1", JSON, b"Content-Length: -5"],
    "two lengths": [b"POST /api/auth/login HTTP/1.1", b"Content-Length: 1", b"Content-Length: 2"],
    "an unknown encoding": [b"POST /api/auth/login HTTP/1.1", JSON, b"Transfer-Encoding: gzip"],
}


@pytest.mark.parametrize("lines", NEVER_A_REQUEST.values(), ids=NEVER_A_REQUEST)
def test_what_is_no_http_is_refused_in_the_envelope_with_a_request_id(running, lines):
    answer = raw(running, *lines)
    assert answer_of(answer) == (400, 1017, None)
    assert f"[{answer.headers['X-Request-ID']}] Refused with 400" in running.output()


def test_a_broken_chunk_is_refused_in_the_envelope(running):
    lines = [b"POST /api/auth/login HTTP/1.1", JSON, CHUNKED]
    for body in (b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n"):
        answer = raw(running, *lines, body=body)
        assert answer_of(answer) == (400, 1017, None)
        assert answer.headers["X-Request-ID"]


def test_what_was_read_before_is_heeded(running):
    said = [b"X-Request-ID: abcdef-1", b"Accept-Language: en"]
    for lines in (
        [b"GET /api/shops HTTP/1.1", *said, b"X-A: a\0b"],
        [b"POST /api/auth/login HTTP/1.1", *said, b"Content-Length: x"],
    ):
        answer = raw(running, *lines)
        assert answer.headers["X-Request-ID"] == "abcdef-1"
        assert answer.json()["msg"] == "The body of the request cannot be read."


def test_a_content_type_that_cannot_be_read_is_no_failure(running):
    odd = b"Content-Type: application/json; x*=idna''%ff"
    assert data_of(raw(running, b"GET /api/shops HTTP/1.1", odd))["items"]
    answer = raw(running, b"POST /api/auth/login HTTP/1.1", odd, b"Content-Length: 2", body=b"{}")
    assert answer_of(answer) == (415, 1016, None)


def test_head_of_a_long_answer_has_no_body(running):
    answer = raw(running, b"HEAD /api/schema HTTP/1.1")
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) > 2 * 65536  # several pieces of daphne's
    assert answer.content == b""


# --- Sockets ------------------------------------------------------------------------------------
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def test_a_wish_for_a_socket_where_there_is_none_is_not_heeded(running, headers):
    def ask(path):
        return httpx.get(f"{running.base}{path}", headers={**headers, **UPGRADE})

    assert data_of(ask("/api/auth/verify"))["valid"]
    for path in ("/api/nothing", "/api/ws/", "/api/"):
        assert answer_of(ask(path)) == (404, 1010, None)
    assert "X-Request-ID" in ask("/api/nothing").headers
    assert ask("/ws/nothing").status_code == 404


@contextmanager
def listening(running: Platform, headers: dict[str, str]) -> Iterator[ClientConnection]:
    """A socket that has been greeted."""
    address = f"ws://127.0.0.1:{running.port}/ws/"
    with connect(address, additional_headers=headers, proxy=None, compression=None) as connection:
        assert json.loads(connection.recv(timeout=20))["type"] == "hello"
        yield connection


def closed_with(connection: ClientConnection) -> int | None:
    """The code in the frame with which the server closes."""
    try:
        while True:
            connection.recv(timeout=20)
    except ConnectionClosed as end:
        return end.rcvd.code if end.rcvd else None


@pytest.mark.parametrize("size", [2**20 + 1, 5 * 2**20])
def test_a_message_too_large_is_closed_with_1009(running, headers, size):
    with listening(running, headers) as connection:
        with suppress(ConnectionClosed):
            connection.send("x" * size)
        assert closed_with(connection) == 1009


def test_a_message_too_large_in_pieces_is_closed_with_1009(running, headers):
    with listening(running, headers) as connection:
        with suppress(ConnectionClosed):
            connection.send("x" * 2**18 for _ in range(5))
        assert closed_with(connection) == 1009


def test_a_text_that_is_not_utf_8_is_closed_with_1007(running, headers):
    with listening(running, headers) as connection:
        connection.socket.sendall(Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True))
        assert closed_with(connection) == 1007


def test_a_frame_against_the_protocol_is_closed_with_1002(running, headers):
    with listening(running, headers) as connection:
        connection.socket.sendall(Frame(Opcode.CONT, b"x").serialize(mask=True))
        assert closed_with(connection) == 1002


def test_too_many_messages_are_closed_with_1008(running, headers):
    with listening(running, headers) as connection:
        with suppress(ConnectionClosed):
            for _ in range(121):
                connection.send('{"type": "ping"}')
        assert closed_with(connection) == 1008


# --- SQLite has one writer at a time --------------------------------------------------------------
def test_a_twin_on_sqlite_is_told_so_after_five_seconds_and_nobody_else(tmp_path):
    with platform(tmp_path, DATABASE_URL="") as started:
        data_dir = Path(started.environment["DATA_DIR"])
        client = started.sign_in(CUSTOMER["phone"])
        wheel = client.get("/api/lottery/config")["wheel_id"]

        def draw(key):
            return answer_of(
                client.http.post(
                    "/api/lottery/draw", json={"wheel_id": wheel}, headers={"Idempotency-Key": key}
                )
            )

        with (
            ThreadPoolExecutor(3) as pool,
            closing(sqlite3.connect(data_dir / "db.sqlite3", autocommit=True)) as another_writer,
        ):
            another_writer.execute("BEGIN IMMEDIATE")
            asked = time.monotonic()
            pair = [pool.submit(draw, "twin"), pool.submit(draw, "twin")]
            stranger = pool.submit(draw, "another")
            (told, *_), waiting = wait(pair, return_when=FIRST_COMPLETED)
            waited = time.monotonic() - asked
            assert (told.result().code, told.result().status) == (1015, 409)
            assert 4 < waited < 10
            assert len(waiting) == 1
            assert not stranger.done()
            another_writer.execute("COMMIT")
            assert waiting.pop().result().code == stranger.result().code == 0
            another_writer.execute("BEGIN IMMEDIATE")
            pair = [pool.submit(draw, "quick"), pool.submit(draw, "quick")]
            another_writer.execute("COMMIT")
            first, second = (one.result() for one in pair)
            assert first == second
            assert first.code == 0
        assert draw("twin").code == 0
        assert len(client.get("/api/lottery/records")["items"]) == 3
