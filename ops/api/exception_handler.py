"""Refusals and failures leave in the envelope, whoever raised them."""

import logging
from collections.abc import Mapping
from math import ceil
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from django.utils import translation
from django.utils.translation import gettext as _
from redis import RedisError
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response

from ops import request_id
from ops.api.fields import NO_FIELD
from ops.api.languages import language_for
from ops.api.observing import say_code
from ops.api.renderer import EnvelopedResponse, encode
from ops.errors import (
    BodyTooLarge,
    DomainError,
    Failure,
    MethodNotAllowed,
    NotAllowed,
    NotFound,
    NotSignedIn,
    TooManyRequests,
    Unavailable,
    Unreadable,
    UnsupportedMediaType,
    ValidationFailed,
)

logger = logging.getLogger(__name__)


def error_body(error: DomainError) -> dict[str, Any]:
    """The envelope of a refusal."""
    return {"code": error.code, "msg": str(error), "data": error.data}


def error_headers(error: DomainError) -> dict[str, str]:
    """Retry-After on every 429 and 503, in seconds."""
    if error.status in (429, 503):
        return {"Retry-After": str(error.retry_after or 1)}
    return {}


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
    answer = HttpResponse(
        encode(error_body(error)),
        status=error.status,
        content_type="application/json",
        headers=error_headers(error),
    )
    say_code(answer, error.code)
    return answer


def answer_outside(status: int, headers: Mapping[bytes, bytes]) -> HttpResponse:
    """Answer what the server below refused, or cannot hand to Django as a request.

    `headers` are those that were read before that, under lower-case names.
    """
    offered_id = headers.get(b"x-request-id", b"").decode("latin-1")
    token = request_id.current.set(request_id.chosen(offered_id))
    try:
        with translation.override(language_for(headers.get(b"accept-language", b""))):
            answer = answer_status(status)
        answer["X-Request-ID"] = request_id.current.get()
        logger.info("Refused with %d below Django", answer.status_code)
    finally:
        request_id.current.reset(token)
    return answer


def _as_domain_error(raised: Exception) -> DomainError | None:
    """Translate what the framework raises into the contract's refusals; None if it is unknown."""
    match raised:
        case DomainError():
            return raised
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return NotSignedIn()
        case exceptions.Throttled():
            return TooManyRequests(retry_after=ceil(getattr(raised, "wait", None) or 1))
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
    request = context["request"]
    error = _as_domain_error(raised)
    if isinstance(raised, TooManyFieldsSent) and request.method in SAFE_METHODS:
        # Not of a form, as Django's own words have it: there is no body, and no 1017 either.
        error = ValidationFailed({NO_FIELD: [_("There are too many parameters.")]})
    if error is None:
        logger.error("%s failed", request.path, exc_info=raised)
        error = Failure()
    answer = EnvelopedResponse(error_body(error), status=error.status, headers=error_headers(error))
    say_code(answer, error.code)
    return answer
