"""Alerts are raised once, after long enough, repeated, resolved; and told to whom it concerns."""

import threading
from datetime import time, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ops.models import (
    Alert,
    AlertNotice,
    AlertRule,
    MetricSample,
    NoticeKind,
    OperationalEvent,
)
from ops.monitoring import evaluation, samples
from ops.monitoring.evaluation import evaluate, quiet_until
from ops.monitoring.series import Series
from ops.tests.alerts import NOW, later, make_channel, make_rule, says
from tests.races import race, without_constraint

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_other_rules():
    AlertRule.objects.all().delete()


@pytest.fixture
def channel():
    return make_channel()


def told():
    return list(AlertNotice.objects.order_by("pk").values_list("kind", flat=True))


def test_it_is_raised_and_resolved(channel):
    make_rule()
    says(101, at=NOW)
    evaluate(now=NOW)
    alert = Alert.objects.get()
    assert (alert.raised_at, alert.value, alert.series) == (NOW, 101, "one")

    says(100, at=later(seconds=10))
    evaluate(now=later(seconds=10))

    alert.refresh_from_db()
    assert (alert.resolved_at, alert.value) == (later(seconds=10), 100)
    assert told() == ["raised", "resolved"]


def test_what_is_read_while_it_goes_on_is_kept(channel):
    make_rule()
    for second, value in enumerate((500, 700, 700)):
        says(value, at=later(seconds=10 * second))
        evaluate(now=later(seconds=10 * second))

    assert Alert.objects.get().value == 700


def test_below(channel):
    make_rule(comparison="below", threshold=1)
    says(0, at=NOW)

    evaluate(now=NOW)

    assert Alert.objects.get().raised_at == NOW


def test_it_has_to_hold_for_long_enough(channel):
    make_rule(for_seconds=30)
    for second in (0, 10, 20):
        says(500, at=later(seconds=second))
        evaluate(now=later(seconds=second))
    assert Alert.objects.get().raised_at is None
    assert told() == []

    says(500, at=later(seconds=30))
    evaluate(now=later(seconds=30))

    assert Alert.objects.get().raised_at == later(seconds=30)
    assert told() == ["raised"]


def test_what_ends_before_it_was_raised_leaves_nothing(channel):
    make_rule(for_seconds=30)
    says(500, at=NOW)
    evaluate(now=NOW)
    says(1, at=later(seconds=10))

    evaluate(now=later(seconds=10))

    assert Alert.objects.count() == 0
    assert told() == []


def test_it_is_repeated_as_long_as_it_goes_on(channel):
    make_rule(repeat_seconds=60)
    for second in range(0, 150, 10):
        says(500, at=later(seconds=second))
        evaluate(now=later(seconds=second))

    assert told() == ["raised", "repeated", "repeated"]
    assert Alert.objects.get().told_times == 3


def test_without_a_repeat_it_is_told_once(channel):
    make_rule(repeat_seconds=0)
    for hour in range(3):
        says(500, at=later(hours=hour))
        evaluate(now=later(hours=hour))

    assert told() == ["raised"]


def test_a_machine_that_says_nothing_for_a_while_changes_nothing(channel):
    make_rule()
    says(500, at=NOW)
    evaluate(now=NOW)

    for minutes in (5, 10, 14.9):
        evaluate(now=later(minutes=minutes))

    alert = Alert.objects.get()
    assert (alert.resolved_at, alert.unread_since) == (None, later(minutes=5))
    assert told() == ["raised"]


def test_what_is_never_read_again_ends_and_is_not_told_to_be_over(channel, settings):
    settings.LANGUAGE_CODE = "en"
    make_rule(name="Disk")
    says(500, at=NOW)
    evaluate(now=NOW)
    for minutes in (5, 15):
        evaluate(now=later(minutes=minutes))

    alert = Alert.objects.get()
    assert (alert.resolved_at, alert.unread_since) == (later(minutes=15), later(minutes=5))
    assert told() == ["raised", "resolved"]
    message = AlertNotice.objects.latest("pk").message
    assert message["is_unread"] is True
    assert message["title"] == "Not read any more: Disk: 500"
    assert message["text"] == "Nothing is read of one since 2026-11-26 12:05:00, so the alert ends."


