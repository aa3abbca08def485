"""Requests as servers hand them to Django, without any server: WSGI and ASGI spoken directly."""

import io
import json
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import RequestFactory

from catalog.tests.factories import make_product
from config.handlers import MOST_BYTES, HttpOnASGI, HttpOnWSGI

LOGIN = "/api/auth/login"
GOOD = b'{"phone": "13800138001", "code": "123456"}'
JSON = "application/json"
UNREADABLE = [
    f"{JSON}; x*=idna''%ff",
    f"{JSON}; x*=nothing''%ff",
    "multipart/form-data; boundary*=idna''x",
    f"{JSON}; {'a' * 20_000}=1",
]


@pytest.fixture(autouse=True)
def kept_connection():
    """The connection of a test outlives its requests, as in Django's own client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


class Chunks:
    """What a server hands over as a body in chunks: read it until nothing comes, no length."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.taken = 0

    def readline(self) -> bytes:
        raise AssertionError("The body is read in pieces of a size.")

    def read(self, size: int = -1) -> bytes:
        if not self.chunks:
            return b""
        chunk = self.chunks.pop(0)
        assert size >= 0
        if len(chunk) > size:
            self.chunks.insert(0, chunk[size:])
        self.taken += len(chunk[:size])
        return chunk[:size]


def ask(path: str, body: Any = None, method: str = "POST", **environ: Any) -> tuple[int, Any]:
    """Ask the WSGI application as granian 2.8 does; returns the HTTP status and the answer."""
    said: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        said["status"], said["headers"] = int(status[:3]), dict(headers)

    response = HttpOnWSGI()(
        {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": Chunks() if body is None else body,
            "wsgi.errors": io.StringIO(),
            "wsgi.input_terminated": True,
            **environ,
        },
        start_response,
    )
    assert "X-Request-ID" in said["headers"]
    return said["status"], json.loads(b"".join(response))


# --- A body in chunks ---------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("chunks", [(GOOD,), (GOOD[:9], GOOD[9:]), tuple(bytes([x]) for x in GOOD)])
def test_a_body_in_chunks_is_read(chunks):
    status, answer = ask(
        LOGIN, Chunks(*chunks), CONTENT_TYPE=JSON, HTTP_TRANSFER_ENCODING="chunked"
    )
    assert (status, answer["code"]) == (200, 0)
    assert answer["data"]["user_info"]["mobile"] == "138****8001"


@pytest.mark.django_db
def test_a_body_with_a_length_is_read_as_before():
    status, answer = ask(LOGIN, io.BytesIO(GOOD), CONTENT_TYPE=JSON, CONTENT_LENGTH=str(len(GOOD)))
    assert (status, answer["code"]) == (200, 0)


@pytest.mark.django_db
def test_a_server_that_does_not_end_its_input_is_not_read_without_a_length():
    never_ending = Chunks(GOOD)
    unsaid: dict[str, Any] = {"wsgi.input_terminated": False}
    _status, answer = ask(LOGIN, never_ending, CONTENT_TYPE=JSON, **unsaid)
    assert answer["code"] == 1001
    assert never_ending.taken == 0


@pytest.mark.django_db
def test_no_body_is_an_empty_one():
    assert ask("/api/shops", method="GET")[1]["code"] == 0
    assert ask(LOGIN)[1]["code"] == 1001


@pytest.mark.django_db
def test_a_body_in_chunks_beyond_all_limits_is_refused_and_not_read_on():
    piece = b"x" * 2**20
    body = Chunks(*[piece] * 80)
    status, answer = ask(LOGIN, body, CONTENT_TYPE=JSON)
    assert (status, answer["code"]) == (413, 1018)
    assert body.taken <= MOST_BYTES + len(piece)


# --- A Content-Type that cannot be read ---------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize("content_type", UNREADABLE, ids=lambda one: one[:40])
def test_a_content_type_that_cannot_be_read_is_no_failure(content_type):
    status, answer = ask(
        LOGIN, io.BytesIO(GOOD), CONTENT_TYPE=content_type, CONTENT_LENGTH=str(len(GOOD))
    )
    assert (status, answer["code"]) == (415, 1016)
    assert ask("/api/shops", method="GET", CONTENT_TYPE=content_type)[1]["code"] == 0


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["idna", "bz2_codec", "utf-16"])
def test_the_charset_of_a_body_says_nothing_of_the_address(charset):
    tea = make_product(name="茶")
    make_product(name="Cup")
    asked = {"QUERY_STRING": "search=%E8%8C%B6", "CONTENT_TYPE": f"{JSON}; charset={charset}"}
    status, answer = ask("/api/exchange/products", method="GET", **asked)
    assert status == 200
    assert [item["commodity_id"] for item in answer["data"]["items"]] == [tea.pk]


# --- The same on ASGI ---------------------------------------------------------------------------
async def ask_on_asgi(path, *chunks, method="GET", content_type=JSON, **headers):
    """Ask the ASGI application as uvicorn does; returns the HTTP status and the answer."""
    said = {"host": "localhost", "content-type": content_type, **headers}
    asked = ApplicationCommunicator(
        HttpOnASGI(),
        {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in said.items()],
        },
    )
    for chunk in chunks:
        await asked.send_input({"type": "http.request", "body": chunk, "more_body": True})
    await asked.send_input({"type": "http.request", "body": b""})
    start, body = await asked.receive_output(20), await asked.receive_output(20)
    await asked.wait(20)
    return start["status"], json.loads(body["body"])


@pytest.mark.parametrize("content_type", UNREADABLE, ids=lambda one: one[:40])
async def test_nor_is_it_one_on_asgi(content_type):
    status, answer = await ask_on_asgi("/api/nothing", content_type=content_type)
    assert (status, answer["code"]) == (404, 1010)


@pytest.mark.django_db
async def test_a_body_in_chunks_is_read_on_asgi():
    for chunks, code in (
        ((), 1001),
        ((b'{"phone": "13800138001"', b"}"), 1002),
        ((b'{"phone": ', b"13"), 1017),
    ):
        _status, answer = await ask_on_asgi(LOGIN, *chunks, method="POST")
        assert answer["code"] == code


def test_what_a_process_begins_with_is_done_once_before_its_first_request(db):
    """Not when it is made: a server may import first and fork then."""
    done = []
    handler = HttpOnWSGI(lambda: done.append("pulse"))
    assert done == []
    for _request in range(2):
        asked = RequestFactory().get("/api/nothing").environ
        assert b"1010" in b"".join(handler(asked, lambda *_answer: None))
        assert done == ["pulse"]
