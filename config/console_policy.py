"""What the console's pages may load and run: a Content-Security-Policy of their own."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.csp import CSP

# The theme's scripts (Alpine) evaluate expressions from attributes and set styles inline; under
# the strict policy of the other pages its dialogs open blurred and nothing reacts.
CONSOLE_CSP = {
    "default-src": [CSP.SELF],
    "img-src": settings.SECURE_CSP["img-src"],
    "connect-src": [CSP.SELF, "ws:", "wss:"],
    "script-src": [CSP.SELF, CSP.UNSAFE_INLINE, CSP.UNSAFE_EVAL],
    "style-src": [CSP.SELF, CSP.UNSAFE_INLINE],
    "object-src": [CSP.NONE],
    "base-uri": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "form-action": [CSP.SELF],
}


class ConsolePolicyMiddleware:
    """Gives /admin/ the policy its theme needs, and no other page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path_info.startswith("/admin/"):
            response._csp_config = CONSOLE_CSP  # type: ignore[attr-defined]
        return response
