"""The audit trail as tests look at it: who acts from where, and what they left."""

import json
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.http import HttpRequest

from ops import request_id
from ops.models import AuditEntry
from ops.request_context import serving

ADDRESS = "203.0.113.7"
REQUEST_ID = "request-of-a-test"


@contextmanager
def acting_as(person):
    """What happens inside happens in a request of this person."""
    request: Any = HttpRequest()
    request.META["REMOTE_ADDR"] = ADDRESS
    request.user = person
    token = request_id.current.set(REQUEST_ID)
    try:
        with serving(request):
            yield
    finally:
        request_id.current.reset(token)


def entries_of(person):
    """What a person left, oldest first."""
    return AuditEntry.objects.filter(actor_id=person.pk).order_by("sequence")


def entries_of_commands():
    """What whoever runs the tests left without a request, as a command does."""
    return AuditEntry.objects.exclude(system_user="").order_by("chain", "sequence")


class Told(NamedTuple):
    """What an entry says of a change."""

    action: str
    object: str
    before: dict
    after: dict
    reason: str = ""
    shop_id: int | None = None


def what(entry):
    """What an entry says of a change, without who and when."""
    return Told(
        action=entry.action,
        object=entry.object_name,
        before=json.loads(entry.before),
        after=json.loads(entry.after),
        reason=entry.reason,
        shop_id=entry.shop_id,
    )
