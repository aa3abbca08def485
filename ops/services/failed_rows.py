"""Periodic jobs row by row: one that fails does not stop the others, or the next round."""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Model, QuerySet
from django.utils import timezone

from ops.models import FailedRow

logger = logging.getLogger(__name__)

FAILURES = 5  # after so many in a row a row is set aside
WAITS = timedelta(minutes=1)  # until a row that failed is tried again


def do_each[Row: Model](
    job: str, rows: QuerySet[Row], work: Callable[[Row], object], *, batch_size: int
) -> int:
    """Do `work` with each of these rows, `batch_size` at most; returns for how many it was truthy.

    A failure is logged and counted, and takes back what was written for that row alone. The row
    comes again after a minute, and after five failures it is set aside until somebody in the
    console lets it be tried again.
    """
    failed = FailedRow.objects.filter(job=job)
    waiting = failed.filter(set_aside_at__isnull=False) | failed.filter(
        last_failed_at__gt=timezone.now() - WAITS
    )
    left_out = list(waiting.values_list("row_id", flat=True))
    done = 0
    for row in rows.exclude(pk__in=left_out)[:batch_size]:
        try:
            with transaction.atomic():
                done += bool(work(row))
        except Exception as error:
            logger.exception("The job %s failed at row %s", job, row.pk)
            _note(job, row, error)
        else:
            failed.filter(row_id=row.pk).delete()
    return done


def _note(job: str, row: Model, error: Exception) -> None:
    """Count a failure of a row, and set the row aside when there were too many."""
    now = timezone.now()
    known, is_new = FailedRow.objects.get_or_create(
        job=job, row_id=row.pk, defaults={"error": type(error).__name__}
    )
    if is_new:
        return
    FailedRow.objects.filter(pk=known.pk).update(
        failures=F("failures") + 1, error=type(error).__name__, last_failed_at=now
    )
    FailedRow.objects.filter(pk=known.pk, failures__gte=FAILURES, set_aside_at__isnull=True).update(
        set_aside_at=now
    )


def try_again(row: FailedRow) -> None:
    """Let the job do a row again that was set aside."""
    row.delete()
