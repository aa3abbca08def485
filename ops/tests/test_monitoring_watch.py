"""What each machine does once for the alerts, and what is done where background work runs."""

from datetime import timedelta

import pytest
from django.utils import timezone

from ops import life_signs
from ops.measures import Gauge
from ops.models import (
    Alert,
    AlertNotice,
    AlertRule,
    JobRun,
    MetricSample,
    NoticeKind,
    ProcessBeat,
    Schedule,
)
from ops.monitoring import delivery, outage, standing_in, watch, words
from ops.monitoring.evaluation import evaluate
from ops.monitoring.jobs import EVALUATED_EVERY, EVALUATION
from ops.monitoring.outage import SLUG, Watch
from ops.monitoring.outage_file import Away
from ops.services import machine, metrics, schedules
from ops.services.scheduler import run_by_hand
from ops.tests.alerts import NOW, catcher, make_channel, make_rule
from ops.tests.test_machine import other

# Gauges are read by a thread, which does not see what SQLite keeps in memory for another.
pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def leave(monkeypatch):
    monkeypatch.setattr(outage, "ANSWERS_WITHIN", 60)  # however busy the machine is
    yield
    machine.let_go()
    standing_in.forget()


@pytest.fixture
def kind(monkeypatch):
    return lambda name: monkeypatch.setattr(life_signs, "_kind", [name])


@pytest.mark.parametrize("name", ["web", "sockets", "worker", "serve"])
def test_samples_are_taken_whatever_the_process_is_there_for(kind, name):
    kind(name)
    watch.sample()

    sample = MetricSample.objects.get()
    assert sample.host == machine.machine_id()
    assert "platform_review_queue" in sample.readings
    assert not any("_bucket" in series for series in sample.readings)


def test_one_process_of_a_machine_samples_and_another_one_when_it_is_gone():
    with other() as one:
        assert one.says()[0]
        watch.sample()
        assert not MetricSample.objects.exists()
        one.kill()
        watch.sample()
        assert MetricSample.objects.count() == 1


def test_without_a_folder_each_process_does_what_a_machine_does(monkeypatch, settings):
    """As on a full disk at the first start: rather twice than not at all."""
    (settings.DATA_DIR / "file").touch()
    settings.METRICS_DIR = settings.DATA_DIR / "file" / "metrics"
    noted = Noted(host="one")
    monkeypatch.setattr(watch, "_watch", noted)
    watch.sample()
    watch.watch_database()
    compared(ago=60)
    watch.stand_in()

    sample = MetricSample.objects.get()
    assert sample.host == watch.HOST
    assert "platform_disk_free_bytes" in sample.readings
    assert noted.did == "looked"
    assert JobRun.objects.count() == 1


def test_gauges_that_are_not_read_are_told_of(declared):
    def read():
        raise OSError

    Gauge("platform_x", "X.", read=read)
    Gauge("platform_y", "Y.", read=lambda: 1)
    AlertRule.objects.filter(slug="gauges-unread").update(for_seconds=0)
    watch.sample()
    evaluate(now=timezone.now())

    alert = Alert.objects.get(rule__slug="gauges-unread")
    assert (alert.series, alert.value) == (machine.machine_id(), 1)


class Noted(Watch):
    """Says what it was told to do."""

    def look(self):
        self.did = "looked"

    def stand_by(self):
        self.did = "stood by"


def test_one_process_of_a_machine_watches_the_database(monkeypatch):
    noted = Noted(host="one")
    monkeypatch.setattr(watch, "_watch", noted)
    with other() as one:
        assert one.says()[0]
        watch.watch_database()
        assert noted.did == "stood by"
        one.kill()
        watch.watch_database()
        assert noted.did == "looked"


def test_whoever_stands_by_knows_whom_to_tell(monkeypatch):
    AlertRule.objects.filter(slug=SLUG).delete()
    rule = make_rule(slug=SLUG)
    one = Watch(host="one")
    one.away = Away(since=timezone.now(), seen_at=timezone.now())
    one.stand_by()
    assert one.whom.rule == rule
    assert one.away is None
    learnt = one.whom
    one.stand_by()
    assert one.whom is learnt
    monkeypatch.setattr(outage, "LEARNT_EVERY", 0)
    one.stand_by()
    assert one.whom.is_newer_than(learnt)


def test_notices_are_sent_where_background_work_runs(kind):
    with catcher() as server:
        alert = Alert.objects.create(rule=make_rule(), value=1, since=NOW, raised_at=NOW)
        AlertNotice.objects.create(
            alert=alert,
            channel=make_channel(server.address),
            kind=NoticeKind.RAISED,
            message=words.message(alert, NoticeKind.RAISED),
        )
        kind("web")
        watch.deliver()
        kind("worker")
        watch.deliver()
        assert server.waits_for_one()
        watch.deliver()
    assert len(server.taken) == 1


# --- Where the only worker was killed -------------------------------------------------------------
def heard_of(*, ago):
    """A worker, with its scheduler, was at work so many seconds ago, and not since."""
    seen = timezone.now() - timedelta(seconds=ago)
    ProcessBeat.objects.update_or_create(
        name="w",
        defaults={
            "kind": "worker",
            "pid": 1,
            "memory": 1,
            "cpu_seconds": 1,
            "started_at": seen,
            "beat_at": seen,
            "worker_seen_at": seen,
            "scheduler_seen_at": seen,
        },
    )
    metrics.forget_gauges()


