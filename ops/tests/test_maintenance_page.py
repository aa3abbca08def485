"""Maintenance in the console: who may switch it, what is said, and what it refuses."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone

from ops.access import Role
from ops.models import AuditEntry, Maintenance, ServingProcess
from ops.models.maintenance import LONGEST_MESSAGE, MOST_MINUTES
from ops.services import maintenance
from tests.console import console_of, form_of, refused_unchanged
from tests.people import give_by_hand

pytestmark = pytest.mark.django_db
PAGE = reverse("admin:ops_processbeat_maintenance")
NASTY = '<script>alert("1")</script>'


@pytest.fixture
def console(cast):
    client = console_of(cast.staff)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


def said(page):
    return " ".join(re.sub(r"<[^>]+>", " ", page.content.decode()).split())


def messages_of(page):
    return [str(message) for message in page.context["messages"]]


def turn_on(console, **fields):
    return console.post(PAGE, form_of(console.get(PAGE)) | {"on": "yes"} | fields, follow=True)


def test_it_is_turned_on_and_off_again_and_audited_as_by_the_command(console, cast):
    assert "Maintenance is off: everything is served." in said(console.get(PAGE))

    page = turn_on(console, message=f"Back at two. {NASTY}", minutes="30")

    assert messages_of(page) == ["Maintenance is on."]
    row = Maintenance.objects.get()
    assert (row.is_on, row.message) == (True, f"Back at two. {NASTY}")
    assert row.until is not None
    assert timedelta(minutes=29) < row.until - timezone.now() <= timedelta(minutes=30)
    assert "It is said to take until" in said(page)
    assert "Back at two." in said(page)
    assert NASTY not in page.content.decode()
    assert maintenance.is_on()

    page = console.post(PAGE, {"off": "yes"}, follow=True)

    assert messages_of(page) == ["Maintenance is off."]
    assert not maintenance.is_on()
    entries = AuditEntry.objects.filter(action__startswith="maintenance.").order_by("pk")
    assert [(one.action, one.actor_id) for one in entries] == [
        ("maintenance.on", cast.staff.pk),
        ("maintenance.off", cast.staff.pk),
    ]


def test_message_and_end_are_changed_while_it_is_on(console):
    turn_on(console, message="Soon", minutes="")
    page = turn_on(console, message="Later")
    assert messages_of(page) == ["Maintenance is on."]
    assert Maintenance.objects.get().message == "Later"
    assert AuditEntry.objects.filter(action="maintenance.on").count() == 2


def test_what_is_so_already_is_told_and_leaves_no_entry(console):
    turn_on(console)
    assert messages_of(turn_on(console)) == ["Nothing was changed: it was so already."]
    console.post(PAGE, {"off": "yes"}, follow=True)
    page = console.post(PAGE, {"off": "yes"}, follow=True)
    assert messages_of(page) == ["Nothing was changed: it was so already."]
    assert AuditEntry.objects.filter(action__startswith="maintenance.").count() == 2


def test_it_is_shown_what_is_still_running(console):
    turn_on(console)
    for number in range(2):
        ServingProcess.objects.create(name=f"p{number}", running=3)
    page = console.get(PAGE)
    assert "6 requests as 2 processes said in the last 10 seconds" in said(page)
    assert "Every process knows within 5 seconds." in said(page)


@pytest.mark.parametrize(
    ("field", "entered", "words"),
    [
        ("message", "x" * (LONGEST_MESSAGE + 1), "at most 500 characters"),
        ("message", "a\x00b", "Null characters are not allowed"),
        ("minutes", "0", "greater than or equal to 1"),
        ("minutes", str(MOST_MINUTES + 1), f"less than or equal to {MOST_MINUTES}"),
        ("minutes", "soon", "Enter a whole number"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(console, field, entered, words):
    with refused_unchanged():
        page = turn_on(console, **{field: entered})
    assert page.status_code == 200
    assert words in said(page)
    assert not maintenance.is_on()
    if field == "minutes":
        assert f'value="{entered}"' in page.content.decode()  # what was typed stays


def test_sending_neither_turns_it_on_nor_off_without_a_button(console):
    with refused_unchanged():
        page = console.post(PAGE, {"message": "x"})
    assert page.status_code == 200
    assert not maintenance.is_on()


# --- Who may --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["customer", "cashier", "reviewer", "manager", "owner", "auditor"])
def test_whoever_may_not_switches_nothing(cast, name):
    console = console_of(getattr(cast, name))
    with refused_unchanged():
        for sent in ({"on": "yes"}, {"off": "yes"}):
            assert console.post(PAGE, sent).status_code in {302, 403}
    assert not maintenance.is_on()
    assert (console.get(PAGE).status_code == 200) is (name == "auditor")


def test_an_auditor_looks_and_has_no_form(cast):
    page = console_of(cast.auditor).get(PAGE)
    assert 'name="on"' not in page.content.decode()


def test_a_stranger_is_asked_to_sign_in():
    assert console_of().post(PAGE, {"on": "yes"})["Location"].startswith(reverse("admin:login"))


def test_the_right_to_switch_is_one_of_its_own(cast):
    Group.objects.get(name=Role.PLATFORM_STAFF).permissions.remove(
        Permission.objects.get(codename="switch_maintenance")
    )
    console = console_of(cast.staff)
    with refused_unchanged():
        assert console.post(PAGE, {"on": "yes"}).status_code == 403
    assert 'name="on"' not in console.get(PAGE).content.decode()


def test_whoever_may_switch_need_not_see_the_status(cast):
    Group.objects.get(name=Role.PLATFORM_STAFF).permissions.remove(
        Permission.objects.get(codename="view_processbeat")
    )
    console = console_of(cast.staff)
    assert reverse("admin:ops_processbeat_status") not in console.get(PAGE).content.decode()
    assert console.post(PAGE, {"on": "yes"}).status_code == 302
    assert maintenance.is_on()


def test_a_right_that_is_given_at_a_shop_switches_nothing(cast):
    console = console_of(give_by_hand(cast.manager, "view_processbeat", "switch_maintenance"))
    with refused_unchanged():
        assert console.post(PAGE, {"on": "yes"}).status_code == 403
    assert console.get(reverse("admin:ops_processbeat_status")).status_code == 403
