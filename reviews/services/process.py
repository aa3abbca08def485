"""The process of reading a receipt: to one end, whatever happens to the workers.

A worker claims the process for a while, reads without holding any lock, and writes only if it is
still its own. One that is killed leaves a lease that runs out; `sweep_processes` hands it on.
"""

import logging
import time
from datetime import datetime
from functools import cache, partial

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.tasks import task
from django.utils import timezone
from django.utils.module_loading import import_string

from ops.services import files
from ops.services.failed_rows import do_each
from ops.services.queue import first_arguments
from ops.transactions import in_transaction
from reviews import events, risk
from reviews.live_settings import READING_LEASE, READING_QUEUED_TOO_LONG
from reviews.metrics import OCR_SECONDS, READINGS
from reviews.models import (
    ProcessError,
    ProcessRecord,
    ProcessStatus,
    Receipt,
    ReceiptStatus,
    reading_key,
)
from reviews.ocr.types import Reading, ReceiptReader

logger = logging.getLogger(__name__)

ATTEMPTS = 3
BATCH_SIZE = 100
CLAIMED, READ, DONE = 10, 60, 100  # percent


@task()
def process_receipt(record_id: int) -> None:
    """Read the receipt of this ProcessRecord; does nothing when there is nothing to do."""
    reader = load_reader(settings.RECEIPT_READER)
    record = claim(record_id, reader=reader, now=timezone.now())
    if record is None:
        return
    started = time.monotonic()
    try:
        reading = reader.read(files.read(record.receipt.picture))
    except Exception:
        # Whatever a decoder or a model raises, the receipt waits for a reviewer, not for us.
        logger.exception("Process %s of receipt %s failed", record.pk, record.receipt_id)
        give_back(record, now=timezone.now())
        return
    seconds = time.monotonic() - started
    OCR_SECONDS.observe(seconds)
    duration = round(seconds * 1000)
    if report(record, progress=READ):
        complete(record, reading, duration=duration, now=timezone.now())


@cache
def load_reader(name: str) -> ReceiptReader:
    """The reader that the setting RECEIPT_READER names, loaded once."""
    reader: ReceiptReader = import_string(name)()
    return reader


def _held(record: ProcessRecord) -> QuerySet[ProcessRecord]:
    """The row as long as the lease under which `record` was read is the newest one."""
    return ProcessRecord.objects.filter(
        pk=record.pk, status=ProcessStatus.PROCESSING, attempts=record.attempts
    )


@in_transaction
def claim(record_id: int, *, reader: ReceiptReader, now: datetime) -> ProcessRecord | None:
    """Take the process for READING_LEASE; None when it has ended or another worker is at it."""
    claimed = ProcessRecord.objects.filter(
        Q(status=ProcessStatus.PENDING) | Q(status=ProcessStatus.PROCESSING, lease_until__lt=now),
        pk=record_id,
        attempts__lt=ATTEMPTS,
    ).update(
        status=ProcessStatus.PROCESSING,
        progress=CLAIMED,
        attempts=F("attempts") + 1,
        lease_until=now + READING_LEASE.value,
        started_at=now,
        model_name=reader.model_name,
        settings=reader.settings,
    )
    if not claimed:
        return None
    record = ProcessRecord.objects.select_related("receipt__picture").get(pk=record_id)
    events.progress_changed(record)
    READINGS.add_on_commit(1, "begun")
    return record


@in_transaction
def report(record: ProcessRecord, *, progress: int) -> bool:
    """Tell how far it is, in percent; False when it was taken away meanwhile."""
    if not _held(record).update(progress=progress):
        return False
    record.progress = progress
    events.progress_changed(record)
    return True


@in_transaction
def complete(record: ProcessRecord, reading: Reading, *, duration: int, now: datetime) -> bool:
    """Write what was read, with the estimate and the risk that follow from it.

    `duration` is in milliseconds. False, and nothing written, when the process was taken away.
    """
    receipt = Receipt.objects.locked().get(pk=record.receipt_id)
    if not _end(record, ProcessStatus.COMPLETED, now=now, duration=duration):
        return False
    receipt.recognized_amount = reading.amount
    receipt.confidence = reading.confidence
    receipt.receipt_number = reading.receipt_number[:64]
    receipt.issued_at = reading.issued_at
    receipt.read_as = reading_key(
        shop_id=receipt.shop_id,
        receipt_number=receipt.receipt_number,
        issued_at=receipt.issued_at,
        amount=receipt.recognized_amount,
    )
    receipt.estimated_points = receipt.worth
    _write_outcome(receipt, record, now=now)
    READINGS.add_on_commit(1, "read")
    return True


