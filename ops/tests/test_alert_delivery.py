"""Notices reach their channels, in the form that each vendor documents."""

import base64
import hmac
import threading
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from urllib.parse import quote_plus

import pytest
from apprise import AppriseAsset, NotifyType
from apprise.plugins.slack import NotifySlack
from django.core import checks
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from ops.models import Alert, AlertChannel, AlertNotice, ChannelKind, NoticeKind, Schedule
from ops.monitoring import channels, delivery, vendors, words
from ops.monitoring.channels import BadAddress, NotDelivered, Target, send
from ops.monitoring.jobs import EVALUATION, NotCompared, beat_outside
from ops.services import audit
from ops.services.encryption import decrypt
from ops.services.jobs import jobs
from ops.tests.alerts import NOW, NOWHERE, catcher, later, make_channel, make_rule
from tests.audit import acting_as
from tests.people import make_person

pytestmark = pytest.mark.django_db


def make_notice(channel, **fields):
    alert = Alert.objects.create(rule=make_rule(name="Queue"), value=500, since=NOW, raised_at=NOW)
    said = words.message(alert, NoticeKind.RAISED)
    facts = {"alert": alert, "channel": channel, "kind": NoticeKind.RAISED, "message": said}
    return AlertNotice.objects.create(**facts | fields)


# --- One channel --------------------------------------------------------------------------------
def test_a_webhook_gets_what_the_documents_say(settings):
    settings.LANGUAGE_CODE = "en"
    with catcher() as server:
        channel = make_channel(server.address)
        notice = make_notice(channel)
        delivery.deliver_to(channel.pk)

    [(path, said, _headers)] = server.taken
    assert path == "/hook?token=s3cret"
    assert set(said) == {"id", "rule", "severity", "title", "message", "timestamp", "data"}
    assert (said["id"], said["rule"], said["severity"]) == (notice.alert_id, "Queue", "warning")
    assert said["title"] == "Queue: 500"
    assert said["data"]["kind"] == "raised"
    notice.refresh_from_db()
    assert notice.delivered_at is not None
    assert notice.attempts == 1


SAID = {
    "id": 1,
    "rule": "r",
    "kind": "raised",
    "severity": "critical",
    "title": "Title",
    "text": "Text",
    "link": "https://points.example.com/admin/",
}


@pytest.fixture
def vendor(monkeypatch):
    """Let a vendor be a catcher that answers what it is told."""

    @contextmanager
    def standing_in(kind, answer):
        with catcher(answer=answer) as server:
            monkeypatch.setitem(vendors.ADDRESSES, kind, server.base)
            yield server

    return standing_in


TOKEN = "a1" * 16
SECRET = f"SEC{'5f' * 32}"
WHOLE_TEXT = "Title\nText\nhttps://points.example.com/admin/"


def test_dingtalk(vendor):
    """https://open.dingtalk.com/document/robots/custom-robot-access."""
    with vendor(ChannelKind.DINGTALK, {"errcode": 0, "errmsg": "ok"}) as server:
        send(Target("d", ChannelKind.DINGTALK, f"dingtalk://{TOKEN}"), SAID)

    [(path, said, headers)] = server.taken
    assert path == f"/?access_token={TOKEN}"
    assert said == {"msgtype": "text", "text": {"content": WHOLE_TEXT}}
    assert headers["Content-Type"] == "application/json"


def test_dingtalk_with_a_secret_signs_as_it_documents(vendor):
    """https://open.dingtalk.com/document/robots/customize-robot-security-settings.

    timestamp in milliseconds, a line break and the secret, HMAC-SHA256 under the secret, base64,
    URL-encoded once.
    """
    with vendor(ChannelKind.DINGTALK, {"errcode": 0}) as server:
        send(Target("d", ChannelKind.DINGTALK, f"dingtalk://{SECRET}@{TOKEN}"), SAID, now=NOW)

    [(path, _said, _headers)] = server.taken
    timestamp = str(int(NOW.timestamp() * 1000))
    digest = hmac.new(SECRET.encode(), f"{timestamp}\n{SECRET}".encode(), "sha256").digest()
    sign = quote_plus(base64.b64encode(digest))
    assert path == f"/?access_token={TOKEN}&timestamp={timestamp}&sign={sign}"
    assert sign.endswith("%3D"), "what is encoded twice ends in %253D, and is refused"


