"""Who is acting, and from where: of the request or the command at hand."""

import contextvars
import getpass
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse

from ops import request_id
from ops.client_address import client_address


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person by their id, or whoever runs a command, by name and host of the system.

    `address` is where a request comes from, empty for a command.
    """

    person_id: int | None = None
    system_user: str = ""
    address: str = ""
    request_id: str = ""


_request: contextvars.ContextVar[HttpRequest | None] = contextvars.ContextVar(
    "request", default=None
)


def actor() -> Actor:
    """Who acts now: the person of the request at hand; without a request, whoever runs this."""
    request = _request.get()
    if request is None:
        return Actor(system_user=f"{_system_user()}@{socket.gethostname()}")
    # Read as late as this: the API finds out who it is when the view begins.
    person: Any = getattr(request, "user", None)
    return Actor(
        person_id=person.pk if person is not None else None,
        address=client_address(request),
        request_id=request_id.current.get(),
    )


def _system_user() -> str:
    try:
        return getpass.getuser()
    except OSError:  # a container may run under a number that has no name
        return str(os.getuid())


def request_at_hand() -> HttpRequest | None:
    """The request that is being served; None in a command and at a socket."""
    return _request.get()


@contextmanager
def serving(request: HttpRequest) -> Iterator[None]:
    """Say that what happens inside happens for this request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


class RequestContextMiddleware:
    """Lets services know, without being told by each view, for whose request they work."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with serving(request):
            return self.get_response(request)