def test_what_is_read_again_is_as_if_it_had_never_been_silent(channel):
    make_rule()
    says(500, at=NOW)
    evaluate(now=NOW)
    evaluate(now=later(minutes=5))
    says(500, at=later(minutes=6))
    evaluate(now=later(minutes=6))
    assert Alert.objects.get().unread_since is None

    evaluate(now=later(minutes=15))
    says(1, at=later(minutes=16))
    evaluate(now=later(minutes=16))

    assert told() == ["raised", "resolved"]
    assert AlertNotice.objects.latest("pk").message["is_unread"] is False


def test_what_was_not_raised_yet_and_is_never_read_again_leaves_nothing(channel):
    make_rule(for_seconds=3600)
    says(500, at=NOW)
    for minutes in (0, 5, 15):
        evaluate(now=later(minutes=minutes))

    assert Alert.objects.count() == 0


# --- What is written ------------------------------------------------------------------------------
WRITES = ("INSERT", "UPDATE", "DELETE", "BEGIN", "SAVEPOINT")


def read_at(rule, moment):
    """What a rule reads at a moment, looked at by itself."""
    return evaluation.read(rule, samples.Samples(moment), evaluation.Events(moment))


def writes(queries):
    return [one["sql"] for one in queries if one["sql"].startswith(WRITES)]


def test_as_long_as_nothing_changes_no_transaction_begins(channel):
    """On SQLite one that begins takes the only writer there is."""
    for _number in range(5):
        make_rule(threshold=1000)
    make_rule()
    make_rule(for_seconds=60)
    make_rule(silenced_until=later(days=1))
    says(500, at=NOW)
    evaluate(now=NOW)

    says(500, at=later(seconds=10))
    with CaptureQueriesContext(connection) as queries:
        evaluate(now=later(seconds=10))

    assert writes(queries) == []
    assert len(queries) == 4  # however many rules there are


def test_what_changes_is_written_in_one_transaction(channel):
    make_rule()
    says(500, at=NOW)
    with CaptureQueriesContext(connection) as queries:
        evaluate(now=NOW)

    assert [one.split()[0] for one in writes(queries)].count("SAVEPOINT") == 1


def test_each_machine_and_each_label_has_an_alert_of_its_own(channel):
    make_rule(metric="platform_process_memory_bytes")
    says(500, at=NOW, metric="platform_process_memory_bytes", host="one", kind="web")
    says(500, at=NOW, metric="platform_process_memory_bytes", host="two", kind="web")
    says(1, at=NOW, metric="platform_process_memory_bytes", host="three", kind="web")

    evaluate(now=NOW)

    assert sorted(Alert.objects.values_list("series", flat=True)) == [
        "kind=web @ one",
        "kind=web @ two",
    ]


def test_all_together(channel):
    make_rule(spread="sum", threshold=100)
    says(60, at=NOW, host="one")
    says(60, at=NOW, host="two")

    evaluate(now=NOW)

    assert (Alert.objects.get().series, Alert.objects.get().value) == ("", 120)


def test_what_all_machines_share_is_told_once(channel):
    make_rule(metric="platform_queue_oldest_seconds")
    for number, host in enumerate(("one", "two")):
        says(500 + number, at=NOW, host=host, metric="platform_queue_oldest_seconds")

    evaluate(now=NOW)

    assert [alert.series for alert in Alert.objects.all()] == [""]


def test_only_series_with_the_labels(channel):
    make_rule(metric="platform_requests_total", labels={"status": "5*"})
    says(500, at=NOW, metric="platform_requests_total", status="200")

    evaluate(now=NOW)

    assert Alert.objects.count() == 0