def test_dingtalk_calls_people_by_their_numbers(vendor):
    with vendor(ChannelKind.DINGTALK, {"errcode": 0}) as server:
        send(Target("d", ChannelKind.DINGTALK, f"dingtalk://{TOKEN}/13900000000/"), SAID)

    [(_path, said, _headers)] = server.taken
    assert said["at"] == {"atMobiles": ["13900000000"], "isAtAll": False}


def test_wecom(vendor):
    """https://developer.work.weixin.qq.com/document/path/91770: 2048 bytes at most."""
    with vendor(ChannelKind.WECOM, {"errcode": 0, "errmsg": "ok"}) as server:
        target = Target("w", ChannelKind.WECOM, f"wecombot://{TOKEN}")
        send(target, SAID)
        send(target, SAID | {"text": "字" * 2000})

    [(path, said, _headers), (_path, long, _more)] = server.taken
    assert path == f"/?key={TOKEN}"
    assert said == {"msgtype": "text", "text": {"content": WHOLE_TEXT}}
    assert long["text"]["content"] == "Title\n" + "字" * 680


def test_feishu(vendor):
    """https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot."""
    with vendor(ChannelKind.FEISHU, {"code": 0, "msg": "success"}) as server:
        send(Target("f", ChannelKind.FEISHU, f"feishu://{TOKEN}"), SAID)

    [(path, said, _headers)] = server.taken
    assert path == f"/{TOKEN}"
    assert said == {"msg_type": "text", "content": {"text": WHOLE_TEXT}}


def test_feishu_with_a_secret_signs_as_it_documents(vendor):
    """Timestamp in seconds, a line break and the secret are the key; nothing is what is signed."""
    with vendor(ChannelKind.FEISHU, {"code": 0}) as server:
        send(Target("f", ChannelKind.FEISHU, f"feishu://{SECRET}@{TOKEN}"), SAID, now=NOW)

    [(_path, said, _headers)] = server.taken
    timestamp = str(int(NOW.timestamp()))
    digest = hmac.new(f"{timestamp}\n{SECRET}".encode(), b"", "sha256").digest()
    assert (said["timestamp"], said["sign"]) == (timestamp, base64.b64encode(digest).decode())


@pytest.mark.parametrize(
    ("kind", "scheme", "answer", "why"),
    [
        (
            ChannelKind.DINGTALK,
            "dingtalk",
            {"errcode": 310000, "errmsg": "sign not match"},
            "310000 sign not match",
        ),
        (
            ChannelKind.WECOM,
            "wecombot",
            {"errcode": 93000, "errmsg": "invalid webhook url"},
            "93000 invalid webhook url",
        ),
        (ChannelKind.FEISHU, "feishu", {"code": 9499, "msg": "Bad Request"}, "9499 Bad Request"),
        (ChannelKind.FEISHU, "feishu", ["no"], None),
    ],
)
def test_what_a_vendor_refuses_is_not_delivered_though_it_answers_200(
    vendor, kind, scheme, answer, why
):
    with vendor(kind, answer), pytest.raises(NotDelivered, match=why):
        send(Target("v", kind, f"{scheme}://{TOKEN}"), SAID)


def test_an_answer_that_is_no_json_is_no_delivery(vendor):
    with vendor(ChannelKind.WECOM, b"<html>"), pytest.raises(NotDelivered):
        send(Target("w", ChannelKind.WECOM, f"wecombot://{TOKEN}"), SAID)


def test_an_address_without_its_parts_is_no_delivery():
    with pytest.raises(NotDelivered):
        send(Target("w", ChannelKind.WECOM, "wecombot://"), SAID)


