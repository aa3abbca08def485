"""Each rule that every platform begins with: what it is for goes wrong, is told, and told over.

The rules are as they are shipped, but for the size of a process, which belongs to its machine. What
has to last a while lasts by the times of the rows. Faults for which a server has to be stopped, or
a disk to be filled, are planted by tests/test_alerts_drill.py.
"""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import F
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from accounts.models import SignInCode
from accounts.tests.test_code_limits import make_codes, post
from catalog.models import StockOperation
from catalog.services.stock import change_stock
from catalog.tests.factories import make_product
from favorites.models import Favorite
from ops import life_signs, pools
from ops.backups import deployment, proving, taking, wal_receiving
from ops.backups.errors import BackupRefused
from ops.backups.wal import SLOT
from ops.backups.wal_archive import Taking
from ops.backups.wal_folder import REACHED, Reached
from ops.metrics import LONGEST_LOCK_WAIT
from ops.models import (
    AlertRule,
    Backup,
    BackupTrigger,
    LedgerSeal,
    ProcessBeat,
    Reading,
    RunStatus,
    Schedule,
)
from ops.monitoring.default_rules import WORDS
from ops.monitoring.jobs import EVALUATION
from ops.services import metrics, processes, seals, slow_requests, storage_probe
from ops.services.scheduler import Scheduler, run_by_hand
from ops.tests.alerts import catcher
from ops.tests.databases import elsewhere, other_parameters, wait_until
from ops.tests.dump_backups import programs
from ops.tests.probe_tasks import fail, note
from reviews.services.review import Action, Decision, review
from reviews.services.reviewers import reviewer_for
from reviews.tests.factories import make_receipt, make_reviewer
from tests.alerting import Alerting, alerting, earlier
from tests.api import client_of, data_of
from tests.engines import status_of, work_until
from tests.ledgers import without_triggers
from tests.people import make_person
from tests.refusals import refused
from tests.test_alerts_drill import RAISED_BY_THE_DRILL
from tests.tls_servers import showing_a_certificate

# Gauges are read by a thread, which does not see what SQLite keeps in memory for another.
pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

MIB = 1024**2
AN_HOUR = 3600  # seconds
PLENTY = 60  # seconds, for what takes a moment


@dataclass(kw_only=True)
class Stage:
    """What a fault is planted with."""

    alerting: Alerting
    settings: Any
    monkeypatch: pytest.MonkeyPatch
    folder: Path  # an empty one


# --- Requests -------------------------------------------------------------------------------------
FAVORITES = Favorite._meta.db_table


@contextmanager
def without(table: str) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table}_away RENAME TO {table}")


@contextmanager
def errors(_stage):
    api = client_of(make_person(), raise_request_exception=False)
    with without(FAVORITES):
        for _request in range(30):
            assert api.get("/api/favorites").status_code == 500
        yield