@pytest.mark.parametrize(
    ("before", "now", "increase"), [(100, 130, 30), (100, 20, 20), (None, 20, 20)]
)
def test_an_increase(channel, before, now, increase):
    """A counter that is smaller than before began anew; one that was not there began at nothing."""
    rule = make_rule(reading="increase", window_seconds=60, threshold=5)
    says(1, at=NOW, metric="another")
    if before is not None:
        MetricSample.objects.all().delete()
        says(before, at=NOW)
    says(now, at=later(seconds=60))

    read = read_at(rule, later(seconds=60))

    assert read == {"one": increase}


def test_a_share(channel):
    rule = make_rule(
        metric="platform_requests_total",
        labels={"status": "5*"},
        reading="share",
        of_metric="platform_requests_total",
        window_seconds=60,
        threshold=0.05,
    )
    for moment, good, bad in ((NOW, 1000, 10), (later(seconds=60), 1090, 20)):
        samples.keep(
            {
                Series.of("platform_requests_total", {"status": "200"}): good,
                Series.of("platform_requests_total", {"status": "503"}): bad,
            },
            host="one",
            now=moment,
        )

    read = read_at(rule, later(seconds=60))

    assert read == {"": 0.1}


@pytest.mark.parametrize(("least", "share"), [(19, 1.0), (20, 1.0), (21, 0.0)])
def test_of_few_a_share_says_nothing(channel, least, share):
    rule = make_rule(
        metric="platform_requests_total",
        labels={"status": "500"},
        reading="share",
        of_metric="platform_requests_total",
        window_seconds=60,
        least_whole=least,
        threshold=0.05,
    )
    says(0, at=NOW, metric="platform_requests_total", status="500")
    says(20, at=later(seconds=60), metric="platform_requests_total", status="500")

    now = later(seconds=60)
    assert read_at(rule, now) == {"": share}


def test_a_share_of_nothing_is_none(channel):
    rule = make_rule(reading="share", of_metric="platform_requests_total", threshold=0.05)
    assert read_at(rule, NOW) == {}, "nobody says anything"
    says(7, at=NOW, metric="platform_requests_total", status="200")

    assert read_at(rule, NOW) == {"": 0.0}


def test_what_one_machine_could_not_read_is_read_of_another(channel):
    make_rule(metric="platform_queue_oldest_seconds")
    says(1, at=NOW, host="a", metric="another")
    says(500, at=NOW, host="b", metric="platform_queue_oldest_seconds")

    evaluate(now=NOW)

    assert Alert.objects.get().value == 500


def test_events(channel):
    make_rule(
        metric="slow_request",
        reading="events",
        window_seconds=60,
        threshold=0,
        labels={"route": "a"},
        text="The newest: {details}",
    )
    OperationalEvent.objects.create(kind="slow_request", facts={"route": "b"}, happened_at=NOW)
    evaluate(now=NOW)
    assert Alert.objects.count() == 0
    OperationalEvent.objects.create(kind="slow_request", facts={"route": "a"}, happened_at=NOW)

    evaluate(now=later(seconds=10))
    evaluate(now=later(seconds=61))

    assert told() == ["raised", "resolved"]
    assert AlertNotice.objects.earliest("pk").message["text"] == "The newest: route=a"


def test_a_rule_that_cannot_be_evaluated_keeps_no_other_from_being_so(channel, caplog):
    make_rule(reading="events", metric="x", labels={"a": {"not": object.__name__}}, threshold=-1)
    OperationalEvent.objects.create(kind="x", happened_at=NOW)
    AlertRule.objects.update(labels=[1])
    make_rule()
    says(500, at=NOW)

    evaluate(now=NOW)

    assert [alert.value for alert in Alert.objects.all()] == [500]
    assert "could not be evaluated" in caplog.text


# --- Who is told --------------------------------------------------------------------------------
def test_channels_by_severity():
    everything = make_channel(takes_info=True)
    critical = make_channel(takes_warning=False)
    make_channel(takes_info=True, is_enabled=False)
    rules = {severity: make_rule(severity=severity) for severity in ("info", "critical")}

    assert evaluation.channels_of(rules["info"]) == [everything]
    assert evaluation.channels_of(rules["critical"]) == [everything, critical]


