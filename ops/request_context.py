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
from django.utils.functional import LazyObject, empty

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


def known_person_id() -> int | None:
    """The id of the person of the request at hand as far as it is known: nobody is asked for it."""
    request = _request.get()
    return None if request is None else person_id_of(request)


def person_id_of(request: HttpRequest) -> int | None:
    """The id of the person of a request as far as it is known; no session is opened for it."""
    person: Any = request.__dict__.get("user")
    if isinstance(person, LazyObject) and person.__dict__.get("_wrapped") is empty:
        return None
    return getattr(person, "pk", None)


def at_shop(shop_id: int | None) -> None:
    """Say at which shop the request at hand is at work, for lines of the log; None says nothing."""
    request = _request.get()
    if request is not None and shop_id is not None:
        request.shop_id = shop_id  # type: ignore[attr-defined]


def known_shop_id() -> int | None:
    """The shop that the request at hand is about, where somebody said it."""
    request = _request.get()
    return None if request is None else request.__dict__.get("shop_id")


def known_route() -> str:
    """The pattern of the address of the request at hand; empty where there is none."""
    request = _request.get()
    return "" if request is None else route_of(request)


def route_of(request: HttpRequest) -> str:
    """The pattern of an address, never the address: that may have anything in it."""
    match = request.resolver_match
    return f"/{match.route}" if match else ""


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