@contextmanager
def slow_view(stage):
    api = client_of(make_person())
    stage.settings.SLOW_REQUEST_SECONDS = 0.2

    def ask():
        with closing(connection):
            data_of(api.get("/api/favorites"))

    with elsewhere(autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {FAVORITES} IN ACCESS EXCLUSIVE MODE")
        asking = Thread(target=ask)
        asking.start()
        wait_until(lambda: LONGEST_LOCK_WAIT.values()[()] > 0.2, PLENTY)
    asking.join(PLENTY)
    assert slow_requests.write_waiting() == 1
    yield


# --- Database, storage, certificate ---------------------------------------------------------------
@contextmanager
def taken_connections(stage):
    """Others have all but one of the pool, and one more waits."""
    stage.monkeypatch.setattr(metrics, "TIME_LIMIT", 0.5)  # the gauges of the database wait as well
    given_back = Event()

    def hold():
        with closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            given_back.wait(PLENTY)

    with other_parameters(min_size=1, max_size=3, timeout=PLENTY), ThreadPoolExecutor(3) as pool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")  # ours
        for _other in range(3):
            pool.submit(hold)
        wait_until(lambda: pools.waiting() == 1, PLENTY)
        try:
            yield
        finally:
            given_back.set()


@contextmanager
def table_of_a_gauge_gone(_stage):
    with without(SignInCode._meta.db_table):
        yield


@contextmanager
def storage_gone(stage):
    storage_probe.probe()
    media = Path(django_settings.MEDIA_ROOT)
    media.rename(aside := stage.folder / "media")
    media.touch()
    with pytest.raises(OSError, match="Not a directory"):
        storage_probe.probe()
    yield
    media.unlink()
    aside.rename(media)
    storage_probe.probe()


@contextmanager
def ending_certificate(stage):
    with showing_a_certificate(stage.folder) as shown:
        stage.settings.PUBLIC_URL = shown.base
        shown.renew(days=3)
        yield
        shown.renew(days=365)
        stage.alerting.look()


# --- Background work ------------------------------------------------------------------------------
@contextmanager
def waiting_task(_stage):
    result = note.enqueue("late")
    earlier(DBTaskResult, 121, "enqueued_at")
    yield
    work_until(lambda: status_of(result) == "SUCCESSFUL")


@contextmanager
def failing_task(_stage):
    result = fail.enqueue()
    work_until(lambda: status_of(result) == "FAILED")
    yield
    earlier(DBTaskResult, AN_HOUR, "finished_at")


def error_of(job: str) -> str:
    """How a run of this job fails; empty where it does not."""
    ended = run_by_hand(job)
    assert ended is not None
    return ended.error


@contextmanager
def failing_job(stage):
    assert not error_of(EVALUATION)
    with catcher(statuses=[500, 500, 500]) as outside:
        stage.settings.ALERT_HEARTBEAT_URL = f"{outside.base}/heartbeat"
        for _time in range(3):
            assert "HTTP 500" in error_of("outside heartbeat")
        yield
        assert not error_of("outside heartbeat")


@contextmanager
def no_scheduler(_stage):
    late = Schedule.objects.filter(job="expired files")
    late.update(next_due_at=timezone.now() - timedelta(seconds=301))
    yield
    scheduler = Scheduler()
    scheduler.start()
    try:
        wait_until(lambda: late.filter(next_due_at__gt=timezone.now()).exists(), PLENTY)
    finally:
        scheduler.ask_to_stop()
        scheduler.join(PLENTY)


@contextmanager
def stopped_worker(stage):
    stage.monkeypatch.setattr(life_signs, "_seen", {})

    def work():
        life_signs._seen.clear()
        work_until(lambda: life_signs.seen_at("worker") is not None)
        processes.beat()

    work()
    earlier(ProcessBeat, 61, "worker_seen_at", "beat_at")
    yield
    work()


@contextmanager
def much_memory(_stage):
    rule = AlertRule.objects.filter(slug="memory")
    rule.update(threshold=psutil.Process().memory_info().rss + 50 * MIB)
    held = bytearray(200 * MIB)
    held[::4096] = b"1" * len(held[::4096])  # a page that nobody wrote to is not there
    yield
    del held


# --- Business -------------------------------------------------------------------------------------
@contextmanager
def old_receipt(_stage):
    receipt = make_receipt(created_at=timezone.now() - timedelta(days=1, seconds=1))
    yield
    reviewer = reviewer_for(make_reviewer(receipt.shop))
    decision = Decision(upload_id=receipt.pk, action=Action.REJECT, reason="Unreadable")
    review(reviewer=reviewer, decision=decision)


@contextmanager
def short_stock(_stage):
    product = make_product(stock=100)

    def change(quantity):
        operation = StockOperation.ADMIN_ADJUST
        change_stock(product_id=product.pk, quantity=quantity, operation=operation, reason="test")

    change(-99)
    yield
    change(99)


@contextmanager
def pumped_codes(stage):
    stage.settings.SMS_PUMPING_CODES, stage.settings.SMS_PUMPING_PERCENT = 10, 30
    make_codes(10)
    data_of(post("13800138001"))
    yield


@contextmanager
def spent_budget(stage):
    stage.settings.SMS_CODES_A_DAY_IN_ALL = 2
    for number in (1, 2):
        data_of(post(f"1380013{number}000", f"198.51.100.{number}"))
    refused(post("13900130000"), 1003)
    yield


@contextmanager
def forged_seals(_stage):
    """The row of a seal is gone, and there is the file of one that nobody made."""
    make_person(points=7)
    seals.seal_ledgers(now=timezone.now())
    [made] = (Path(django_settings.DATA_DIR) / "seals").glob("*.json.gz")
    tomorrow = timezone.localdate() + timedelta(days=1)
    false = made.with_name(f"{tomorrow}{made.name[10:]}")
    shutil.copy(made, false)
    with without_triggers(LedgerSeal):
        LedgerSeal.objects.all().delete()
    assert error_of("seal ledgers")
    yield
    false.unlink()


# --- Backups --------------------------------------------------------------------------------------
def back_up(stage):
    stage.settings.BACKUP_DIR = stage.folder / "backups"
    stage.settings.PG_TOOLS_DIR = str(programs())
    return taking.back_up(trigger=BackupTrigger.SCHEDULE)


@contextmanager
def failed_backup(stage):
    """The program that writes it is there, and breaks off."""
    tools = stage.folder / "tools"
    tools.mkdir()
    for name in ("pg_dump", "pg_restore"):
        script = f'[ "$1" = --version ] && echo "{name} (PostgreSQL) 99.0" && exit\nexit 1\n'
        (tools / name).write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
        (tools / name).chmod(0o755)
    stage.settings.BACKUP_DIR = stage.folder / "backups"
    stage.settings.PG_TOOLS_DIR = str(tools)
    with pytest.raises(BackupRefused):
        taking.back_up(trigger=BackupTrigger.SCHEDULE)
    yield


@contextmanager
def damaged_backup(stage):
    made = back_up(stage)
    piece = stage.folder / "backups" / made.id / "database.age"
    piece.write_bytes(piece.read_bytes()[:-100])
    with pytest.raises(BackupRefused):
        proving.prove(made.id)
    yield


@contextmanager
def no_backup(_stage):
    """The platform is a month old, and nothing was ever proven."""
    applied = MigrationRecorder.Migration.objects
    applied.update(applied=F("applied") - timedelta(days=30))
    try:
        yield
        now = timezone.now()
        Backup.objects.create(status=RunStatus.SUCCEEDED, started_at=now, proven_at=now)
    finally:
        applied.update(applied=F("applied") + timedelta(days=30))


@contextmanager
def silent_receiver(stage):
    """The WAL was received until ten minutes ago, and nobody said that it is to end."""
    stage.settings.BACKUP_DIR = stage.folder / "backups"
    stage.settings.BACKUP_METHOD = "pages"
    (first, *_others) = deployment.places()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_create_physical_replication_slot(%s)", [SLOT])
        cluster = wal_receiving.cluster_that_is_received()
        assert cluster

    def say(at):
        has = Reached(
            at=at, lsn="0/1000000", timeline=1, segment_size=16 << 20, system_identifier=cluster
        )
        Taking(first, cluster, stage.folder)(REACHED, BytesIO(has.written()))

    try:
        say(timezone.now() - timedelta(minutes=10))
        yield
        say(timezone.now() + timedelta(hours=1))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_drop_replication_slot(%s)", [SLOT])


@contextmanager
def wanted_news(stage):
    """Whoever wants to know that one was begun and made has switched these rules on."""
    AlertRule.objects.filter(is_enabled=False).update(is_enabled=True)
    back_up(stage)
    yield


# --- All of them ----------------------------------------------------------------------------------
FAULTS: dict[str, Callable[[Stage], Any]] = {
    "backup-failed": failed_backup,
    "backup-made": wanted_news,
    "backup-not-proven": damaged_backup,
    "backup-overdue": no_backup,
    "backup-started": wanted_news,
    "certificate-near-end": ending_certificate,
    "database-connections": taken_connections,
    "error-rate": errors,
    "gauges-unread": table_of_a_gauge_gone,
    "job-failing": failing_job,
    "job-late": no_scheduler,
    "memory": much_memory,
    "queue-old": waiting_task,
    "review-queue-old": old_receipt,
    "seals-contradict": forged_seals,
    "slow-requests": slow_view,
    "sms-budget-used-up": spent_budget,
    "sms-pumping": pumped_codes,
    "stock-low": short_stock,
    "storage-away": storage_gone,
    "tasks-lost": failing_task,
    "worker-silent": stopped_worker,
    "wal-behind": silent_receiver,
}


@pytest.fixture
def stage(settings, monkeypatch, tmp_path):
    settings.LANGUAGE_CODE = "en"
    settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
    with alerting() as one:
        yield Stage(alerting=one, settings=settings, monkeypatch=monkeypatch, folder=tmp_path)


@pytest.mark.parametrize("slug", FAULTS)
def test_what_a_rule_is_for_is_told_and_told_to_be_over(stage, slug):
    one = stage.alerting
    rule = AlertRule.objects.get(slug=slug)
    one.look()
    assert one.notices(slug) == []

    with ExitStack() as wrong:
        wrong.enter_context(FAULTS[slug](stage))
        one.look()
        if rule.for_seconds:
            assert one.notices(slug) == [], "it does not last yet"
            one.let_pass(rule.for_seconds)
            one.look()
        told = one.notices(slug)
        assert told
        for said in told:
            assert said["data"]["kind"] == "raised"
            assert said["severity"] == rule.severity
            assert said["title"] == WORDS[slug].title
        one.look()
        assert one.notices(slug) == told, "once"
    if rule.reading != Reading.VALUE:
        one.let_pass(rule.window_seconds)
    one.look()

    over = one.notices(slug)[len(told) :]
    assert [said["data"]["kind"] for said in over] == ["resolved"] * len(told)
    assert {said["data"]["series"] for said in over} == {said["data"]["series"] for said in told}


def test_each_rule_is_raised_here_or_by_the_drill():
    shipped = set(AlertRule.objects.exclude(slug="").values_list("slug", flat=True))
    assert {*FAULTS, *RAISED_BY_THE_DRILL} == shipped
