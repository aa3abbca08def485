"""Reading the envelope as a client does."""

STATUS = {
    1000: 500, 1001: 400, 1002: 401, 1003: 429, 1004: 429, 1005: 403, 1006: 401, 1007: 401,
    1009: 403, 1010: 404, 1011: 400, 1012: 405, 1013: 429, 1014: 422, 1015: 409, 1016: 415,
    1017: 400, 1018: 413, 1019: 400, 1503: 503, 4005: 409,
}  # fmt: skip


def data_of(response):
    """The data of a success."""
    envelope = response.json()
    assert response.status_code == 200, envelope
    assert set(envelope) == {"code", "msg", "data"}
    assert (envelope["code"], envelope["msg"]) == (0, "success")
    return envelope["data"]


def refused(response, code):
    """The data of a refusal with this code."""
    envelope = response.json()
    assert (envelope["code"], response.status_code) == (code, STATUS[code]), envelope
    assert set(envelope) == {"code", "msg", "data"}
    assert envelope["msg"]
    assert "X-Request-ID" in response
    if response.status_code in (429, 503):
        assert int(response["Retry-After"]) >= 1
    return envelope["data"]