def test_channels_that_the_rule_names():
    make_channel()
    named = make_channel(takes_warning=False)
    rule = make_rule()
    rule.channels.add(named)

    assert evaluation.channels_of(rule) == [named]


def test_while_it_is_silenced_nobody_is_told(channel):
    make_rule(silenced_until=later(minutes=5))
    says(500, at=NOW)
    evaluate(now=NOW)
    assert Alert.objects.get().raised_at == NOW
    assert told() == []

    says(500, at=later(minutes=5))
    evaluate(now=later(minutes=5))

    assert told() == ["raised"]


def test_what_was_never_told_is_not_told_to_be_over(channel):
    make_rule(silenced_until=later(minutes=5))
    says(500, at=NOW)
    evaluate(now=NOW)
    says(1, at=later(seconds=10))

    evaluate(now=later(seconds=10))

    assert Alert.objects.get().resolved_at == later(seconds=10)
    assert told() == []


def test_the_end_is_told_to_nobody_either_while_it_is_silenced(channel):
    rule = make_rule()
    says(500, at=NOW)
    evaluate(now=NOW)
    AlertRule.objects.filter(pk=rule.pk).update(silenced_until=later(minutes=5))
    says(1, at=later(seconds=10))

    evaluate(now=later(seconds=10))

    assert Alert.objects.get().resolved_at == later(seconds=10)
    assert told() == ["raised"]


def test_a_rule_that_is_disabled_ends_its_alerts(channel):
    rule = make_rule()
    says(500, at=NOW)
    evaluate(now=NOW)
    AlertRule.objects.filter(pk=rule.pk).update(is_enabled=False)

    evaluate(now=later(seconds=10))

    assert Alert.objects.get().resolved_at == later(seconds=10)
    assert told() == ["raised", "resolved"]


QUIET = {"quiet_from": time(22), "quiet_until": time(7)}


@pytest.mark.parametrize(
    ("hours", "waits"),
    [
        (9, None),  # 21:00 in Shanghai
        (10, 9),  # 22:00, until 07:00
        (15, 4),  # 03:00
        (19, None),  # 07:00
    ],
)
def test_quiet_hours_pass_midnight(hours, waits):
    rule = make_rule(**QUIET)
    due = quiet_until(rule, later(hours=hours))
    assert due == (None if waits is None else later(hours=hours + waits))


def test_quiet_hours_of_one_day():
    rule = make_rule(quiet_from=time(11), quiet_until=time(13))
    assert quiet_until(rule, NOW) == later(hours=1)
    assert quiet_until(rule, later(hours=1)) is None


def test_nothing_critical_waits():
    assert quiet_until(make_rule(severity="critical", **QUIET), later(hours=12)) is None


def test_in_quiet_hours_a_notice_waits_and_is_not_repeated(channel):
    make_rule(repeat_seconds=60, **QUIET)
    for hour in (12, 13):
        says(500, at=later(hours=hour))
        evaluate(now=later(hours=hour))

    assert told() == ["raised"]
    assert AlertNotice.objects.get().next_try_at == later(hours=19)


def test_what_is_over_within_quiet_hours_is_not_told(channel):
    make_rule(**QUIET)
    says(500, at=later(hours=12))
    evaluate(now=later(hours=12))
    says(1, at=later(hours=13))

    evaluate(now=later(hours=13))

    assert told() == []
    assert Alert.objects.get().resolved_at == later(hours=13)


# --- What another machine did first --------------------------------------------------------------
def test_what_was_raised_meanwhile_is_not_raised_again(channel):
    make_rule(for_seconds=5)
    says(500, at=NOW)
    evaluate(now=NOW)
    stale = Alert.objects.select_related("rule").get()
    Alert.objects.update(raised_at=later(seconds=5))

    evaluation._go_on(stale, 500, later(seconds=6))

    assert Alert.objects.get().raised_at == later(seconds=5)
    assert told() == []