def test_slack(monkeypatch):
    """https://api.slack.com/messaging/webhooks: answered with the word ok."""
    address = f"slack://T1234567/B12345678/{'a' * 24}/#alerts"
    with catcher(answer=b"ok") as server:
        monkeypatch.setattr(NotifySlack, "webhook_url", server.base)
        send(Target("s", ChannelKind.SLACK, address), SAID)

    [(path, said, _headers)] = server.taken
    assert path == f"/T1234567/B12345678/{'a' * 24}"
    assert said["channel"] == "#alerts"
    [attachment] = said["attachments"]
    assert attachment["title"] == "Title"
    assert attachment["text"] == "Text\nhttps://points.example.com/admin/"


def test_what_slack_refuses_is_not_delivered(monkeypatch):
    with catcher(answer=b"invalid_payload") as server:
        monkeypatch.setattr(NotifySlack, "webhook_url", server.base)
        address = f"slack://T1234567/B12345678/{'a' * 24}/#alerts"
        with pytest.raises(NotDelivered):
            send(Target("s", ChannelKind.SLACK, address), SAID)


@pytest.mark.parametrize("status", [302, 400, 404, 500])
def test_what_a_webhook_does_not_take(status):
    with (
        catcher(statuses=[status]) as server,
        pytest.raises(NotDelivered, match=f"HTTP {status}"),
    ):
        send(Target("w", ChannelKind.WEBHOOK, server.address), words.message_of_a_test())


def test_an_error_never_names_the_address():
    with pytest.raises(NotDelivered) as caught:
        send(Target("w", ChannelKind.WEBHOOK, f"{NOWHERE}?token=s3cret"), SAID)

    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


# --- Again and again ----------------------------------------------------------------------------
def test_one_that_fails_is_tried_again_later_and_later():
    with catcher(statuses=[500, 500]) as server:
        channel = make_channel(server.address)
        notice = make_notice(channel)
        waits = []
        for _round in range(2):
            begun = timezone.now()
            delivery.deliver_to(channel.pk)
            notice.refresh_from_db()
            assert notice.error == "HTTP 500"
            waits.append(round((notice.next_try_at - begun).total_seconds()))
            AlertNotice.objects.update(next_try_at=begun)
        delivery.deliver_to(channel.pk)

    notice.refresh_from_db()
    assert waits == [5, 10]
    assert notice.delivered_at is not None
    assert (notice.attempts, notice.error) == (3, "")


def test_it_is_given_up_after_a_day():
    channel = make_channel()
    notice = make_notice(channel, created_at=timezone.now() - timedelta(hours=25))

    delivery.deliver_to(channel.pk)

    notice.refresh_from_db()
    assert notice.given_up_at is not None
    assert not delivery.waiting(later(days=365)).exists()


def test_one_that_fails_lets_the_next_ones_wait():
    """What is over must not be told before that it began."""
    with catcher(statuses=[500]) as server:
        channel = make_channel(server.address)
        first = make_notice(channel)
        AlertNotice.objects.create(
            alert=first.alert, channel=channel, kind=NoticeKind.RESOLVED, message=first.message
        )
        delivery.deliver_to(channel.pk)
        delivery.deliver_to(channel.pk)  # a moment later: the first one's time has not come

    assert len(server.taken) == 1


def test_however_often_it_was_tried_it_is_tried_again_within_a_quarter_of_an_hour():
    channel = make_channel()
    notice = make_notice(channel, attempts=50)
    begun = timezone.now()

    delivery.deliver_to(channel.pk)

    notice.refresh_from_db()
    assert (notice.next_try_at - begun).total_seconds() == pytest.approx(900, abs=30)


def test_an_address_that_a_library_chokes_on_is_a_failure_like_others():
    channel = make_channel(f"http://{'a' * 300}/hook")
    notice = make_notice(channel)

    delivery.deliver_to(channel.pk)

    notice.refresh_from_db()
    assert notice.error != ""


def test_a_channel_that_is_enabled_again_does_not_tell_of_long_ago():
    with catcher() as server:
        channel = make_channel(server.address)
        long_ago = timezone.now() - timedelta(hours=25)
        notice = make_notice(channel, created_at=long_ago, next_try_at=long_ago)
        delivery.deliver_to(channel.pk)

    notice.refresh_from_db()
    assert server.taken == []
    assert notice.given_up_at is not None


