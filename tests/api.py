"""The API as a client uses it: signed in, and reading the envelope by name."""

from typing import Any, NamedTuple

from rest_framework.test import APIClient

from accounts.models import User

KEYS = {"code", "msg", "data"}


class Answer(NamedTuple):
    """What a client reads of an answer."""

    status: int
    code: int
    data: Any


def client_of(person: User | None = None, **options: Any) -> APIClient:
    """A client signed in as somebody; a stranger's without a person."""
    client = APIClient(**options)
    if person is not None:
        client.force_authenticate(person)
    return client


def answer_of(response: Any) -> Answer:
    """The answer in the envelope, whatever it is."""
    envelope = response.json()
    assert set(envelope) == KEYS, envelope
    return Answer(response.status_code, envelope["code"], envelope["data"])


def data_of(response: Any) -> Any:
    """The data of a success."""
    envelope = response.json()
    assert (response.status_code, envelope["code"], envelope["msg"]) == (200, 0, "success"), (
        envelope
    )
    return answer_of(response).data


def refusal_of(response: Any) -> Answer:
    """A refusal, with all that every refusal has."""
    answer = answer_of(response)
    assert answer.code >= 1000, answer
    assert answer.status >= 400, answer
    assert response.json()["msg"]
    assert "X-Request-ID" in response
    if answer.status in (429, 503):
        assert int(response["Retry-After"]) >= 1
    return answer
