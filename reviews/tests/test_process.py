from datetime import timedelta
from decimal import Decimal

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.db.models import F
from django.tasks import TaskResultStatus
from django.tasks.signals import task_enqueued
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from redis.exceptions import RedisError

from catalog.tests.factories import make_shop
from ops.models import FailedRow
from ops.services import files
from ops.services.jobs import jobs
from reviews.models import (
    ProcessError,
    ProcessRecord,
    ProcessStatus,
    Receipt,
    ReceiptStatus,
    reading_key,
)
from reviews.services import process
from reviews.services.process import process_receipt, sweep_processes
from reviews.tests.factories import make_receipt, make_record, upload
from reviews.tests.scripted_reader import ISSUED_AT, ScriptedReader, make_reading
from tests.engines import queued
from tests.people import make_person

pytestmark = pytest.mark.django_db

on_each_engine = pytest.mark.usefixtures("task_engine")

NOW = timezone.now()
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def receipt():
    make_shop()
    return upload(make_person())


@pytest.fixture
def record(receipt):
    # The suite may take long to come here: it is queued at the moment these tests start from.
    ProcessRecord.objects.filter(pk=receipt.process.pk).update(queued_at=NOW)
    receipt.process.queued_at = NOW
    return receipt.process


def run(record):
    process_receipt.call(record.pk)
    record.refresh_from_db()
    return record


def claimed(record, *, now=NOW):
    return process.claim(record.pk, reader=process.load_reader(READER), now=now)


READER = "reviews.tests.scripted_reader.ScriptedReader"


# --- The whole way ------------------------------------------------------------------------------
def test_a_receipt_is_read(receipt, record, reader):
    reader.script.append(make_reading(amount=Decimal("128.50")))

    run(record)

    receipt.refresh_from_db()
    assert receipt.recognized_amount == Decimal("128.50")
    assert receipt.confidence == Decimal("0.9500")
    assert receipt.receipt_number == "20261122000123"
    assert receipt.issued_at == ISSUED_AT
    assert receipt.estimated_points == 1285
    assert receipt.status == ReceiptStatus.PENDING
    assert (record.status, record.progress, record.error) == ("completed", 100, "")
    assert (record.model_name, record.settings) == ("scripted", {"pages": 1})
    assert (record.attempts, record.lease_until) == (1, None)
    assert record.duration >= 0
    assert record.started_at <= record.finished_at
    assert reader.pictures == [files.read(receipt.picture)]


@pytest.mark.parametrize(
    ("read", "points"), [("100.00", 1000), ("200.00", 1285), ("128.51", 1285), (None, 1285)]
)
def test_points_follow_the_smaller_amount(receipt, record, reader, read, points):
    reader.script.append(make_reading(amount=read and Decimal(read)))

    run(record)

    receipt.refresh_from_db()
    assert receipt.estimated_points == points


def test_the_rules_of_the_day_of_upload_hold(receipt, record, reader, settings):
    Receipt.objects.update(multiplier=Decimal("1.50"))
    settings.POINTS_PER_YUAN = 1
    reader.script.append(make_reading(amount=Decimal("10.01")))

    run(record)

    receipt.refresh_from_db()
    assert receipt.estimated_points == 150


def test_every_step_is_told(receipt, record, reader, pushes, django_capture_on_commit_callbacks):
    reader.script.append(make_reading())

    with django_capture_on_commit_callbacks(execute=True):
        process_receipt.call(record.pk)

    told = [
        (event["data"]["status"], event["data"]["progress"], event["data"]["recognized_amount"])
        for event in pushes.take(3)
    ]
    assert told == [
        ("processing", 10, None),
        ("processing", 60, None),
        ("completed", 100, "128.50"),
    ]


def test_reading_again_changes_nothing(receipt, record, reader):
    reader.script.extend([make_reading(), make_reading(amount=Decimal(1))])
    run(record)
    before = Receipt.objects.values().get()

    run(record)

    assert Receipt.objects.values().get() == before
    assert record.attempts == 1
    assert len(reader.pictures) == 1


def test_a_record_that_is_gone_is_nothing_to_do(reader):
    process_receipt.call(404)

    assert reader.pictures == []


def test_a_very_long_number_is_cut(receipt, record, reader):
    reader.script.append(make_reading(receipt_number="7" * 80))

    run(record)

    receipt.refresh_from_db()
    assert receipt.receipt_number == "7" * 64


