"""Periodic jobs row by row: one that fails does not stop the others, or the next round."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, CharField, Exists, F, Model, OuterRef, Q, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from ops.metrics import JOB_ROWS, ROW_SET_ASIDE
from ops.models import FailedRow
from ops.services import audit, events

logger = logging.getLogger(__name__)

# Until a row is tried again that failed once, twice, and so on; the last of them from then on.
WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 25, 125))
# After so many in a row a row is set aside: with these waits more than a day after the first, so
# that something that is away for some hours blames no row.
FAILURES = 16
ROUND_SECONDS = 30  # after which no more rows are begun: other jobs want their turn


def do_each[Row: Model](
    job: str, rows: QuerySet[Row], work: Callable[[Row], object], *, batch_size: int
) -> int:
    """Do `work` with each of these rows, `batch_size` at most; returns for how many it was truthy.

    A failure is logged and counted, and takes back what was written for that row alone. The row
    comes again after a minute, then after longer and longer, two hours at most; when it has failed
    for a day it is set aside until somebody in the console lets it be tried again. `rows` are all
    there is to do, told by a whole number: one that is among them no more is forgotten. They were
    read before the first of them was done, here or on another machine, so `work` asks again whether
    there is anything to do. A round takes 30 seconds and one row at most. Raises what the database
    raises when it is away.
    """
    failed = FailedRow.objects.filter(job=job)
    key = Cast(OuterRef("pk"), CharField())
    _forget_done(failed, rows)
    waiting = failed.filter(Q(set_aside_at__isnull=False) | _is_waiting(timezone.now()))
    done = 0
    deadline = time.monotonic() + ROUND_SECONDS
    for row in rows.exclude(Exists(waiting.filter(row_id=key)))[:batch_size]:
        try:
            with transaction.atomic():
                is_done = bool(work(row))
        except Exception as error:
            logger.exception("The job %s failed at row %s", job, row.pk)
            JOB_ROWS.add(1, job, "failed")
            _note(job, row, error)
        else:
            done += is_done
            if is_done:
                JOB_ROWS.add_on_commit(1, job, "done")
            failed.filter(row_id=row.pk).delete()
        if time.monotonic() > deadline:
            break
    return done


def _forget_done(failed: QuerySet[FailedRow], rows: QuerySet[Any]) -> None:
    """Forget failures at rows with which the job has nothing to do any more."""
    same_row = rows.filter(pk=Cast(OuterRef("row_id"), BigIntegerField()))
    failed.exclude(Exists(same_row)).delete()


def _is_waiting(now: datetime) -> Q:
    """Whether a row failed so lately that it is not tried again yet. The waits grow."""
    return reduce(
        or_,
        (
            Q(failures__gte=failures, last_failed_at__gt=now - wait)
            for failures, wait in enumerate(WAITS, start=1)
        ),
    )


def _note(job: str, row: Model, error: Exception) -> None:
    """Count a failure of a row, and set the row aside when there were too many.

    Two machines that fail at it in the same round count as one.
    """
    now = timezone.now()
    known, is_new = FailedRow.objects.get_or_create(
        job=job, row_id=row.pk, defaults={"error": type(error).__name__}
    )
    if is_new:
        return
    FailedRow.objects.filter(~_is_waiting(now), pk=known.pk).update(
        failures=F("failures") + 1, error=type(error).__name__, last_failed_at=now
    )
    kept_failing = FailedRow.objects.filter(
        pk=known.pk, failures__gte=FAILURES, set_aside_at__isnull=True
    )
    if kept_failing.update(set_aside_at=now):
        events.record(ROW_SET_ASIDE, job=job, error=type(error).__name__)


@transaction.atomic
def try_again(row: FailedRow, *, author_id: int | None = None) -> None:
    """Let the job do a row again that was set aside; audited."""
    before = audit.values_of(row)
    row.delete()
    audit.record(action="failedrow.try_again", row=row, before=before, actor_id=author_id)
