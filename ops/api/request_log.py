"""The line that ends a request: what was asked, who asked, how it was answered, what it took."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter, time

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from ops import request_context, request_id
from ops.api.renderer import EnvelopedResponse
from ops.logs import queries
from ops.logs.counts import count
from ops.logs.lines import REQUESTS, RequestLine, backlog
from ops.services import slow_requests

logger = logging.getLogger(REQUESTS)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SUCCESS = 0


class RequestLogMiddleware:
    """Writes a line for every request, and a warning for one that took too long.

    Everything that may be long happens inside. A slow request is counted as well: a rule compares
    the number.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        counting, begun = queries.begin(), perf_counter()
        response = self.get_response(request)
        seconds, tally = perf_counter() - begun, queries.end(counting)
        is_slow = seconds >= settings.SLOW_REQUEST_SECONDS
        if is_slow:
            count("slow_requests")
            slow_requests.note(
                route=request_context.route_of(request),
                request_id=request_id.current.get(),
                seconds=seconds,
            )
        if is_slow or (settings.LOG_REQUESTS and logger.isEnabledFor(logging.INFO)):
            method, route = request.method or "", request_context.route_of(request)
            line = RequestLine(
                time(),
                request_id.current.get(),
                request_context.person_id_of(request),
                request.__dict__.get("shop_id"),
                method if method in METHODS else "other",  # strangers may send any word
                route,
                response.status_code,
                code_of(response, route),
                seconds,
                tally.queries,
                is_slow,
            )
            is_failure = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
            backlog.add(line, is_urgent=is_slow or is_failure)
        return response


def code_of(response: HttpResponse, route: str) -> int | None:
    """The code of the envelope of an answer; None for what has no envelope."""
    if isinstance(response, EnvelopedResponse):
        code: int = response.data["code"]
        return code
    if not route.startswith("/api/") or response.status_code >= HTTPStatus.BAD_REQUEST:
        said = getattr(response, "envelope_code", None)
        return None if said is None else int(said)
    return SUCCESS
