"""One form of answer of the API, whoever gives it, in the language the client asked for."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, override

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

from ops.api.exception_handler import answer_status
from ops.errors import NotFound

logger = logging.getLogger(__name__)

# Headers that describe a body: the envelope has its own.
OF_THE_BODY = {"content-type", "content-length", "content-encoding", "content-disposition", "etag"}

PUBLIC_FILES = "/files/public/"


def is_api_path(path: str) -> bool:
    """Whether it is the API that answers there."""
    return path in {"/api", "/health"} or path.startswith("/api/")


# Under /api/, and yet for people with a browser: the documents, and details of health for staff.
_WITH_SESSION = {"/api/docs", "/api/health", "/api/ready"}


def has_no_session(path: str) -> bool:
    """Whether tokens alone say who asks there: in the API, but for what staff open in a browser."""
    return path.startswith("/api/") and path not in _WITH_SESSION


class EnvelopeMiddleware:
    """Puts into the envelope what Django itself refuses in the API, also while DEBUG is on.

    A host that is not ours, a broken middleware or a technical error page never reaches the API's
    own exception handler, and neither does a method that a page or a health check does not take; a
    client in the field must be able to read the answer all the same. What is JSON has its form.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_json = response.get("Content-Type", "").startswith("application/json")
        if response.status_code < 400 or is_json or not is_api_path(request.path_info):
            return response
        with translation.override(translation.get_language_from_request(request)):
            answer = answer_status(response.status_code)
        for name, value in response.items():
            # The rest is of the answer as a whole: how browsers treat it, who may read it.
            if name.lower() not in OF_THE_BODY:
                answer[name] = value
        return answer


class KnownHostMiddleware:
    """Has nothing for a host that is not ours: 404, in the API 1010.

    Django would raise an error wherever somebody first asks for the host, and log each with a
    trace; whoever runs the platform sees one line, which says what a mistake in ALLOWED_HOSTS is.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
        except DisallowedHost as error:
            logger.warning("Refused: %s", error)
            return HttpResponseNotFound(str(NotFound()), content_type="text/plain; charset=utf-8")
        return self.get_response(request)


class LengthMiddleware(CommonMiddleware):
    """Django's, which says of a 304 that its body is empty: it has none, and 200 would have one."""

    @override
    def process_response(self, request: HttpRequest, response: Any) -> Any:
        response = super().process_response(request, response)
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            del response["Content-Length"]  # RFC 9110, 8.6
        return response


class LanguageMiddleware(LocaleMiddleware):
    """Django's, except that the API listens to Accept-Language alone, as its contract says.

    Public files have no language: caches on the way keep each of them once.
    """

    @override
    def process_request(self, request: HttpRequest) -> None:
        if is_api_path(request.path_info):
            request.COOKIES.pop(settings.LANGUAGE_COOKIE_NAME, None)
        super().process_request(request)

    @override
    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if request.path_info.startswith(PUBLIC_FILES):
            return response
        return super().process_response(request, response)
