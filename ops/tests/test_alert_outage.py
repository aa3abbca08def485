"""While the database is away, those who would be told are told without it."""

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from ops.models import Alert, AlertChannel, AlertRule
from ops.monitoring import outage
from ops.monitoring.channels import Target
from ops.monitoring.outage import SLUG, Watch
from ops.tests.alerts import NOW, catcher, make_channel

# The watch asks from a thread, which does not see what SQLite keeps in memory for another.
pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now

    def goes_on(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rule():
    AlertRule.objects.filter(slug=SLUG).delete()
    return AlertRule.objects.create(
        name="Database",
        slug=SLUG,
        metric="platform_database_up",
        comparison="below",
        threshold=1,
        for_seconds=15,
        severity="critical",
    )


class Database:
    """Answers, refuses or hangs, as it is told."""

    def __init__(self):
        self.is_away = False
        self.hangs = threading.Event()
        self.goes_on = threading.Event()

    def __call__(self):
        if self.hangs.is_set():
            self.goes_on.wait(60)
        if self.is_away:
            raise OperationalError("connection refused")


@pytest.fixture
def database():
    one = Database()
    yield one
    one.goes_on.set()


def test_it_is_told_and_told_to_be_over_and_stored(rule, clock, database):
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        watch.look()
        database.is_away = True
        watch.look()
        clock.goes_on(14)
        watch.look()
        assert server.taken == []

        clock.goes_on(1)
        watch.look()
        assert server.waits_for_one()
        clock.goes_on(60)
        watch.look()
        database.is_away = False
        watch.look()
        assert server.waits_for_one()

    assert [said["data"]["kind"] for _path, said, _headers in server.taken] == [
        "raised",
        "resolved",
    ]
    alert = Alert.objects.get(rule=rule)
    assert (alert.series, alert.raised_at, alert.resolved_at) == (
        "one",
        NOW,
        NOW + timedelta(seconds=75),
    )


def test_a_short_absence_is_told_to_nobody(rule, clock, database):
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        watch.look()
        database.is_away = True
        watch.look()
        database.is_away = False
        clock.goes_on(60)
        watch.look()

    assert server.taken == []
    assert not Alert.objects.exists()


def test_who_never_reached_it_knows_nobody_to_tell(rule, clock, database):
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        database.is_away = True
        watch.look()
        clock.goes_on(60)
        watch.look()

    assert server.taken == []


def test_one_that_answers_and_does_not_say_whom_to_tell_is_not_away(rule, clock, database):
    """As while a migration holds the table of the rules."""
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        watch.look()
        known = watch.rule, watch.targets
        watch.learnt_at = 0
        table = AlertChannel._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} RENAME TO away")
        try:
            for _look in range(3):
                watch.look()
                clock.goes_on(60)
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"ALTER TABLE away RENAME TO {table}")

    assert watch.away_since is None
    assert (watch.rule, watch.targets) == known
    assert server.taken == []


def test_a_channel_whose_key_is_gone_keeps_no_other_from_being_told(rule, clock, database, caplog):
    with catcher() as server:
        broken = make_channel()
        AlertChannel.objects.filter(pk=broken.pk).update(
            address_encrypted="0123456789abcdef:nothing"
        )
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        watch.look()
        database.is_away = True
        watch.look()
        clock.goes_on(15)
        watch.look()

        assert server.waits_for_one()
    assert f"channel {broken.pk} is gone" in caplog.text


def test_one_that_hangs_is_away_and_is_asked_by_one_thread(rule, clock, database, monkeypatch):
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        watch.look()
        monkeypatch.setattr(outage, "ANSWERS_WITHIN", 0.05)
        database.hangs.set()
        for _look in range(3):
            watch.look()
            clock.goes_on(15)

        assert server.waits_for_one()
        asking = [one for one in threading.enumerate() if one.name == "database watch asks"]
        assert len(asking) == 1
        database.goes_on.set()
        asking[0].join()


def test_a_silenced_rule_tells_nobody(rule, clock, database):
    AlertRule.objects.filter(pk=rule.pk).update(silenced_until=NOW + timedelta(hours=1))
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        watch.look()
        database.is_away = True
        watch.look()
        clock.goes_on(60)
        watch.look()

    assert server.taken == []


def test_one_that_does_not_take_it_is_told_again(monkeypatch, caplog):
    monkeypatch.setattr(outage, "BETWEEN", 0)
    said = {"id": 1, "rule": "r", "severity": "critical", "title": "T", "text": "t", "kind": "x"}
    with catcher(statuses=[500, 500]) as server:
        outage._send(Target("t", "webhook", server.address), said | {"link": ""})
    assert len(server.taken) == 3
    outage._send(Target("nowhere", "webhook", "http://127.0.0.1:9/hook"), said | {"link": ""})

    assert caplog.text.count("Channel nowhere was not told") == outage.TRIES
