"""Errors to a Sentry-compatible server: where they happened, and nothing of anybody.

Imported where SENTRY_DSN is set alone. A server that hangs or is away holds nothing up: a thread
of the library sends what waits, and what there is no place for is dropped.
"""

import logging
from typing import TYPE_CHECKING, Any

import sentry_sdk
from django.conf import settings
from sentry_sdk.integrations.logging import LoggingIntegration

from ops import request_context, request_id
from ops.logs.captured import fingerprint, without_quotes
from ops.masking import hides, mask

if TYPE_CHECKING:
    from sentry_sdk._types import Event, Hint

SECONDS_TO_LEAVE = 2  # that a command which failed waits for its error to be sent
# What may have anything in it and says nothing of the error.
LEFT_OUT = ("breadcrumbs", "extra", "modules", "request", "server_name", "threads", "user")


def start() -> None:
    """From now on send every line of an error that has a stack trace."""
    sentry_sdk.init(
        dsn=str(settings.SENTRY_DSN),
        environment=settings.SENTRY_ENVIRONMENT,
        release=settings.VERSION or None,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[LoggingIntegration(level=None, event_level=logging.ERROR)],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        send_client_reports=False,
        before_send=before_send,
    )


def leave() -> None:
    """Wait a little for what is still to be sent, at the end of a command."""
    sentry_sdk.flush(timeout=SECONDS_TO_LEAVE)


def before_send(event: "Event", hint: "Hint") -> "Event | None":
    """What is sent of an event: without values, masked; None for a line without a stack trace.

    What fails here is sent nowhere: the library drops the event.
    """
    failure = hint.get("exc_info")
    if not failure or failure[1] is None:
        return None
    told: dict[str, Any] = {name: value for name, value in event.items() if name not in LEFT_OUT}
    for one in told.get("exception", {}).get("values", ()):
        one["value"] = without_quotes(str(one.get("value") or ""))
        for frame in (one.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
    entry = told.pop("logentry", None)
    if entry:
        # The message before its values are put in: those may be anything.
        told["logentry"] = {"message": without_quotes(str(entry.get("message", "")))}
    told["tags"] = {
        "request_id": request_id.current.get(),
        "route": request_context.known_route(),
    }
    masked: Event = _masked(told)
    masked["fingerprint"] = [fingerprint(failure)]  # how they are grouped here as well
    return masked


def _masked(value: Any) -> Any:
    match value:
        case str():
            return mask(value)
        case dict():
            return {
                name: "***" if hides(str(name)) else _masked(inner) for name, inner in value.items()
            }
        case list() | tuple():
            return [_masked(inner) for inner in value]
    return value