# --- The key of what was read ---------------------------------------------------------------------
def test_a_receipt_is_known_by_all_four(receipt, record, reader):
    reader.script.append(make_reading())

    run(record)

    receipt.refresh_from_db()
    facts = {
        "shop_id": receipt.shop_id,
        "receipt_number": "20261122000123",
        "issued_at": ISSUED_AT,
        "amount": Decimal("128.5"),
    }
    assert receipt.read_as == reading_key(**facts)
    assert len(receipt.read_as) == 64
    for name, other in {
        "shop_id": 0,
        "receipt_number": "20261122000124",
        "issued_at": ISSUED_AT + timedelta(seconds=1),
        "amount": Decimal("128.51"),
    }.items():
        assert reading_key(**facts | {name: other}) not in {"", receipt.read_as}


@pytest.mark.parametrize("missing", [{"amount": None}, {"receipt_number": ""}, {"issued_at": None}])
def test_what_was_not_read_is_no_key(receipt, record, reader, missing):
    reader.script.append(make_reading(**missing))

    run(record)

    receipt.refresh_from_db()
    assert receipt.read_as == ""


# --- Failing --------------------------------------------------------------------------------------
def test_a_failed_attempt_is_tried_again(
    receipt, record, reader, django_capture_on_commit_callbacks
):
    reader.script.extend([RuntimeError("no memory"), make_reading()])

    with django_capture_on_commit_callbacks(execute=True):
        run(record)

    assert (record.status, record.progress, record.attempts) == ("pending", 0, 1)
    assert DBTaskResult.objects.get().args_kwargs["args"] == [record.pk]
    run(record)
    assert (record.status, record.attempts) == ("completed", 2)


def test_after_three_attempts_a_person_has_to_look(receipt, record, reader, pushes):
    reader.script.extend([RuntimeError("once"), ValueError("twice"), OSError("three times")])

    for _ in range(5):
        run(record)

    assert (record.status, record.attempts, record.error) == ("failed", 3, "not_read")
    assert record.finished_at is not None
    receipt.refresh_from_db()
    assert receipt.recognized_amount is None
    assert receipt.estimated_points == 1285
    assert [reason["code"] for reason in receipt.risk_reasons] == ["reading_failed"]
    assert len(reader.pictures) == 3


def test_a_lost_picture_fails_the_reading_alone(receipt, record, settings):
    for path in settings.MEDIA_ROOT.rglob("*.jpg"):
        path.unlink()

    for _ in range(3):
        run(record)

    assert (record.status, record.error) == ("failed", "not_read")


# --- Leases ---------------------------------------------------------------------------------------
def test_only_one_worker_is_at_it(record):
    assert claimed(record).attempts == 1

    assert claimed(record) is None
    assert claimed(record, now=NOW + django_settings.READING_LEASE) is None


def test_a_killed_workers_job_is_taken_up(record, receipt, reader):
    """The worker was killed while it read: nothing of it is left but a lease that runs out."""
    claimed(record)
    reader.script.append(make_reading())

    assert sweep_processes(now=NOW + django_settings.READING_LEASE + timedelta(minutes=1)) == 1
    ProcessRecord.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    run(record)

    assert (record.status, record.attempts) == ("completed", 2)
    receipt.refresh_from_db()
    assert receipt.recognized_amount == Decimal("128.50")


def test_a_worker_thought_dead_writes_nothing(record, receipt):
    slow = claimed(record)
    fast = claimed(record, now=LATER)

    assert process.report(slow, progress=60) is False
    assert process.complete(slow, make_reading(), duration=1, now=LATER) is False
    assert process.fail(slow, ProcessError.NOT_READ, now=LATER) is False
    process.give_back(slow, now=LATER)

    receipt.refresh_from_db()
    record.refresh_from_db()
    assert receipt.recognized_amount is None
    assert (record.status, record.attempts, record.progress) == ("processing", 2, 10)
    assert process.complete(fast, make_reading(), duration=1, now=LATER) is True
    assert process.complete(fast, make_reading(amount=None), duration=1, now=LATER) is False
    receipt.refresh_from_db()
    assert receipt.recognized_amount == Decimal("128.50")


class OvertakenReader(ScriptedReader):
    """Takes so long that the process goes to another worker meanwhile."""

    def read(self, picture):
        ProcessRecord.objects.update(attempts=F("attempts") + 1)
        return make_reading()


def test_a_task_that_lost_its_job_while_reading_stops(record, receipt, settings):
    settings.RECEIPT_READER = f"{__name__}.OvertakenReader"

    run(record)

    receipt.refresh_from_db()
    assert receipt.recognized_amount is None
    assert (record.status, record.progress, record.attempts) == ("processing", 10, 2)


