"""What daphne answers by itself; tests/test_server.py tries the rest on a running server."""

import json
from typing import Any

import pytest
from twisted.web.http_headers import Headers

from config.daphne_server import PlainRequest


class NotingRequest(PlainRequest):
    """A request without a connection: it notes the answer."""

    def __init__(self, **headers: str) -> None:
        self.requestHeaders = Headers({name: [value] for name, value in headers.items()})
        self.replies: list[dict[str, Any]] = []

    def handle_reply(self, message: dict[str, Any]) -> None:
        self.replies.append(message)


@pytest.mark.parametrize(("status", "code"), [(400, 1017), (500, 1000), (503, 1503)])
def test_what_daphne_refuses_has_the_envelope_and_a_request_id(caplog, status, code):
    request = NotingRequest(**{"X-Request-ID": "abcdef-1", "Accept-Language": "en"})
    request.basic_error(status, b"Bad", "Something is wrong")
    start, body = request.replies
    headers = dict(start["headers"])
    answer = json.loads(body["body"])
    assert (start["status"], answer["code"]) == (status, code)
    assert answer["data"] == ({"request_id": "abcdef-1"} if code == 1000 else None)
    assert answer["msg"].isascii()
    assert headers[b"X-Request-ID"] == b"abcdef-1"
    assert headers[b"Content-Type"] == b"application/json"
    assert (b"Retry-After" in headers) == (status == 503)
    assert f"Refused with {status}" in caplog.text
