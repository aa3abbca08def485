"""Which HTTP status travels with which code, as the contract of the API lists them."""

from typing import Any

from tests.api import refusal_of

STATUS = {
    1000: 500, 1001: 400, 1002: 401, 1003: 429, 1004: 429, 1005: 403, 1006: 401, 1007: 401,
    1009: 403, 1010: 404, 1011: 400, 1012: 405, 1013: 429, 1014: 422, 1015: 409, 1016: 415,
    1017: 400, 1018: 413, 1019: 400, 1503: 503, 3004: 400, 4005: 409, 5002: 400,
}  # fmt: skip


def refused(response: Any, code: int) -> Any:
    """The data of a refusal with this code, and with the status that belongs to it."""
    answer = refusal_of(response)
    assert (answer.code, answer.status) == (code, STATUS[code]), answer
    return answer.data