def test_two_that_look_at_the_same_time_send_it_once():
    with catcher() as server:
        channel = make_channel(server.address)
        notice = make_notice(channel)
        assert delivery._claimed(notice)

        assert not delivery._claimed(notice)
        delivery.deliver_to(channel.pk)

    assert server.taken == []


def test_a_claim_of_somebody_who_was_killed_ends():
    channel = make_channel()
    notice = make_notice(channel)
    delivery._claimed(notice)

    assert delivery.waiting(timezone.now() + delivery.CLAIMED_FOR).get() == notice


def test_a_disabled_channel_is_told_nothing():
    make_notice(make_channel(is_enabled=False))

    assert not delivery.waiting(timezone.now()).exists()


@pytest.mark.postgresql  # threads of SQLite in memory share a connection
@pytest.mark.django_db(transaction=True)
def test_a_hanging_channel_delays_no_other():
    with catcher(hangs=True) as hanging, catcher() as other:
        make_notice(make_channel(hanging.address))
        assert Alert.objects.update(resolved_at=NOW) == 1
        rule = Alert.objects.get().rule
        channel = make_channel(other.address)
        alert = Alert.objects.create(rule=rule, value=1, since=NOW, raised_at=NOW)
        AlertNotice.objects.create(
            alert=alert,
            channel=channel,
            kind=NoticeKind.RAISED,
            message=SAID,
        )

        delivery.deliver(now=timezone.now())

        assert hanging.waits_for_one()
        assert other.waits_for_one()
        hanging.released.set()
        delivery.wait()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_channel_that_is_being_told_is_told_by_nobody_else_of_this_process():
    with catcher(hangs=True) as hanging:
        make_notice(make_channel(hanging.address))
        delivery.deliver(now=timezone.now())
        assert hanging.waits_for_one()
        AlertNotice.objects.update(next_try_at=NOW)

        delivery.deliver(now=timezone.now())
        hanging.released.set()
        delivery.wait()

    assert len(hanging.taken) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_channel_that_is_gone_is_logged_and_let_go(caplog):
    channel = make_channel()
    pk = channel.pk
    channel.delete()
    with delivery._lock:
        delivery._busy[pk] = threading.current_thread()

    delivery._deliver_apart(pk)

    assert "could not be sent" in caplog.text
    assert pk not in delivery._busy


def test_a_notice_that_another_process_took_is_left_to_it(monkeypatch):
    with catcher() as server:
        channel = make_channel(server.address)
        make_notice(channel)
        monkeypatch.setattr(delivery, "waiting", taken_meanwhile(delivery.waiting))
        delivery.deliver_to(channel.pk)

    assert server.taken == []


def taken_meanwhile(waiting):
    """What waits, of which somebody else takes each as soon as it was read."""

    class Taken(list):
        def filter(self, **which):
            rows = list(waiting(timezone.now()).filter(**which))
            AlertNotice.objects.update(next_try_at=timezone.now() + timedelta(minutes=1))
            return rows

    return lambda _now: Taken()


@pytest.mark.parametrize(
    ("said", "is_good_news"),
    [
        ({"kind": "raised"}, False),
        ({"kind": "resolved"}, True),
        ({"kind": "resolved", "is_unread": True}, False),
    ],
)
def test_that_it_is_over_is_told_as_good_news(monkeypatch, said, is_good_news):
    with catcher(answer=b"ok") as server:
        monkeypatch.setattr(NotifySlack, "webhook_url", server.base)
        address = f"slack://T1234567/B12345678/{'a' * 24}/#alerts"
        send(Target("s", ChannelKind.SLACK, address), SAID | said)

    good = AppriseAsset().color(NotifyType.SUCCESS)
    assert (server.taken[0][1]["attachments"][0]["color"] == good) == is_good_news


def test_an_address_that_cannot_be_read_any_more_is_no_delivery():
    with pytest.raises(NotDelivered):
        send(Target("s", ChannelKind.SLACK, "slack://"), SAID)