def compared(*, ago):
    """So many seconds ago rules had to be compared next."""
    now = schedules.database_now()
    schedules.add_missing(now=now)
    due = now - timedelta(seconds=ago)
    Schedule.objects.filter(job=EVALUATION).update(next_due_at=due)


@pytest.fixture
def worker_silent():
    """The one rule that is enabled."""
    AlertRule.objects.exclude(slug="worker-silent").update(is_enabled=False)
    return AlertRule.objects.get(slug="worker-silent")


@pytest.mark.parametrize("name", ["web", "sockets"])
def test_that_the_only_worker_is_silent_is_told_by_whoever_speaks_and_told_to_be_over(
    kind, name, worker_silent
):
    kind(name)
    of_worker = Alert.objects.filter(rule=worker_silent, series="part=worker")
    with catcher() as server:
        make_channel(server.address)
        heard_of(ago=70)
        compared(ago=60)
        watch.sample()
        watch.stand_in()
        for _part in ("worker", "scheduler"):
            assert server.waits_for_one()
        delivery.wait()
        assert of_worker.get().raised_at is not None

        watch.stand_in()
        delivery.wait()
        assert len(server.taken) == 2

        heard_of(ago=0)
        compared(ago=60)
        watch.sample()
        watch.stand_in()
        for _part in ("worker", "scheduler"):
            assert server.waits_for_one()
        delivery.wait()

    assert sorted(said["data"]["kind"] for _path, said, _headers in server.taken) == [
        "raised",
        "raised",
        "resolved",
        "resolved",
    ]
    assert of_worker.get().resolved_at is not None


def test_rules_are_left_to_a_scheduler_that_is_not_late(kind, worker_silent):
    kind("web")
    heard_of(ago=70)
    watch.sample()
    compared(ago=0)
    watch.stand_in()

    assert not Alert.objects.exists()
    assert not JobRun.objects.exists()


def test_late_is_what_was_due_longer_ago_than_that(kind, worker_silent):
    compared(ago=60)
    due = Schedule.objects.get(job=EVALUATION).next_due_at
    late = due + standing_in.LATE_AFTER

    assert not standing_in.compare(clock=lambda: late)
    assert not JobRun.objects.exists()
    assert standing_in.compare(clock=lambda: late + timedelta(microseconds=1))
    assert JobRun.objects.count() == 1


class Clock:
    """The database's, which goes on when it is told to."""

    def __init__(self):
        self.now = schedules.database_now()

    def __call__(self):
        return self.now

    def goes_on(self, seconds):
        self.now += timedelta(seconds=seconds)


def test_whoever_stands_in_compares_as_often_as_a_scheduler(worker_silent):
    compared(ago=60)
    clock = Clock()
    assert standing_in.compare(clock=clock)
    for _time in range(3):
        clock.goes_on(EVALUATED_EVERY.total_seconds())
        assert standing_in.compare(clock=clock)
        assert not standing_in.compare(clock=clock)
    assert JobRun.objects.count() == 4


def test_a_scheduler_that_is_back_is_left_alone_again(worker_silent):
    compared(ago=60)
    clock = Clock()
    assert standing_in.compare(clock=clock)
    clock.goes_on(EVALUATED_EVERY.total_seconds())
    assert run_by_hand(EVALUATION, clock=clock)  # as a scheduler does
    clock.goes_on(EVALUATED_EVERY.total_seconds())
    assert not standing_in.compare(clock=clock)
    clock.goes_on(standing_in.LATE_AFTER.total_seconds() + 1)
    assert standing_in.compare(clock=clock)


def test_of_two_machines_one_compares(kind, worker_silent):
    compared(ago=60)
    assert standing_in.compare()
    assert not standing_in.compare()
    assert JobRun.objects.count() == 1


def test_what_a_scheduler_is_at_is_left_to_it(kind, worker_silent):
    compared(ago=60)
    now = schedules.database_now()
    assert schedules.claim(EVALUATION, worker="another", now=now)
    assert not standing_in.compare()
    assert JobRun.objects.count() == 1


def test_whoever_does_not_speak_does_not_stand_in(kind, worker_silent):
    kind("web")
    heard_of(ago=70)
    watch.sample()
    machine.let_go()
    compared(ago=60)
    with other() as one:
        assert one.says()[0]
        watch.stand_in()
    assert not JobRun.objects.exists()


@pytest.mark.parametrize(("name", "sends"), [("web", True), ("worker", False)])
def test_a_notice_that_nobody_sends_is_sent_by_whoever_speaks(kind, monkeypatch, name, sends):
    """A worker has a beat of its own for it."""
    alert = Alert.objects.create(rule=make_rule(), value=1, since=NOW, raised_at=NOW)
    said = words.message(alert, NoticeKind.RAISED)
    kind(name)
    compared(ago=0)
    with catcher() as server:
        notice = AlertNotice.objects.create(
            alert=alert,
            channel=make_channel(server.address),
            kind=NoticeKind.RAISED,
            message=said,
        )
        watch.stand_in()
        delivery.wait()
        assert server.taken == []
        left = timezone.now() - standing_in.UNSENT_AFTER
        AlertNotice.objects.filter(pk=notice.pk).update(next_try_at=left)
        watch.stand_in()
        delivery.wait()
    assert bool(server.taken) is sends
