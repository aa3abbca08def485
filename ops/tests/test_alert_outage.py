"""While the database is away, those who would be told are told without it."""

import threading
from datetime import time, timedelta

import orjson
import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from ops.models import Alert, AlertChannel, AlertNotice, AlertRule
from ops.monitoring import delivery, outage, outage_file
from ops.monitoring.channels import Target
from ops.monitoring.outage import SLUG, Watch
from ops.tests.alerts import NOW, catcher, later, make_channel

# The watch asks from a thread, which does not see what SQLite keeps in memory for another.
pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A database that does not hang has as long as it needs on a busy machine."""
    monkeypatch.setattr(outage, "ANSWERS_WITHIN", 60)


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


def kinds(server):
    return [said["data"]["kind"] for _path, said, _headers in server.taken]


def kinds_left():
    """What was left for a worker to send."""
    return list(AlertNotice.objects.order_by("pk").values_list("kind", flat=True))


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
    # A worker gives up what is older than a day.
    clock.now = begun = timezone.now() - timedelta(minutes=5)
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
        watch.look()
        delivery.deliver(now=clock())
        assert server.waits_for_one()
        delivery.wait()

    assert kinds(server) == ["raised", "resolved"]
    alert = Alert.objects.get(rule=rule)
    assert (alert.series, alert.raised_at, alert.resolved_at) == (
        "one",
        begun,
        begun + timedelta(seconds=75),
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
        known = watch.whom
        watch._asked_whom_at = 0
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

    assert watch.away is None
    assert watch.whom == known
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


def test_one_that_hangs_holds_up_nobody_who_stands_by(rule, clock, database, monkeypatch):
    monkeypatch.setattr(outage, "ANSWERS_WITHIN", 0.05)
    database.hangs.set()
    watch = Watch(host="one", clock=clock, ask=database)
    for _look in range(3):
        watch.stand_by()

    assert watch.whom == outage_file.NOBODY
    (asking,) = [one for one in threading.enumerate() if one.name == "database watch asks"]
    database.goes_on.set()
    asking.join()
    assert watch.whom.rule == rule
    assert watch.away is None


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


def test_a_silence_that_ends_is_followed_by_the_notice(rule, clock, database):
    AlertRule.objects.filter(pk=rule.pk).update(silenced_until=NOW + timedelta(seconds=30))
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        goes_away(watch, database)
        clock.goes_on(29)
        watch.look()
        assert server.taken == []
        clock.goes_on(1)
        watch.look()
        assert server.waits_for_one()


# --- Again, and over ------------------------------------------------------------------------------
def goes_away(watch, database):
    """The watch learns whom to tell, and the database goes away."""
    watch.look()
    database.is_away = True
    watch.look()


def test_it_is_repeated_as_the_rule_says(rule, clock, database):
    AlertRule.objects.filter(pk=rule.pk).update(repeat_seconds=600)
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        goes_away(watch, database)
        clock.goes_on(15)
        watch.look()
        assert server.waits_for_one()
        clock.goes_on(599)
        watch.look()
        assert len(server.taken) == 1
        for _time in range(2):
            clock.goes_on(600)
            watch.look()
            assert server.waits_for_one()
        database.is_away = False
        watch.look()

    assert kinds(server) == ["raised", "repeated", "repeated"]
    assert server.taken[1][1]["title"].startswith(("Still", "仍"))
    alert = Alert.objects.get(rule=rule)
    assert (alert.told_at, alert.told_times) == (clock(), 4)
    assert kinds_left() == ["resolved"]


def test_a_rule_that_is_told_once_is_not_repeated(rule, clock, database):
    AlertRule.objects.filter(pk=rule.pk).update(repeat_seconds=0)
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        goes_away(watch, database)
        clock.goes_on(15)
        watch.look()
        assert server.waits_for_one()
        clock.goes_on(86_400)
        watch.look()

    assert kinds(server) == ["raised"]


def test_quiet_hours_are_kept_by_what_is_not_critical(rule, clock, database):
    """At noon in Shanghai they begin: what lasts is told when they end, and repeated after them."""
    AlertRule.objects.filter(pk=rule.pk).update(
        severity="warning", quiet_from=time(12), quiet_until=time(13), repeat_seconds=60
    )
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        goes_away(watch, database)
        clock.goes_on(3599)
        watch.look()
        assert server.taken == []
        clock.goes_on(1)
        watch.look()
        assert server.waits_for_one()
    assert kinds(server) == ["raised"]


def test_what_is_over_in_a_silence_is_told_to_nobody_and_stored(rule, clock, database):
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        goes_away(watch, database)
        clock.goes_on(15)
        watch.look()
        assert server.waits_for_one()
        AlertRule.objects.filter(pk=rule.pk).update(silenced_until=later(hours=1))
        database.is_away = False
        watch.look()

    assert Alert.objects.get(rule=rule).resolved_at == clock()
    assert kinds_left() == []


def test_a_rule_that_is_gone_when_it_is_over_has_no_alert(rule, clock, database):
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        goes_away(watch, database)
        clock.goes_on(15)
        watch.look()
        assert server.waits_for_one()
    rule.delete()
    database.is_away = False
    watch.look()

    assert watch.away is None
    assert not Alert.objects.exists()


# --- A process that starts in the middle ----------------------------------------------------------
def test_the_next_process_repeats_it_at_the_right_time_and_says_that_it_is_over(
    rule, clock, database
):
    AlertRule.objects.filter(pk=rule.pk).update(repeat_seconds=600)
    with catcher() as server:
        make_channel(server.address)
        one = Watch(host="one", clock=clock, ask=database)
        goes_away(one, database)
        clock.goes_on(15)
        one.look()
        assert server.waits_for_one()

        clock.goes_on(300)
        another = Watch(host="one", clock=clock, ask=database)
        another.look()
        clock.goes_on(299)
        another.look()
        assert len(server.taken) == 1
        clock.goes_on(1)
        another.look()
        assert server.waits_for_one()

        database.is_away = False
        Watch(host="one", clock=clock, ask=database).look()

    assert kinds(server) == ["raised", "repeated"]
    alert = Alert.objects.get(rule=rule)
    assert (alert.since, alert.raised_at, alert.resolved_at) == (NOW, NOW, clock())
    assert kinds_left() == ["resolved"]
    assert outage_file.OutageFile().read(now=clock()).away is None


def test_a_process_that_starts_while_it_is_away_tells_those_that_the_file_names(
    rule, clock, database
):
    with catcher() as server:
        make_channel(server.address)
        Watch(host="one", clock=clock, ask=database).look()
        database.is_away = True
        clock.goes_on(3600)
        another = Watch(host="one", clock=clock, ask=database)
        another.look()
        clock.goes_on(14)
        another.look()
        assert server.taken == []
        clock.goes_on(1)
        another.look()
        assert server.waits_for_one()


def test_whoever_takes_over_goes_on_and_tells_nothing_twice(rule, clock, database):
    with catcher() as server:
        make_channel(server.address)
        one = Watch(host="one", clock=clock, ask=database)
        another = Watch(host="one", clock=clock, ask=database)
        another.stand_by()
        goes_away(one, database)
        clock.goes_on(15)
        one.look()
        assert server.waits_for_one()
        another.look()
        clock.goes_on(60)
        another.look()
        database.is_away = False
        another.look()

    assert kinds(server) == ["raised"]
    assert Alert.objects.get(rule=rule).since == NOW


def test_what_was_stored_and_not_yet_forgotten_is_stored_once(rule, clock, database):
    """As where the process was killed between the two."""
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        goes_away(watch, database)
        clock.goes_on(15)
        watch.look()
        assert server.waits_for_one()
    kept = outage_file.path().read_bytes()
    database.is_away = False
    watch.look()
    outage_file.path().write_bytes(kept)
    Watch(host="one", clock=clock, ask=database).look()

    assert Alert.objects.count() == 1
    assert kinds_left() == ["resolved"]


def test_no_secret_stands_in_the_file(rule, clock, database):
    channel = make_channel("https://alerts.example.com/hook?token=s3cret")
    Watch(host="one", clock=clock, ask=database).look()

    said = outage_file.path().read_text()
    assert "s3cret" not in said
    assert "alerts.example.com" not in said
    assert channel.address_encrypted in said
    assert outage_file.path().stat().st_mode & 0o077 == 0


def test_a_rule_comes_out_of_the_file_as_it_went_in(rule, clock, database):
    AlertRule.objects.filter(pk=rule.pk).update(
        quiet_from=time(22), quiet_until=time(8), silenced_until=later(days=1), title="{rule}!"
    )
    make_channel()
    Watch(host="one", clock=clock, ask=database).look()

    whom = outage_file.OutageFile().read(now=NOW).whom
    assert whom.learnt_at == NOW
    rule.refresh_from_db()
    for name in (*outage_file._OF_A_RULE, *outage_file._MOMENTS_OF_A_RULE):
        assert getattr(whom.rule, name) == getattr(rule, name), name


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b'{"form": 1, "rule"',
        b"[]",
        b"\xff\xfe",
        b'{"form": 2}',
        b'{"form": 1, "rule": 7, "channels": [], "learnt_at": null, "away": null}',
        b'{"form": 1, "rule": null, "channels": [], "learnt_at": "today", "away": null}',
        b'{"form": 1, "rule": null, "channels": null, "learnt_at": null, "away": null}',
    ],
)
def test_a_damaged_file_counts_as_none(damaged, rule, clock, database):
    outage_file.path().parent.mkdir()
    outage_file.path().write_bytes(damaged)
    database.is_away = True
    watch = Watch(host="one", clock=clock, ask=database)
    watch.look()
    assert watch.away is not None
    assert watch.away.since == NOW
    assert watch.whom == outage_file.NOBODY
    assert orjson.loads(outage_file.path().read_bytes())["away"]["since"] == NOW.isoformat()


def test_a_file_of_last_week_names_nobody(rule, clock, database):
    with catcher() as server:
        make_channel(server.address)
        Watch(host="one", clock=clock, ask=database).look()
        database.is_away = True
        clock.goes_on(7 * 86_400 + 1)
        watch = Watch(host="one", clock=clock, ask=database)
        watch.look()
        clock.goes_on(60)
        watch.look()

    assert server.taken == []


@pytest.mark.parametrize(
    ("waited", "unseen", "goes_on"),
    [
        (14, 120, True),
        (14, 121, False),
        (15, 86_400, True),
        (15, 86_401, False),
    ],
)
def test_of_an_absence_that_nobody_saw_for_long_nothing_is_known(
    rule, clock, database, waited, unseen, goes_on
):
    """One that was told is remembered for a day, another for two minutes."""
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        goes_away(watch, database)
        clock.goes_on(waited)
        watch.look()
        if waited == 15:
            assert server.waits_for_one()
    clock.goes_on(unseen)
    found = outage_file.OutageFile().read(now=clock())
    assert (found.away is not None) is goes_on


def test_of_a_file_and_a_memory_the_newer_one_says_whom_to_tell(rule, clock, database):
    one = Watch(host="one", clock=clock, ask=database)
    one.look()
    clock.goes_on(5)
    another = Watch(host="one", clock=clock, ask=database)
    another.stand_by()
    another.look()
    assert another.whom.learnt_at == later(seconds=5)


def test_without_a_file_the_memory_of_the_process_does(rule, clock, database, settings, caplog):
    settings.METRICS_DIR = settings.DATA_DIR / "file" / "metrics"
    (settings.DATA_DIR / "file").touch()
    with catcher() as server:
        make_channel(server.address)
        watch = Watch(host="one", clock=clock, ask=database)
        goes_away(watch, database)
        clock.goes_on(15)
        watch.look()
        assert server.waits_for_one()
    assert caplog.text.count("cannot be kept: Not a directory") == 1


def test_a_full_disk_leaves_the_old_file(rule, clock, database, caplog):
    watch = Watch(host="one", clock=clock, ask=database)
    watch.look()
    kept = outage_file.path().read_bytes()
    draft = outage_file.path().with_suffix(".new")
    draft.symlink_to("/dev/full")  # as it is where no byte is left
    database.is_away = True
    watch.look()
    watch.look()
    assert outage_file.path().read_bytes() == kept
    assert caplog.text.count("cannot be kept: No space left on device") == 1
    draft.unlink()
    clock.goes_on(1)
    watch.look()
    assert orjson.loads(outage_file.path().read_bytes())["away"]["since"] == NOW.isoformat()


# --- One channel ----------------------------------------------------------------------------------
def test_one_that_does_not_take_it_is_told_again(monkeypatch, caplog):
    monkeypatch.setattr(outage, "BETWEEN", 0)
    said = {"id": 1, "rule": "r", "severity": "critical", "title": "T", "text": "t", "kind": "x"}
    with catcher(statuses=[500, 500]) as server:
        target = Target("t", "webhook", server.address)
        outage._send(target, said | {"link": ""}, threading.Event())
    assert len(server.taken) == 3
    nowhere = Target("nowhere", "webhook", "http://127.0.0.1:9/hook")
    outage._send(nowhere, said | {"link": ""}, threading.Event())

    assert caplog.text.count("Channel nowhere was not told") == outage.TRIES


def test_what_nobody_took_before_it_was_over_is_not_told_after_it(caplog):
    is_over = threading.Event()
    is_over.set()
    said = {"id": 1, "rule": "r", "severity": "critical", "title": "T", "text": "t", "kind": "x"}
    nowhere = Target("nowhere", "webhook", "http://127.0.0.1:9/hook")
    outage._send(nowhere, said | {"link": ""}, is_over)

    assert caplog.text.count("Channel nowhere was not told") == 1
