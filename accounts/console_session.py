"""The session of the console: which browser it is in, what its person showed, when it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from accounts.models.console_devices import KNOWN_FOR
from accounts.services import console_devices
from ops import security_log
from ops.api.middleware import has_no_session
from ops.client_address import client_address

COOKIE = "console_device"
# What the session knows.
DEVICE_KEY = "console_device"
FIRST_FACTOR_KEY = "first_factor"  # whose password or code was right, before they are signed in
FACTOR_KEY = "second_factor"  # the id of the second factor that they showed
FACTOR_AT_KEY = "factor_at"  # when they last showed who they are, in seconds since 1970

SECOND_STEP_WITHIN = timedelta(minutes=5)
FRESH_FOR = timedelta(minutes=10)  # so long nobody is asked again before something dangerous


@dataclass(frozen=True, slots=True)
class FirstFactor:
    """Somebody whose password or code was right, and the page where they want to go."""

    person: User
    next_page: str


# --- Between the two steps ------------------------------------------------------------------------
def begin_second_step(request: HttpRequest, person: User, *, next_page: str) -> None:
    """Let the session say that this person passed the first step now, and nothing else.

    Nobody is signed in by it. It has a new key, and nothing of whoever used the browser before.
    """
    request.session.flush()
    request.session[FIRST_FACTOR_KEY] = {
        "person": person.pk,
        "at": timezone.now().timestamp(),
        "password": person.get_session_auth_hash(),  # a hash of it: a new password ends this
        "next": next_page,
    }
    request.session.set_expiry(int(SECOND_STEP_WITHIN.total_seconds()))


def first_factor(request: HttpRequest) -> FirstFactor | None:
    """Who passed the first step here, at most five minutes ago; None where nobody did."""
    kept = request.session.get(FIRST_FACTOR_KEY)
    if kept is None or timezone.now().timestamp() - kept["at"] > SECOND_STEP_WITHIN.total_seconds():
        return None
    person: User | None = User.objects.filter(pk=kept["person"]).first()
    if person is None or not person.is_active:
        return None
    if not constant_time_compare(kept["password"], person.get_session_auth_hash()):
        return None
    return FirstFactor(person, kept["next"])


def end_second_step(request: HttpRequest) -> None:
    """Forget that somebody passed the first step: it opens nothing twice."""
    request.session.pop(FIRST_FACTOR_KEY, None)


# --- What was shown -------------------------------------------------------------------------------
def note_factor(request: HttpRequest, *, factor_id: int | None = None) -> None:
    """Note that whoever is signed in just showed who they are, and by which second factor."""
    request.session[FACTOR_AT_KEY] = timezone.now().timestamp()
    if factor_id is not None:
        request.session[FACTOR_KEY] = factor_id


def is_fresh(request: HttpRequest) -> bool:
    """Whether whoever is signed in showed who they are a short while ago."""
    shown_at: float | None = request.session.get(FACTOR_AT_KEY)
    if shown_at is None:
        return False
    return 0 <= timezone.now().timestamp() - shown_at <= FRESH_FOR.total_seconds()


# --- From sign-in to its end ----------------------------------------------------------------------


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
    note_factor(request)
    request.session.set_expiry(timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE))
    request.console_device_token = token  # type: ignore[attr-defined]  # for the middleware


def _note_sign_out(*, user: User | None, **_signal: Any) -> None:
    if user is not None:
        security_log.note("console_sign_out", person_id=user.pk)


def _still_signed_in(request: HttpRequest, person: User | AnonymousUser) -> User | AnonymousUser:
    """The person of a session that goes on; else nobody, and no session any more.

    Whatever let them in, it ends where they have a second factor that was not shown in it.
    """
    if isinstance(person, User) and not console_devices.is_live(
        device_id=request.session.get(DEVICE_KEY),
        person=person,
        factor_id=request.session.get(FACTOR_KEY),
    ):
        request.session.flush()
        return AnonymousUser()
    return person


class ConsoleDeviceMiddleware:
    """Lets a session of the console go on only while its device was not ended, on any process,
    and with the second factor of its person alone.

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
