"""One form of answer under /api/, whoever gives it, in the language the client asked for."""

from collections.abc import Callable
from typing import override

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from rest_framework.response import Response

from ops.api.exception_handler import answer_status
from ops.api.renderer import Enveloped, is_enveloped_path


class EnvelopeMiddleware:
    """Puts into the envelope what Django itself answers under /api/, also while DEBUG is on.

    A refused host, a broken middleware or a technical error page never reaches the API's own
    exception handler; a client in the field must be able to read the answer all the same.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if (
            response.status_code < 400
            or not is_enveloped_path(request.path_info)
            or isinstance(response, Enveloped | Response)  # the renderer envelops a Response
        ):
            return response
        with translation.override(translation.get_language_from_request(request)):
            answer = answer_status(response.status_code)
        for name, value in response.items():
            if name == "Vary" or name.lower().startswith("access-control-"):
                answer[name] = value  # or a web page could not read the refusal
        return answer


class LanguageMiddleware(LocaleMiddleware):
    """Django's, except that the API listens to Accept-Language alone, as its contract says."""

    @override
    def process_request(self, request: HttpRequest) -> None:
        if is_enveloped_path(request.path_info):
            request.COOKIES.pop(settings.LANGUAGE_COOKIE_NAME, None)
        super().process_request(request)