def test_what_was_told_meanwhile_is_not_told_again(channel):
    make_rule()
    says(500, at=NOW)
    evaluate(now=NOW)
    stale = Alert.objects.select_related("rule").get()
    stale.told_times = 0

    evaluation.tell(stale, NoticeKind.RAISED, later(seconds=1))

    assert told() == ["raised"]


def test_the_page_of_an_alert_is_linked_where_the_address_is_known(channel, settings):
    settings.PUBLIC_URL = "https://points.example.com"
    make_rule()
    says(500, at=NOW)
    evaluate(now=NOW)

    link = AlertNotice.objects.get().message["link"]
    assert link == f"https://points.example.com/admin/ops/alert/{Alert.objects.get().pk}/change/"


# --- Many machines ------------------------------------------------------------------------------
def race_to_raise():
    """Eight machines evaluate what holds for long enough, and what holds since now."""
    AlertRule.objects.all().delete()
    make_channel()
    make_rule(for_seconds=5)
    says(500, at=NOW)
    evaluate(now=NOW)
    make_rule()
    says(500, at=later(seconds=5))
    race([lambda: evaluate(now=later(seconds=5))] * 8)
    return Alert.objects.filter(raised_at=later(seconds=5)).count()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_however_many_evaluate_it_is_raised_and_told_once():
    assert race_to_raise() == 2
    assert told() == ["raised", "raised"]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_twin_without_the_constraint_it_is_raised_many_times(monkeypatch):
    together, begin = threading.Barrier(8), evaluation._begin

    def begin_together(*arguments, **facts):
        if facts["now"] > NOW:
            together.wait(30)  # once everybody has read that there is none yet
        begin(*arguments, **facts)

    monkeypatch.setattr(evaluation, "_begin", begin_together)
    with without_constraint(Alert, "alert_one_open_per_series"):
        assert race_to_raise() > 2


def test_samples_are_thinned_with_age():
    for second in range(0, 3600, 10):
        says(1, at=NOW + timedelta(seconds=second))
    assert samples.thin(now=later(hours=1)) == 0

    samples.thin(now=later(hours=2))
    assert MetricSample.objects.count() == 60
    samples.thin(now=later(days=2))
    assert MetricSample.objects.count() == 12
    samples.thin(now=later(days=8))
    assert MetricSample.objects.count() == 1
    samples.thin(now=later(days=91))
    assert MetricSample.objects.count() == 0


def test_events_that_are_too_old_for_one_rule_count_for_another(channel):
    """One statement asks for all of them, by the longest window."""
    short = make_rule(reading="events", metric="slow_request", window_seconds=60, threshold=0)
    long = make_rule(reading="events", metric="slow_request", window_seconds=600, threshold=0)
    none = make_rule(reading="events", metric="sms_pumping", window_seconds=600, threshold=0)
    OperationalEvent.objects.create(kind="slow_request", happened_at=later(seconds=-100))
    events = evaluation.Events(NOW, [short, long, none])
    assert [events.count(rule) for rule in (short, long, none)] == [0, 1, 0]


def test_a_sample_is_read_once_however_often_it_is_looked_at(channel):
    make_rule()
    says(5, at=NOW)
    evaluate(now=NOW)
    with CaptureQueriesContext(connection) as queries:
        evaluate(now=later(seconds=5))
    assert not [one for one in queries if "readings" in one["sql"]]
    says(500, at=later(seconds=6))
    evaluate(now=later(seconds=10))
    assert Alert.objects.count() == 1


def test_a_machine_that_began_within_the_window_is_compared_with_its_first_sample(channel):
    says(10, at=later(seconds=-20))
    says(14, at=NOW)
    found = samples.Samples(NOW, windows={60})
    before = found.before(60)["one"]["platform_disk_free_bytes"]
    assert list(before.values()) == [10]
