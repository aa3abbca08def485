"""While the platform is being maintained everything is refused but what maintaining it needs."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation

from ops.api.exception_handler import error_body, error_headers
from ops.api.languages import language_for
from ops.api.middleware import is_api_path
from ops.api.renderer import encode
from ops.services import maintenance
from ops.services.maintenance import Notice, open_pages

# How the platform is looked after from outside.
OPEN_PATHS = frozenset({"/health", "/api/health", "/api/ready", "/metrics"})
# The way in and out of the console; what is behind it asks who it is.
DOORS = ("admin:login", "admin:logout", "admin:index", "admin:jsi18n")


class MaintenanceMiddleware:
    """Answers 1503 while it is on, and counts what is in hand: put into a set, and taken out.

    It stands below what serves static files, answers other origins and insists on TLS, and above
    all that asks the database. Who wants a page of the console is not known here: see
    `config.console_site`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        maintenance.begin(request)
        try:
            notice = maintenance.current()
            if notice.is_on:
                if not is_let_through(request):
                    return refuse(request, notice)
                maintenance.end(request)  # nobody waits for whoever maintains
            return self.get_response(request)
        finally:
            maintenance.end(request)


def is_let_through(request: HttpRequest) -> bool:
    """Whether maintaining the platform needs it."""
    path = request.path_info
    return (
        path in OPEN_PATHS
        or path.startswith(settings.STATIC_URL)
        or path in map(reverse, DOORS)
        or any(path.startswith(reverse(page)) for page in open_pages.values())
        or maintenance.is_smoke(request.headers.get(maintenance.SMOKE_HEADER, ""))
    )


def refuse(request: HttpRequest, notice: Notice) -> HttpResponse:
    """503 with Retry-After: in the envelope of the API, else a page."""
    is_api = is_api_path(request.path_info)
    language = (
        language_for(request.headers.get("Accept-Language", "").encode("latin-1", "replace"))
        if is_api
        else translation.get_language_from_request(request)
    )
    with translation.override(language):
        refusal = notice.refusal()
        if is_api:
            content, kind = encode(error_body(refusal)), "application/json"
        else:
            page = render_to_string("maintenance.html", {"message": str(refusal)})
            content, kind = page.encode(), "text/html; charset=utf-8"
    return HttpResponse(
        content,
        status=refusal.status,
        content_type=kind,
        headers={
            **error_headers(refusal),
            "Cache-Control": "no-store",
            "Content-Language": language,
        },
    )
