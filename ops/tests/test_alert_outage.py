"""While the database is away, those who would be told are told without it."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from ops.models import Alert, AlertChannel, AlertRule
from ops.monitoring.outage import SLUG, Watch
from ops.tests.alerts import NOW, catcher, make_channel

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.fixture
def away(monkeypatch):
    """Switch the database off and on, as far as this process can tell."""

    def refuse(*_arguments, **_options):
        raise OperationalError("connection refused")

    def switch(is_away):
        if is_away:
            monkeypatch.setattr(connection, "cursor", refuse)
        else:
            monkeypatch.undo()

    yield switch
    monkeypatch.undo()


def test_it_is_told_and_told_to_be_over_and_stored(rule, clock, away):
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock)
        watch.look()
        away(True)
        watch.look()
        clock.goes_on(14)
        watch.look()
        assert server.taken == []

        clock.goes_on(1)
        watch.look()
        assert server.waits_for_one()
        clock.goes_on(60)
        watch.look()
        away(False)
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


def test_a_short_absence_is_told_to_nobody(rule, clock, away):
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock)
        watch.look()
        away(True)
        watch.look()
        away(False)
        clock.goes_on(60)
        watch.look()

    assert server.taken == []
    assert not Alert.objects.exists()


def test_who_never_reached_it_knows_nobody_to_tell(rule, clock, away):
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock)
        away(True)
        watch.look()
        clock.goes_on(60)
        watch.look()

    assert server.taken == []


def test_a_channel_whose_key_is_gone_keeps_no_other_from_being_told(rule, clock, away, caplog):
    with catcher() as server:
        broken = make_channel()
        AlertChannel.objects.filter(pk=broken.pk).update(address="0123456789abcdef:nothing")
        make_channel(server.address)
        watch = Watch(host="one", clock=clock)
        watch.look()
        away(True)
        watch.look()
        clock.goes_on(15)
        watch.look()

        assert server.waits_for_one()
    assert f"channel {broken.pk} is gone" in caplog.text
