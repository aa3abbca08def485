"""The envelope: one form for every answer of the API, and one way to read what comes in.

These are the classes that DRF's settings name; `ops.api.views` builds the views on them.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, override

import orjson
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from redis import RedisError
from rest_framework import exceptions, negotiation, parsers, renderers, throttling
from rest_framework.request import Request
from rest_framework.response import Response

from ops import request_id
from ops.errors import DomainError, NotAllowed, NotFound, NotSignedIn, TooManyRequests, Unavailable

if TYPE_CHECKING:
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)


OUTSIDE_THE_ENVELOPE = ("/api/health", "/api/ready", "/api/schema", "/api/docs")
DEEPEST_BODY = 32  # levels of a JSON body; what works on it may call itself once a level


# --- The refusals of the frame itself -----------------------------------------------------------
class Failure(DomainError):
    """What nobody foresaw; the request id leads to its lines in the log."""

    code, status = 1000, 500
    message = _("Something went wrong on our side. Nothing was changed.")
    reveals = ("request_id",)

    def __init__(self) -> None:
        super().__init__(request_id=request_id.current.get())


class MethodNotAllowed(DomainError):
    code, status = 1012, 405
    message = _("This address does not take that method.")


class UnsupportedMediaType(DomainError):
    code, status = 1016, 415
    message = _("This kind of body is not taken here; see Content-Type.")


class Unreadable(DomainError):
    code, status = 1017, 400
    message = _("The body of the request cannot be read.")


class BodyTooLarge(DomainError):
    code, status = 1018, 413
    message = _("The body of the request is too large.")


# --- The envelope -------------------------------------------------------------------------------
def _plain(value: Any) -> Any:
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value)} has no place in an answer")


def encode(value: Any) -> bytes:
    """Write `value` as JSON bytes; lazy translations become text."""
    return orjson.dumps(value, default=_plain)


class EnvelopeRenderer(renderers.BaseRenderer):
    """Writes `{"code": 0, "msg": "success", "data": …}`; a refusal brings its own envelope."""

    media_type = "application/json"
    format = "json"

    @override
    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        response = (renderer_context or {})["response"]
        if not getattr(response, "is_enveloped", False):
            data = {"code": 0, "msg": "success", "data": data}
            response.is_enveloped = True
        return encode(data)


def error_body(error: DomainError) -> dict[str, Any]:
    """The envelope of a refusal."""
    return {"code": error.code, "msg": str(error), "data": error.data}


def error_headers(error: DomainError) -> dict[str, str]:
    """Retry-After on every 429 and 503, in seconds."""
    if error.status in (429, 503):
        return {"Retry-After": str(error.retry_after or 1)}
    return {}


def is_enveloped_path(path: str) -> bool:
    """Whether the contract wants the envelope for this path."""
    return (path == "/api" or path.startswith("/api/")) and path not in OUTSIDE_THE_ENVELOPE


_BY_STATUS: dict[int, DomainError] = {
    400: Unreadable(),
    403: NotAllowed(),
    404: NotFound(),
    405: MethodNotAllowed(),
    413: BodyTooLarge(),
    503: Unavailable(),
}


def answer_status(status: int) -> HttpResponse:
    """Answer in the envelope what Django refused with a bare status before any view of ours."""
    error = _BY_STATUS.get(status) or Failure()
    response = HttpResponse(
        encode(error_body(error)),
        status=error.status,
        content_type="application/json",
        headers=error_headers(error),
    )
    response.is_enveloped = True  # type: ignore[attr-defined]
    return response


def _as_domain_error(raised: Exception) -> DomainError | None:
    """Translate what the framework raises into the contract's refusals; None if it is unknown."""
    match raised:
        case DomainError():
            return raised
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return NotSignedIn()
        case exceptions.Throttled():
            return TooManyRequests(retry_after=max(1, round(getattr(raised, "wait", None) or 1)))
        case exceptions.PermissionDenied() | PermissionDenied():
            return NotAllowed()
        case exceptions.UnsupportedMediaType():
            return UnsupportedMediaType()
        case RequestDataTooBig():
            return BodyTooLarge()
        case exceptions.ParseError() | SuspiciousOperation():
            return Unreadable()
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed()
        case exceptions.NotFound() | Http404():
            return NotFound()
        case OperationalError() | InterfaceError():
            logger.warning("The database is away or busy: %s", raised)
            return Unavailable()
        case RedisError():
            logger.warning("Redis is away: %s", raised)
            return Unavailable()
    return None


def answer_exception(raised: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler: every refusal and every failure leaves in the envelope."""
    error = _as_domain_error(raised)
    if error is None:
        logger.error("%s failed", context["request"].path, exc_info=raised)
        error = Failure()
    response = Response(error_body(error), status=error.status, headers=error_headers(error))
    response.is_enveloped = True  # type: ignore[attr-defined]
    return response


# --- Reading a request ---------------------------------------------------------------------------
class JSONParser(parsers.JSONParser):
    """DRF's parser, for which a body nested too deep is unreadable, not a failure later on."""

    @override
    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            body = super().parse(*args, **kwargs)
        except RecursionError as error:
            raise exceptions.ParseError from error
        level = [body]
        for _depth in range(DEEPEST_BODY):
            level = [inner for outer in level for inner in _members(outer)]
            if not level:
                return body
        raise exceptions.ParseError


def _members(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()


class OnlyJSON(negotiation.BaseContentNegotiation):
    """Every answer is JSON whatever the client says it accepts: it must be able to read errors."""

    @override
    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        return negotiation.DefaultContentNegotiation().select_parser(request, parsers)

    @override
    def select_renderer(
        self, request: Request, renderers: Iterable[Any], format_suffix: str | None = None
    ) -> tuple[Any, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class PersonThrottle(throttling.SimpleRateThrottle):
    """So many requests a minute per person; strangers have limits of their own where they act."""

    scope = "person"

    @override
    def get_cache_key(self, request: Request, view: "APIView") -> str | None:
        if not request.user.is_authenticated:
            return None
        return f"throttle:person:{request.user.pk}"
