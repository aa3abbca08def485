"""Every request counted: by its route, never by its path."""

import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from ops.metrics import REQUEST_SECONDS, REQUESTS

NO_ROUTE = "none"
_CODE = "envelope_code"


def say_code(response: HttpResponse, code: int) -> None:
    """Let the count know with which code a response refuses."""
    setattr(response, _CODE, str(code))


class MeasuringMiddleware:
    """Counts each request when it is answered, and how long that took. The outermost of all."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begun = time.perf_counter()
        response = self.get_response(request)
        found = request.resolver_match
        route = found.route if found is not None else _without_route(request)
        method = request.method or ""
        code = getattr(response, _CODE, None)
        if code is None:
            code = "0" if _is_enveloped(request, response) else ""
        REQUESTS.add(1, route, method, str(response.status_code), code)
        REQUEST_SECONDS.observe(time.perf_counter() - begun, route, method)
        return response


def _is_enveloped(request: HttpRequest, response: HttpResponse) -> bool:
    """Whether it is a success of the API, which all have the code 0."""
    return request.path_info.startswith("/api/") and response.status_code < 300


def _without_route(request: HttpRequest) -> str:
    """Of what was answered before anybody looked for a view."""
    return "static" if request.path_info.startswith(settings.STATIC_URL) else NO_ROUTE
