"""The id of the request at hand: in its answer, and in every line logged while it is served."""

import contextvars
import logging
import re
import uuid
from collections.abc import Callable
from typing import override

from django.http import HttpRequest, HttpResponse

from ops.masking import mask_by_look

WELL_FORMED = re.compile(r"\A[A-Za-z0-9._-]{1,128}\Z")

NOBODYS = "-"  # of what belongs to no request
current: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default=NOBODYS)


def chosen(offered: str) -> str:
    """The id that a request offers when that is well formed, else a new one.

    It stands in every line of the log: a phone or a token is none, however well it is formed.
    """
    is_taken = WELL_FORMED.match(offered) and mask_by_look(offered) == offered
    return offered if is_taken else uuid.uuid4().hex


class RequestIdFilter(logging.Filter):
    """Gives every log record the id of the request it belongs to."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current.get()
        return True


class SaidBeforeFilter(logging.Filter):
    """Takes out what Django logs of each answer of 5xx when the request, and its id, are over.

    Whoever made that answer has logged why, in the middle of the request: with a trace, unless it
    was a refusal.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None


class RequestIdMiddleware:
    """Takes the request's own X-Request-ID when it is well formed, else makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = chosen(request.headers.get("X-Request-ID", ""))
        token = current.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            current.reset(token)
        response["X-Request-ID"] = request_id
        return response