def test_a_decided_receipt_keeps_what_it_was_decided_on():
    """No reading is under way while a decision is taken (6006); should it be, it comes too late."""
    receipt = make_receipt(read=False, process=None)
    record = make_record(receipt, status=ProcessStatus.PENDING)
    mine = claimed(record)
    Receipt.objects.update(
        status=ReceiptStatus.APPROVED,
        points_awarded=0,
        reviewer=make_person(),
        reviewed_at=timezone.now(),
    )
    before = Receipt.objects.values().get()

    assert process.complete(mine, make_reading(), duration=1, now=NOW) is True

    assert Receipt.objects.values().get() == before


# --- The sweep ------------------------------------------------------------------------------------
@on_each_engine
def test_a_job_whose_message_was_lost_is_sent_again(record, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        assert sweep_processes(now=NOW + timedelta(seconds=30)) == 0
        assert sweep_processes(now=LATER) == 1
        assert sweep_processes(now=LATER) == 0

    assert queued() == [[record.pk]]


def sweep_for_a_day(callbacks):
    """Sweep every hour, and send what the sweeps want to send."""
    swept = 0
    for hour in range(1, 25):
        with callbacks(execute=True):
            swept += sweep_processes(now=timezone.now() + timedelta(hours=hour))
    return swept


@on_each_engine
def test_a_receipt_has_one_task_however_long_the_line(django_capture_on_commit_callbacks):
    make_shop()
    with django_capture_on_commit_callbacks(execute=True):
        receipts = [upload(make_person(), amount="1") for _ in range(30)]
    assert len(queued()) == 30

    assert sweep_for_a_day(django_capture_on_commit_callbacks) == 0

    assert sorted(queued()) == sorted([receipt.process.pk] for receipt in receipts)


@on_each_engine
def test_of_a_long_line_only_what_was_lost_is_sent_again(django_capture_on_commit_callbacks):
    shop = make_shop()
    with django_capture_on_commit_callbacks(execute=True):
        waiting = [upload(make_person(), amount="1") for _ in range(process.BATCH_SIZE + 5)]
    lost = make_record(
        make_receipt(shop=shop, read=False, process=None), status=ProcessStatus.PENDING
    )

    assert sweep_for_a_day(django_capture_on_commit_callbacks) == 1

    assert len(queued()) == len(waiting) + 1
    assert queued()[-1] == [lost.pk]


@on_each_engine
def test_what_a_killed_worker_held_is_queued_once(record, django_capture_on_commit_callbacks):
    claimed(record)

    assert sweep_for_a_day(django_capture_on_commit_callbacks) == 1

    assert queued() == [[record.pk]]


@pytest.mark.postgresql
def test_a_redis_that_lost_its_queue_loses_no_receipt(
    record, redis_engine, django_capture_on_commit_callbacks
):
    process_receipt.enqueue(record.pk)
    cache.clear()  # the queue lies in the same Redis
    assert queued() == []

    with django_capture_on_commit_callbacks(execute=True):
        assert sweep_processes(now=LATER) == 1

    assert queued() == [[record.pk]]


@pytest.mark.postgresql
def test_a_redis_that_is_away_loses_no_receipt(
    record, redis_engine, settings, django_capture_on_commit_callbacks
):
    here, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    with pytest.raises(RedisError):
        process_receipt.enqueue(record.pk)
    settings.REDIS_URL = here

    with django_capture_on_commit_callbacks(execute=True):
        assert sweep_processes(now=LATER) == 1

    assert queued() == [[record.pk]]


@pytest.mark.parametrize(
    ("status", "begun", "is_lost"),
    [
        (TaskResultStatus.READY, None, False),
        (TaskResultStatus.RUNNING, LATER - timedelta(seconds=1), False),
        # Its worker was killed before it came to the row.
        (TaskResultStatus.RUNNING, NOW, True),
        (TaskResultStatus.FAILED, NOW, True),
        (TaskResultStatus.SUCCESSFUL, NOW, True),
    ],
)
@pytest.mark.parametrize("path", [None, "reviews.services.reading.read_receipt"])
def test_a_task_is_lost_when_nobody_will_run_it(record, status, begun, is_lost, path):
    process_receipt.enqueue(record.pk)
    DBTaskResult.objects.update(
        status=status, started_at=begun, task_path=path or process_receipt.module_path
    )

    assert sweep_processes(now=LATER) == is_lost


def test_a_task_of_another_kind_is_none_of_the_receipt(record):
    process_receipt.enqueue(record.pk)
    DBTaskResult.objects.update(task_path="ops.tests.probe_tasks.note")

    assert sweep_processes(now=LATER) == 1


def test_the_sweep_runs_with_the_background_work(record, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        jobs["sweep processes"].work(now=LATER)

    assert DBTaskResult.objects.get().args_kwargs["args"] == [record.pk]


def test_a_running_job_is_left_alone(record):
    claimed(record, now=LATER)

    assert sweep_processes(now=LATER + django_settings.READING_LEASE) == 0


def test_finished_jobs_are_left_alone():
    make_receipt(process=ProcessStatus.COMPLETED)
    make_receipt(process=ProcessStatus.FAILED)

    assert sweep_processes(now=timezone.now() + timedelta(days=1)) == 0


def test_a_picture_that_kills_its_workers_is_given_up(record, receipt):
    now = NOW
    for attempt in range(1, 4):
        assert claimed(record, now=now).attempts == attempt
        now += django_settings.READING_LEASE + timedelta(minutes=1)
        assert sweep_processes(now=now) == 1

    record.refresh_from_db()
    assert (record.status, record.error, record.attempts) == ("failed", "interrupted", 3)
    assert claimed(record, now=now) is None
    assert sweep_processes(now=now + timedelta(days=1)) == 0
    receipt.refresh_from_db()
    assert [reason["code"] for reason in receipt.risk_reasons] == ["reading_failed"]


@pytest.fixture
def sweep_within():
    """Sweep as soon as another sweep has queued its first job; gives what that one returned."""
    swept = []

    def sweep(**_signal):
        task_enqueued.disconnect(sweep)
        swept.append(sweep_processes(now=LATER))

    task_enqueued.connect(sweep)
    yield swept
    task_enqueued.disconnect(sweep)


@pytest.mark.django_db(transaction=True)
def test_of_two_sweeps_one_sends(sweep_within):
    """The outer one has read both rows when the inner one takes the second."""
    records = [
        make_record(
            make_receipt(read=False, process=None), status=ProcessStatus.PENDING, queued_at=NOW
        )
        for _ in range(2)
    ]

    assert sweep_processes(now=LATER) == 1

    assert sweep_within == [1]
    sent = [task.args_kwargs["args"] for task in DBTaskResult.objects.all()]
    assert sorted(sent) == [[record.pk] for record in records]


# --- What the database refuses --------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"status": "lost", "finished_at": NOW}, "processrecord_status_known"),
        ({"kind": "painting"}, "processrecord_kind_known"),
        ({"progress": 101}, "processrecord_progress_in_range"),
        ({"lease_until": NOW}, "processrecord_lease_while_processing"),
        ({"status": "processing"}, "processrecord_lease_while_processing"),
        ({"status": "completed"}, "processrecord_finished_with_a_time"),
        ({"finished_at": NOW}, "processrecord_finished_with_a_time"),
        ({"status": "failed", "finished_at": NOW}, "processrecord_failed_with_an_error"),
        ({"error": "not_read"}, "processrecord_failed_with_an_error"),
    ],
)
def test_the_database_refuses_impossible_jobs(record, fields, constraint):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        ProcessRecord.objects.update(**fields)


def test_a_receipt_has_one_unfinished_reading(record, receipt):
    with pytest.raises(IntegrityError), transaction.atomic():
        make_record(receipt, status=ProcessStatus.PENDING)
    make_record(receipt, status=ProcessStatus.COMPLETED)


def test_a_process_that_cannot_be_ended_stops_no_other():
    shop = make_shop()
    broken, fine = (
        make_record(make_receipt(shop=shop, read=False, process=None), status=ProcessStatus.PENDING)
        for _ in range(2)
    )
    ProcessRecord.objects.update(queued_at=NOW)
    # Given up now, its receipt is compared with others, which its row no longer allows.
    ProcessRecord.objects.filter(pk=broken.pk).update(
        status=ProcessStatus.PROCESSING, attempts=process.ATTEMPTS, lease_until=NOW
    )
    Receipt.objects.filter(pk=broken.receipt_id).update(difference_hash="none")

    assert sweep_processes(now=LATER) == 1

    broken.refresh_from_db()
    fine.refresh_from_db()
    assert broken.status == ProcessStatus.PROCESSING
    assert fine.queued_at == LATER
    assert FailedRow.objects.get().row_id == str(broken.pk)
