"""What commands and services did once, written down where rules and people find it."""

import socket
from datetime import datetime, timedelta

from ops.masking import mask
from ops.measures import EventKind
from ops.metrics import EVENTS
from ops.models import OperationalEvent
from ops.services.purge import purge

KEPT_FOR = timedelta(days=90)
BATCH_SIZE = 1000  # old events that one round of the job deletes
LONGEST_TEXT = 200

type Fact = str | int | float | bool | None


class UnknownFacts(Exception):
    """Facts that the kind of the event does not declare: whoever wrote the call made a mistake."""


def record(kind: EventKind, **facts: Fact) -> OperationalEvent:
    """Write down that something happened, in the transaction at hand where there is one.

    Texts are masked and cut at 200 characters. Raises UnknownFacts for what the kind does not name.
    """
    if unknown := facts.keys() - set(kind.facts):
        raise UnknownFacts(f"{kind.name} declares no {', '.join(sorted(unknown))}")
    EVENTS.add_on_commit(1, kind.name)
    return OperationalEvent.objects.create(
        kind=kind.name,
        facts={name: _safe(fact) for name, fact in facts.items()},
        host=socket.gethostname()[:255],
    )


def _safe(fact: Fact) -> Fact:
    return mask(fact)[:LONGEST_TEXT] if isinstance(fact, str) else fact


def forget_old(*, now: datetime) -> int:
    """Delete events of 90 days ago and earlier, BATCH_SIZE at most; returns how many."""
    old = OperationalEvent.objects.filter(happened_at__lte=now - KEPT_FOR)
    return purge(old.order_by("happened_at"), batch_size=BATCH_SIZE)
