"""What pages need and the API does not: sessions, forgery checks, messages, frames and scripts.

The API knows who asks by a token, has no cookie that a foreign page could send along, and answers
in JSON, which no browser frames or runs. Each of these would cost every request of it something.
"""

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csp import ContentSecurityPolicyMiddleware
from django.middleware.csrf import CsrfViewMiddleware

from ops.api.middleware import has_no_session


class _OfPages:
    """Stands aside where there is no session."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if has_no_session(request.path_info):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]  # of the class beside this one


class Sessions(_OfPages, SessionMiddleware):
    """Django's, for pages."""


class ForgeryChecks(_OfPages, CsrfViewMiddleware):
    """Django's, for pages. The views of the API are exempt already."""


class SignIns(_OfPages, AuthenticationMiddleware):
    """Django's, for pages."""


class Messages(_OfPages, MessageMiddleware):
    """Django's, for pages."""


class Frames(_OfPages, XFrameOptionsMiddleware):
    """Django's, for pages."""


class Scripts(_OfPages, ContentSecurityPolicyMiddleware):
    """Django's, for pages."""
