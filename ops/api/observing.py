"""Each request observed once, by its route and never by its path: a count, and a line of the log.

Inside the request nothing is done but to note what it was. Whoever writes the lines, many at a time
and mostly a beat, counts them as well.
"""

from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter, time

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from ops import request_context, request_id
from ops.logs import queries
from ops.logs.counts import count
from ops.logs.lines import RequestLine, backlog
from ops.services import slow_requests

SUCCESS = 0
_CODE = "envelope_code"


def say_code(response: HttpResponse, code: int) -> None:
    """Let whoever observes the request know with which code a response refuses."""
    setattr(response, _CODE, code)


class ObservingMiddleware:
    """Counts each request, leaves its line, and tells of one that took too long.

    Everything that may be long happens inside; outside of it is only what says whose request it is.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        counting, begun = queries.begin(), perf_counter()
        response = self.get_response(request)
        seconds, statements = perf_counter() - begun, queries.end(counting)
        match = request.resolver_match
        route = match.route if match is not None else None
        status = response.status_code
        is_slow = seconds >= settings.SLOW_REQUEST_SECONDS
        if is_slow:
            count("slow_requests")
            slow_requests.note(
                route=request_context.route_of(request),
                request_id=request_id.current.get(),
                seconds=seconds,
            )
        line = RequestLine(
            time(),
            request_id.current.get(),
            request_context.person_id_of(request),
            request.__dict__.get("shop_id"),
            request.method or "",
            route,
            route is None and request.path_info.startswith(settings.STATIC_URL),
            status,
            code_of(response, route),
            seconds,
            statements,
            is_slow,
        )
        backlog.add(line, is_urgent=is_slow or status >= HTTPStatus.INTERNAL_SERVER_ERROR)
        return response


def code_of(response: HttpResponse, route: str | None) -> int | None:
    """The code of the envelope of an answer; None for what has no envelope."""
    code: int | None = getattr(response, _CODE, None)
    if code is None and route is not None and route.startswith("api/"):
        # Every refusal of the API says its code.
        return SUCCESS if response.status_code < HTTPStatus.MULTIPLE_CHOICES else None
    return code
