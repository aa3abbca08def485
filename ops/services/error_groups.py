"""Errors that were captured, written down by kind; and what somebody says of a kind."""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Greatest, Least
from django.utils import timezone

from ops.locking import locked
from ops.logs.captured import CapturedError, ErrorHandler, waiting
from ops.logs.counts import count
from ops.models import ErrorGroup, ErrorState
from ops.services import audit
from ops.services.purge import purge

logger = logging.getLogger(__name__)

DONE_KEPT_FOR, KEPT_FOR = timedelta(days=90), timedelta(days=365)  # after it was seen last
BATCH_SIZE = 1000  # kinds of errors that one round of the job deletes
# What a database says of values that it does not take; ValueError: of psycopg itself.
REFUSED = (DataError, IntegrityError, ValueError, OverflowError)


def write_waiting() -> int:
    """Write what was captured in this process since the last time; how many kinds it was.

    Called every few seconds by the pulse, and at the end of a command. What cannot be written
    waits for the next time. One that the database refuses is dropped, and counted: it would keep
    all others waiting. Raises what the database raises when it is away.
    """
    errors = waiting.take()
    refused = 0
    for number, error in enumerate(errors):
        try:
            with ErrorHandler.rest(), transaction.atomic():
                _write(error)
        except REFUSED as refusal:
            refused += 1
            count("errors_dropped", error.count)
            # Without the error itself: what is said of it may hold what was refused.
            logger.warning(
                "An error of the kind %s cannot be written down and is dropped: %s",
                error.kind,
                type(refusal).__name__,
            )
        except BaseException:
            waiting.put_back(errors[number:])
            raise
    return len(errors) - refused


def forget_old(*, now: datetime) -> int:
    """Delete kinds that are done and were not seen for 90 days, and all not seen for a year.

    BATCH_SIZE at most; returns how many.
    """
    old = ErrorGroup.objects.filter(
        Q(state=ErrorState.DONE, last_seen__lt=now - DONE_KEPT_FOR)
        | Q(last_seen__lt=now - KEPT_FOR)
    )
    return purge(old.order_by("last_seen"), batch_size=BATCH_SIZE)


def _write(error: CapturedError) -> None:
    if _count(error):
        return
    try:
        with transaction.atomic():
            ErrorGroup.objects.create(
                fingerprint=error.fingerprint,
                kind=error.kind,
                where=error.where,
                logger=error.logger,
                route=error.route,
                count=error.count,
                first_seen=error.first_seen,
                last_seen=error.last_seen,
                sample=error.sample,
                request_id=error.request_id,
                release=settings.VERSION[:100],
            )
    except IntegrityError:
        if not _count(error):  # nobody else saw it first: the row itself is what was refused
            raise


def _count(error: CapturedError) -> int:
    happened_again = When(
        state=ErrorState.DONE, done_at__lt=error.last_seen, then=Value(ErrorState.REOPENED.value)
    )
    return ErrorGroup.objects.filter(fingerprint=error.fingerprint).update(
        count=F("count") + error.count,
        first_seen=Least("first_seen", Value(error.first_seen)),
        last_seen=Greatest("last_seen", Value(error.last_seen)),
        request_id=error.request_id,
        release=settings.VERSION,
        state=Case(happened_again, default=F("state")),
    )


@transaction.atomic
def close(group: ErrorGroup, *, author_id: int | None = None) -> None:
    """Say that this is seen to; audited. It opens again when it happens again.

    One that is done already stays as it is.
    """
    group = locked(ErrorGroup.objects.all()).get(pk=group.pk)
    if group.state == ErrorState.DONE:
        return
    before = {"state": group.state}
    group.state, group.done_at = ErrorState.DONE, timezone.now()
    group.save(update_fields=["state", "done_at"])
    audit.record(
        action="errorgroup.close",
        row=group,
        before=before,
        after={"state": group.state},
        actor_id=author_id,
    )