def test_old_notices_are_forgotten():
    make_notice(make_channel(), created_at=NOW)

    assert delivery.forget_old(now=NOW + delivery.KEPT_FOR) == 0
    assert delivery.forget_old(now=NOW + delivery.KEPT_FOR + timedelta(seconds=1)) == 1


# --- Addresses ----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ChannelKind.values)
def test_the_example_of_each_kind_is_good(kind):
    example = channels.EXAMPLES[kind].replace("…", "x")
    example = example.replace("SECRET@ACCESS_TOKEN", f"{'s' * 20}@{'a' * 32}")
    example = example.replace("TOKEN_A/TOKEN_B/TOKEN_C", f"T1234567/B12345678/{'a' * 24}")

    channels.check(kind, example)
    assert channels.kind_of(example) == kind


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        (ChannelKind.WEBHOOK, "http://alerts.example.com/hook"),
        (ChannelKind.EMAIL, "mailto://user:password@smtp.example.com"),
        (ChannelKind.EMAIL, "mailtos://user:password@smtp.example.com?mode=insecure"),
        (ChannelKind.EMAIL, "mailto://localhost?smtp=mail.example.com"),
        (ChannelKind.WEBHOOK, "http://127.0.0.1.example.com/hook"),
        (ChannelKind.WEBHOOK, "http://localhost@example.com/hook"),
        (ChannelKind.WEBHOOK, "file:///etc/passwd"),
        (ChannelKind.WEBHOOK, "alerts.example.com"),
        (ChannelKind.SLACK, "https://hooks.example.com"),
        (ChannelKind.DINGTALK, "dingtalk://"),
        (ChannelKind.DINGTALK, f"dingtalk://{'a' * 32}/nobody"),
        (ChannelKind.DINGTALK, "syslog://localhost"),
        (ChannelKind.SLACK, "slack://"),
        (ChannelKind.FEISHU, ""),
    ],
)
def test_addresses_that_are_refused(kind, address):
    with pytest.raises(BadAddress):
        channels.check(kind, address)


def test_the_address_is_encrypted_and_what_is_shown_tells_nothing():
    channel = make_channel("https://alerts.example.com/hook?token=s3cret")

    assert decrypt(channel.address_encrypted) == "https://alerts.example.com/hook?token=s3cret"
    assert channel.shown_address == "https://…et"


# --- The command --------------------------------------------------------------------------------
def test_the_command_tries_every_channel(capsys):
    with catcher() as server:
        make_channel(server.address, name="one")
        make_channel(name="nowhere")
        make_channel(name="off", is_enabled=False)
        with pytest.raises(CommandError):
            call_command("test_alert")

    output = capsys.readouterr()
    assert "one" in output.out
    assert "nowhere" in output.err
    assert "off" not in output.out + output.err
    assert server.taken[0][1]["rule"] == "test"


def test_the_command_tries_one(capsys):
    with catcher() as server:
        make_channel(server.address, name="one", is_enabled=False)
        make_channel(name="nowhere")
        call_command("test_alert", channel="one")

    assert len(server.taken) == 1


def test_the_command_names_the_channels_there_are():
    make_channel(name="staff")

    with pytest.raises(CommandError, match="staff"):
        call_command("test_alert", channel="nobody")


# --- Those of the environment -------------------------------------------------------------------
def test_the_environment_names_the_first_channels(settings):
    job = jobs["first alert channels"]
    settings.ALERT_CHANNELS = ["feishu://abc123", "https://alerts.example.com/hook"]
    settings.EMAIL_URL = "mailtos://user:password@smtp.example.com?to=staff@example.com"

    assert job.work(now=timezone.now()) == 3
    assert job.work(now=timezone.now()) == 0
    assert [one.kind for one in AlertChannel.objects.order_by("pk")] == [
        "feishu",
        "webhook",
        "email",
    ]


def test_a_channel_that_staff_deleted_does_not_come_back(settings):
    from ops.monitoring.first_channels import make_first

    settings.ALERT_CHANNELS = ["feishu://abc123"]
    make_first()
    channel = AlertChannel.objects.get()
    with acting_as(make_person()), transaction.atomic():
        audit.record(action="delete", row=channel, before={"name": channel.name})
    channel.delete()

    assert make_first() == 0


