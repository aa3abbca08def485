"""The settings in the console: all by group, one with its earlier values, and who may what."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.live_settings import REGISTER_BONUS
from ops.models import LiveSetting
from ops.services.live_settings import change, history, reset
from ops.setting_kinds import declared
from ops.tests.probe_settings import (
    BAD,
    CHOICE,
    DURATION,
    LIKE,
    NAMES_OF_BAD,
    PROBES,
    STRUCTURE,
    SWITCH,
    WHOLE,
)
from tests.audit import entries_of
from tests.console import console_of, form_of, refused_unchanged
from tests.people import give_by_hand

pytestmark = pytest.mark.django_db
LIST = reverse("admin:ops_livesetting_changelist")


@pytest.fixture(autouse=True)
def probes(monkeypatch):
    monkeypatch.setattr(declared, "_entries", {**declared._entries, **{p.key: p for p in PROBES}})


@pytest.fixture
def staff(cast):
    return cast.staff


@pytest.fixture
def console(staff):
    client = console_of(staff)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


def page_of(setting):
    return reverse("admin:ops_livesetting_change", args=[setting.key])


def address_of(setting):
    return reverse("admin:ops_livesetting_set", args=[setting.key])


def send(console, setting, text, **more):
    return console.post(address_of(setting), {"shown": text_of(setting), "value": text, **more})


def text_of(setting):
    return setting.as_text(setting.value)


def said(answer):
    """The words of a page, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


# --- All of them ----------------------------------------------------------------------------------
def test_the_page_shows_every_setting_by_group(console, staff):
    change(key=WHOLE.key, value=7, author_id=staff.pk)
    page = console.get(LIST)
    assert page.status_code == 200
    shown = {
        name: [one.setting.key for one in settings] for name, settings in page.context["groups"]
    }
    assert sorted(key for keys in shown.values() for key in keys) == declared.names()
    assert shown["Probes"] == [probe.key for probe in PROBES]
    assert "Whole probe.whole 7 -1 to 10 5 " in said(page)
    assert f"#{staff.pk} {staff}" in said(page)
    assert "Welcome points points.register_bonus · public" in said(page)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("probe.whole", [WHOLE.key]),
        ("PROBES exact", ["probe.exact"]),
        ("welcome", [REGISTER_BONUS.key]),
        ("REGISTER_BONUS", [REGISTER_BONUS.key]),
        ("nothing like it", []),
    ],
)
def test_a_search_finds_by_every_word(console, search, found):
    page = console.get(LIST, {"q": search})
    shown = [one.setting.key for _name, settings in page.context["groups"] for one in settings]
    assert shown == found
    if not found:
        assert "No setting has these words." in said(page)


def test_the_sidebar_leads_there(console):
    assert LIST in console.get(reverse("admin:index")).content.decode()


# --- One of them ----------------------------------------------------------------------------------
def test_a_setting_has_a_page_before_anything_is_stored(console):
    page = console.get(page_of(WHOLE))
    assert page.status_code == 200
    assert "Range -1 to 10 Default 5" in said(page)
    assert "Nobody has changed it yet." in said(page)
    assert "Back to the default" not in said(page)


def test_what_is_not_declared_and_not_stored_has_none(console):
    nowhere = WHOLE.key + "x"
    assert console.get(reverse("admin:ops_livesetting_change", args=[nowhere])).status_code == 302
    answer = console.post(reverse("admin:ops_livesetting_set", args=[nowhere]), {"value": "1"})
    assert answer.status_code == 404


def test_a_new_value_is_in_force_and_leaves_an_entry(console, staff):
    sent = form_of(console.get(page_of(WHOLE)))
    answer = console.post(
        address_of(WHOLE), {**sent, "value": "7", "reason": " Holidays "}, follow=True
    )
    assert answer.redirect_chain == [(page_of(WHOLE), 302)]
    assert "The setting is changed." in said(answer)
    assert WHOLE.value == 7
    (entry,) = entries_of(staff)
    assert (entry.action, entry.reason, entry.address) == (
        "livesetting.change", "Holidays", "127.0.0.1"
    )  # fmt: skip


@pytest.mark.parametrize(("setting", "text", "why"), BAD, ids=NAMES_OF_BAD)
def test_a_bad_value_shows_its_reason_and_changes_nothing(console, setting, text, why):
    with refused_unchanged():
        answer = send(console, setting, text)
    assert answer.status_code == 200
    assert why in answer.context["why"]
    assert answer.context["typed"] == text
    assert setting.value == setting.default_value


