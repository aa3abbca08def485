"""Rules and channels in the console: what cannot work is refused where it is entered."""

import pytest
from django.urls import reverse

from accounts.models import User
from ops.models import AlertChannel, AlertNotice, AlertRule
from ops.services.encryption import decrypt
from ops.services.metrics import UNREAD
from ops.tests.alerts import make_channel, make_rule
from tests.console import form_of

pytestmark = pytest.mark.django_db
ADDRESS = "https://alerts.example.com/hook?token=s3cret"


@pytest.fixture
def console(client):
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    client.force_login(User.objects.create_superuser("root", "s3cret-s3cret"))
    return client


def page_of(row):
    return reverse(f"admin:ops_{row._meta.model_name}_change", args=[row.pk])


def save(console, row, **fields):
    page = page_of(row)
    return console.post(page, form_of(console.get(page)) | fields)


@pytest.mark.parametrize(
    ("field", "entered", "said"),
    [
        ("title", "{nobody}", "{nobody} is no fact of an alert"),
        ("title", "{rule.pk}", "{rule.pk} is no fact of an alert"),
        ("text", "{value!r}", "is no fact of an alert"),
        ("text", "{value:>100}", "is no fact of an alert"),
        ("text", "{", "A brace is open or left over"),
        ("labels", "[1]", "Write labels such as"),
        ("labels", '{"a": {"b": 1}}', "Write labels such as"),
        ("labels", "{", "valid JSON"),
        ("metric", "nothing_total", "There is none of this name"),
        ("reading", "share", "A share needs the metric that it is a share of"),
        ("quiet_from", "22:00:00", "Quiet hours need a beginning and another end"),
        ("threshold", "nan", "Enter a number"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(console, field, entered, said):
    rule = make_rule()
    before = AlertRule.objects.filter(pk=rule.pk).values().get()

    answer = save(console, rule, **{field: entered})

    assert answer.status_code == 200
    assert said in answer.content.decode().replace("&quot;", '"').replace("&#x27;", "'")
    assert AlertRule.objects.filter(pk=rule.pk).values().get() == before


def test_a_rule_may_be_on_how_many_gauges_were_not_read(console):
    """No app declares that metric: it is told of all the others."""
    rule = make_rule()
    assert save(console, rule, metric=UNREAD).status_code == 302
    rule.refresh_from_db()
    assert rule.metric == "platform_unread_gauges"


def test_a_rule_on_events_names_a_kind_of_event(console):
    rule = make_rule()

    assert save(console, rule, reading="events").status_code == 302
    answer = save(console, rule, metric="no_such_event")

    assert "There is no such kind of event" in answer.content.decode()


def test_an_address_is_taken_and_never_shown_again(console):
    page = reverse("admin:ops_alertchannel_add")
    entered = {"name": "Staff", "kind": "webhook", "new_address": ADDRESS, "takes_warning": "on"}

    assert console.post(page, form_of(console.get(page)) | entered).status_code == 302

    channel = AlertChannel.objects.get()
    assert decrypt(channel.address_encrypted) == ADDRESS
    for path in (page_of(channel), reverse("admin:ops_alertchannel_changelist")):
        shown = console.get(path).content.decode()
        assert "s3cret" not in shown
        assert channel.address_encrypted not in shown


def test_an_empty_address_stays_as_it_is(console):
    channel = make_channel(ADDRESS)

    assert save(console, channel, name="Renamed").status_code == 302

    channel.refresh_from_db()
    assert (channel.name, decrypt(channel.address_encrypted)) == ("Renamed", ADDRESS)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "slack"},  # another kind needs another address
        {"new_address": "http://alerts.example.com/hook"},
        {"new_address": "file:///etc/passwd"},
        {"new_address": "https://169.254.169.254/latest/meta-data"},
    ],
)
def test_an_address_that_is_none_of_its_kind_is_refused(console, fields):
    channel = make_channel(ADDRESS)

    answer = save(console, channel, **fields)

    assert answer.status_code == 200
    channel.refresh_from_db()
    assert (channel.kind, decrypt(channel.address_encrypted)) == ("webhook", ADDRESS)


def test_a_test_message_is_left(console):
    channel = make_channel()
    page = reverse("admin:ops_alertchannel_changelist")

    console.post(page, {"action": "send_a_test", "_selected_action": [channel.pk]})

    assert AlertNotice.objects.get().kind == "test"


def test_channels_of_a_rule_are_ticked(console):
    """Two lists to move them between made the page wider than the screen."""
    first, second = make_channel(), make_channel()
    rule = make_rule()
    page = console.get(page_of(rule)).content.decode()
    assert page.count('type="checkbox" name="channels"') == 2
    assert "selectfilter" not in page
    assert save(console, rule, channels=[second.pk]).status_code == 302
    assert list(rule.channels.all()) == [second]
    assert first not in rule.channels.all()