@in_transaction
def fail(record: ProcessRecord, error: ProcessError, *, now: datetime) -> bool:
    """Give it up: the receipt is reviewed without a reading. False when it was taken away."""
    receipt = Receipt.objects.locked().get(pk=record.receipt_id)
    if not _end(record, ProcessStatus.FAILED, now=now, error=error):
        return False
    _write_outcome(receipt, record, now=now)
    READINGS.add_on_commit(1, "given_up")
    return True


@in_transaction
def give_back(record: ProcessRecord, *, now: datetime) -> None:
    """End a failed attempt: another worker may try, or this was the last time."""
    if record.attempts >= ATTEMPTS:
        fail(record, ProcessError.NOT_READ, now=now)
    elif _held(record).update(
        status=ProcessStatus.PENDING, progress=0, lease_until=None, queued_at=now
    ):
        record.status, record.progress = ProcessStatus.PENDING, 0
        events.progress_changed(record)
        transaction.on_commit(partial(process_receipt.enqueue, record.pk), robust=True)
        READINGS.add_on_commit(1, "tried_again")


def _end(
    record: ProcessRecord,
    status: ProcessStatus,
    *,
    now: datetime,
    duration: int | None = None,
    error: ProcessError | None = None,
) -> bool:
    """End the process if it is still ours."""
    ours = _held(record)
    if status == ProcessStatus.COMPLETED:
        is_ours = ours.update(
            status=status, lease_until=None, finished_at=now, progress=DONE, duration=duration
        )
    else:
        is_ours = ours.update(status=status, lease_until=None, finished_at=now, error=error or "")
    if is_ours:
        record.status = status
        record.progress = DONE if status == ProcessStatus.COMPLETED else record.progress
    return bool(is_ours)


def _write_outcome(receipt: Receipt, record: ProcessRecord, *, now: datetime) -> None:
    """Write the receipt as its reading left it; what was decided stays as it was decided on."""
    if receipt.status == ReceiptStatus.PENDING:
        reasons = risk.assess(receipt, record, now=now)
        receipt.risk_score = risk.score(reasons)
        receipt.risk_reasons = [reason.stored() for reason in reasons]
        receipt.save(
            update_fields=[
                "recognized_amount",
                "confidence",
                "receipt_number",
                "issued_at",
                "read_as",
                "estimated_points",
                "risk_score",
                "risk_reasons",
            ]
        )
    record.receipt = receipt
    events.progress_changed(record)


def sweep_processes(*, now: datetime) -> int:
    """Take up again the processes that nobody works on: a periodic job.

    That is: those whose task was lost, and those whose worker was killed, told by the lease that
    ran out. One whose task still waits in the queue is left alone, however long the line: it will
    have its turn. After the last attempt a process is given up. Returns how many were queued again
    or given up.
    """
    never_taken = Q(status=ProcessStatus.PENDING, queued_at__lt=now - READING_QUEUED_TOO_LONG.value)
    abandoned = Q(
        status=ProcessStatus.PROCESSING,
        lease_until__lt=now,
        queued_at__lt=now - READING_LEASE.value,
    )
    left = ProcessRecord.objects.filter(never_taken | abandoned)
    # Asked only when there are some: most rounds find none.
    waiting = (
        first_arguments(process_receipt, begun_after=now - READING_LEASE.value)
        if left.exists()
        else set()
    )
    return do_each(
        "sweep processes",
        left.exclude(pk__in=waiting).select_related("receipt").order_by("queued_at"),
        lambda record: _take_up(record, now=now),
        batch_size=BATCH_SIZE,
    )


@in_transaction
def _take_up(record: ProcessRecord, *, now: datetime) -> bool:
    if record.attempts >= ATTEMPTS:
        return fail(record, ProcessError.INTERRUPTED, now=now)
    # Of several sweeps at once, one sends it.
    is_ours = ProcessRecord.objects.filter(
        pk=record.pk, status=record.status, queued_at=record.queued_at
    ).update(queued_at=now)
    if is_ours:
        transaction.on_commit(partial(process_receipt.enqueue, record.pk), robust=True)
        READINGS.add_on_commit(1, "queued_again")
    return bool(is_ours)