SECRET = "s3cr3t"
BAD = f"gopher://{SECRET}"


def test_a_bad_address_keeps_no_other_from_being_made(settings, caplog):
    from ops.monitoring.first_channels import make_first

    settings.ALERT_CHANNELS = ["feishu://abc123", BAD, "https://alerts.example.com/hook"]
    settings.EMAIL_URL = f"mailtos://user:{SECRET}@mail?to=staff@example.com"  # it leads inside

    assert make_first() == 2
    made = AlertChannel.objects.order_by("pk")
    assert [(one.kind, one.name[-1]) for one in made] == [("feishu", "1"), ("webhook", "3")]
    assert "ALERT_CHANNELS (address 2 of 3): " in caplog.text
    assert "EMAIL_URL: " in caplog.text
    assert SECRET not in caplog.text


def test_where_all_of_them_are_bad_the_job_fails(settings):
    from ops.monitoring.first_channels import make_first

    settings.ALERT_CHANNELS = [BAD]

    with pytest.raises(BadAddress, match=r"ALERT_CHANNELS \(address 1 of 1\): ") as refusal:
        make_first()
    assert SECRET not in str(refusal.value)
    assert not AlertChannel.objects.exists()


def test_a_bad_address_is_said_at_the_start_without_its_secret(settings):
    settings.ALERT_CHANNELS = ["feishu://abc123", BAD, f"http://{SECRET}.example.com/hook"]
    settings.EMAIL_URL = f"mailtos://user:{SECRET}@mail?to=staff@example.com"

    said = [one for one in run_checks() if one.id == "config.W003"]

    assert [one.msg.split(" is no address")[0] for one in said] == [
        "ALERT_CHANNELS (address 2 of 3)",
        "ALERT_CHANNELS (address 3 of 3)",
        "EMAIL_URL",
    ]
    assert all(one.level == checks.WARNING for one in said)
    assert SECRET not in "".join(f"{one.msg} {one.hint}" for one in said)


def test_good_addresses_are_nothing_to_speak_of(settings):
    settings.ALERT_CHANNELS = ["feishu://abc123", "https://alerts.example.com/hook"]
    settings.EMAIL_URL = "mailtos://user:password@smtp.example.com?to=staff@example.com"

    assert [one for one in run_checks() if one.id == "config.W003"] == []


# --- The heartbeat ------------------------------------------------------------------------------
def test_the_outside_heartbeat_is_given(settings):
    from ops.monitoring import heartbeat

    heartbeat.beat()  # to nobody
    with catcher() as server:
        settings.ALERT_HEARTBEAT_URL = server.address
        heartbeat.beat()

    assert [path for path, _said, _headers in server.taken] == ["/hook?token=s3cret"]


@pytest.mark.parametrize(
    ("ago", "failures", "is_given"), [(30, 0, True), (61, 0, False), (30, 1, False)]
)
def test_the_heartbeat_stays_away_when_no_rule_is_compared(settings, ago, failures, is_given):
    Schedule.objects.create(
        job=EVALUATION,
        timing="every 5 s",
        next_due_at=NOW,
        last_started_at=NOW - timedelta(seconds=ago),
        failures=failures,
    )
    with catcher() as server:
        settings.ALERT_HEARTBEAT_URL = server.address
        with nullcontext() if is_given else pytest.raises(NotCompared):
            beat_outside(now=NOW)

    assert len(server.taken) == is_given


def test_the_heartbeat_stays_away_where_no_rule_was_ever_compared():
    with pytest.raises(NotCompared):
        beat_outside(now=NOW)


@pytest.mark.parametrize("status", [404, 0])
def test_a_heartbeat_that_nobody_takes_is_told_without_its_address(settings, status):
    from ops.monitoring import heartbeat

    with catcher(statuses=[status]) as server:
        settings.ALERT_HEARTBEAT_URL = server.address if status else f"{NOWHERE}?token=s3cret"
        with pytest.raises(NotDelivered) as caught:
            heartbeat.beat()

    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