def test_whoever_saw_another_value_is_told(console, staff):
    page = form_of(console.get(page_of(WHOLE)))
    change(key=WHOLE.key, value=7, author_id=staff.pk)
    with refused_unchanged():
        for sent in ({**page, "value": "8"}, {"value": "8"}):
            answer = console.post(address_of(WHOLE), sent)
            assert "it is 7 now" in answer.context["why"]
        answer = console.post(address_of(WHOLE), {**page, "reset": "yes"}, follow=True)
        assert "it is 7 now" in said(answer)


def test_back_to_an_earlier_value_and_to_the_default(console, staff):
    for number in (7, 8):
        change(key=WHOLE.key, value=number, author_id=staff.pk)
    reset(key=WHOLE.key, author_id=staff.pk)
    newest, eight, _seven = history(WHOLE.key)
    shown = form_of(console.get(page_of(WHOLE)))

    console.post(address_of(WHOLE), {**shown, "back_to": eight.entry.pk})
    assert WHOLE.value == 8

    shown = form_of(console.get(page_of(WHOLE)))
    console.post(address_of(WHOLE), {**shown, "back_to": newest.entry.pk})
    assert WHOLE.value == 5
    assert LiveSetting.objects.count() == 0

    change(key=WHOLE.key, value=9, author_id=staff.pk)
    page = console.get(page_of(WHOLE))
    assert "Back to the default" in said(page)
    console.post(address_of(WHOLE), {**form_of(page), "reset": "yes"})
    assert WHOLE.value == 5


def test_an_earlier_value_that_is_not_accepted_any_more_is_refused(console, staff, monkeypatch):
    change(key=WHOLE.key, value=9, author_id=staff.pk)
    (nine,) = history(WHOLE.key)
    change(key=WHOLE.key, value=7, author_id=staff.pk)
    object.__setattr__(WHOLE, "most", 8)
    try:
        with refused_unchanged():
            sent = {"shown": "7", "back_to": nine.entry.pk}
            answer = console.post(address_of(WHOLE), sent, follow=True)
        assert "It goes from -1 to 8." in said(answer)
    finally:
        object.__setattr__(WHOLE, "most", 10)


def test_what_is_no_entry_of_the_setting_is_no_way_back(console, staff):
    change(key=LIKE.key, value="AB-2", author_id=staff.pk)
    (of_another,) = history(LIKE.key)
    with refused_unchanged():
        for entry_id in (of_another.entry.pk, "0", "x"):
            sent = {"shown": "5", "back_to": entry_id}
            assert console.post(address_of(WHOLE), sent).status_code == 404


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        (SWITCH, "on", True),
        (CHOICE, "blue", "blue"),
        (DURATION, "1h", timedelta(hours=1)),
        (STRUCTURE, '{"hours": [8]}', {"hours": [8]}),
    ],
)
def test_every_kind_has_a_field_that_takes_it(console, setting, text, value):
    sent = form_of(console.get(page_of(setting)))
    shown = sent["value"][0]
    assert setting.parse(shown) == setting.value
    console.post(address_of(setting), {**sent, "value": text})
    assert setting.value == value
    shown = form_of(console.get(page_of(setting)))["value"][0]
    assert setting.parse(shown) == value


# --- Who may what ---------------------------------------------------------------------------------
def test_an_auditor_looks_and_changes_nothing(cast):
    console = console_of(cast.auditor)
    assert console.get(LIST).status_code == 200
    page = console.get(page_of(WHOLE))
    assert page.status_code == 200
    assert "setting-value" not in page.content.decode()
    with refused_unchanged():
        for sent in ({"value": "7"}, {"reset": "yes"}, {"back_to": "1"}):
            answer = console.post(address_of(WHOLE), {"shown": "5", **sent})
            assert answer.status_code == 403
    assert WHOLE.value == 5


@pytest.mark.parametrize("role", ["owner", "manager", "cashier", "reviewer"])
def test_whoever_works_at_a_shop_sees_none_of_it(cast, role):
    console = console_of(getattr(cast, role))
    with refused_unchanged():
        for answer in (
            console.get(LIST),
            console.get(page_of(WHOLE)),
            console.get(address_of(WHOLE)),
            console.post(address_of(WHOLE), {"shown": "5", "value": "7"}),
        ):
            assert answer.status_code == 403


def test_the_address_takes_what_is_sent_alone(console):
    assert console.get(address_of(WHOLE)).status_code == 405
    with refused_unchanged():
        console.post(page_of(WHOLE), {"value": "7"})


def test_a_right_that_is_given_at_a_shop_sets_nothing(cast):
    console = console_of(give_by_hand(cast.manager, "change_livesetting", "view_livesetting"))
    with refused_unchanged():
        answer = console.post(address_of(WHOLE), {"shown": "5", "value": "7"})
        assert answer.status_code == 403
