"""The session of the console: which browser it is in, and when it ends."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from accounts.models.console_devices import KNOWN_FOR
from accounts.services import console_devices
from ops import security_log
from ops.api.middleware import has_no_session
from ops.client_address import client_address

COOKIE = "console_device"
DEVICE_KEY = "console_device"  # of the session


def listen() -> None:
    """Hear from Django who signs in and out by a session."""
    user_logged_in.connect(_begin, dispatch_uid="console session")
    user_logged_out.connect(_note_sign_out, dispatch_uid="console session")


def _begin(*, request: HttpRequest, user: User, **_signal: Any) -> None:
    """Bind a new session to its browser, and end it after a working day whatever is done in it."""
    device, token = console_devices.remember(
        person=user,
        token=request.COOKIES.get(COOKIE, ""),
        address=client_address(request),
        user_agent=request.headers.get("User-Agent", ""),
    )
    request.session[DEVICE_KEY] = device.pk
    request.session.set_expiry(timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE))
    request.console_device_token = token  # type: ignore[attr-defined]  # for the middleware


def _note_sign_out(*, user: User | None, **_signal: Any) -> None:
    if user is not None:
        security_log.note("console_sign_out", person_id=user.pk)


def _still_signed_in(request: HttpRequest, person: User | AnonymousUser) -> User | AnonymousUser:
    """The person of a session whose device was not ended; else nobody, and no session any more."""
    if isinstance(person, User) and not console_devices.is_live(
        device_id=request.session.get(DEVICE_KEY), person=person
    ):
        request.session.flush()
        return AnonymousUser()
    return person


class ConsoleDeviceMiddleware:
    """Lets a session of the console go on only while its device was not ended, on any process.

    It costs one query a request that asks who it is, and another one once a minute.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if has_no_session(request.path_info):
            return self.get_response(request)
        # Wherever somebody asks who it is, and as late as that.
        request.user = SimpleLazyObject(partial(_still_signed_in, request, request.user))  # type: ignore[assignment]
        response = self.get_response(request)
        if token := getattr(request, "console_device_token", None):
            response.set_cookie(
                COOKIE,
                token,
                max_age=KNOWN_FOR,
                path=reverse("admin:index"),
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response
