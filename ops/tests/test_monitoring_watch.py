"""What each machine does once for the alerts, and what is done where background work runs."""

import pytest
from django.utils import timezone

from ops import life_signs
from ops.models import Alert, AlertNotice, AlertRule, MetricSample, NoticeKind
from ops.monitoring import outage, watch, words
from ops.monitoring.outage import SLUG, Watch
from ops.monitoring.outage_file import Away
from ops.services import machine
from ops.tests.alerts import NOW, catcher, make_channel, make_rule
from ops.tests.test_machine import other

# Gauges are read by a thread, which does not see what SQLite keeps in memory for another.
pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def leave():
    yield
    machine.let_go()


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
