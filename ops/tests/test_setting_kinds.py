"""What live settings take, how they are written and stored, and how a process knows their value."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import translation
from jsonschema import Draft202012Validator

from ops import setting_kinds
from ops.setting_kinds import NotAccepted, Whole, declare, declared
from ops.tests.probe_settings import (
    BAD,
    CHOICE,
    DURATION,
    EXACT,
    GOOD,
    LIKE,
    NAMES_OF_BAD,
    PROBES,
    STORED_WRONG,
    STRUCTURE,
    SWITCH,
    TEXT,
    WHOLE,
)


@pytest.fixture(autouse=True)
def in_english():
    with translation.override("en"):
        yield


@pytest.mark.parametrize(("setting", "text", "value", "stored"), GOOD)
def test_what_people_write_is_read_stored_and_shown(setting, text, value, stored):
    read = setting.parse(text)
    setting.check(read)

    assert (read, type(read)) == (value, type(value))
    assert setting.as_json(read) == stored
    assert setting.from_json(stored) == value
    assert setting.parse(setting.as_text(read)) == value
    Draft202012Validator(setting.schema).validate(setting.as_json(read))


@pytest.mark.parametrize("setting", PROBES)
def test_a_default_is_a_value(setting):
    setting.check(setting.default_value)
    assert setting.value == setting.default_value


def test_there_are_more_than_fifty_bad_values():
    assert len(BAD) > 50


@pytest.mark.parametrize(("setting", "text", "why"), BAD, ids=NAMES_OF_BAD)
def test_what_is_not_taken_is_refused_in_words(setting, text, why):
    with pytest.raises(NotAccepted) as refusal:
        setting.check(setting.parse(text))
    assert why in str(refusal.value)


@pytest.mark.parametrize(("setting", "stored"), STORED_WRONG)
def test_what_another_version_stored_is_read_with_care(setting, stored):
    with pytest.raises(NotAccepted):
        setting.from_json(stored)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        (WHOLE, "5"),
        (WHOLE, True),
        (EXACT, 1.5),
        (EXACT, Decimal("NaN")),
        (SWITCH, 1),
        (DURATION, 90),
        (DURATION, timedelta(milliseconds=1500)),
        (TEXT, None),
        (STRUCTURE, {"hours": {1, 2}}),
    ],
)
def test_a_value_of_another_type_is_none(setting, value):
    with pytest.raises(NotAccepted):
        setting.check(value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (WHOLE, "-1 to 10"),
        (EXACT, "0.00 to 10.00"),
        (SWITCH, "on, off"),
        (DURATION, "1s to 2d"),
        (TEXT, "at most 10 characters"),
        (CHOICE, "red, blue"),
        (LIKE, "like AB-1"),
        (STRUCTURE, ""),
    ],
)
def test_what_is_taken_is_shown(setting, said):
    assert setting.range == said


def test_no_time_is_written_as_well():
    assert DURATION.as_text(timedelta()) == "0s"


@pytest.mark.parametrize("key", ["points", "Points.welcome", "points.", "a.1", "a." + "b" * 63])
def test_a_key_has_its_form(key):
    with pytest.raises(ImproperlyConfigured, match="is no key"):
        declare(Whole(key=key, default=1, group="", label=""))


def test_no_two_settings_have_one_key(monkeypatch):
    monkeypatch.setattr(declared, "_entries", {**declared._entries})
    declare(WHOLE)
    assert declare(WHOLE) is WHOLE
    with pytest.raises(ImproperlyConfigured):
        declare(Whole(key=WHOLE.key, default=1, group="", label=""))


# --- The memory of a process ----------------------------------------------------------------------
def test_a_stored_value_is_in_force_and_no_database_is_asked():
    """None is there: a query would fail."""
    setting_kinds.swap({WHOLE.key: 7})
    assert (WHOLE.value, SWITCH.value) == (7, False)


@pytest.fixture
def reader(monkeypatch):
    """Whoever is asked at the first use; the answers are handed in."""
    answers: list = []
    asked = []

    def read():
        asked.append(1)
        return answers.pop(0)

    monkeypatch.setattr(setting_kinds._memory, "read", read)
    setting_kinds.forget()
    return answers, asked


def test_stored_values_are_read_once_at_the_first_use(reader):
    answers, asked = reader
    answers.append({WHOLE.key: 9})
    assert [WHOLE.value, WHOLE.value, SWITCH.value] == [9, 9, False]
    assert len(asked) == 1


def test_what_cannot_be_read_is_at_its_default_and_not_asked_for_each_time(reader, monkeypatch):
    answers, asked = reader
    answers += [None, {WHOLE.key: 9}]
    assert [WHOLE.value, WHOLE.value] == [5, 5]
    assert len(asked) == 1

    monkeypatch.setattr(setting_kinds._memory, "read_again_at", 0)
    assert WHOLE.value == 9


def test_nobody_to_ask_means_the_default(monkeypatch):
    monkeypatch.setattr(setting_kinds._memory, "read", None)
    setting_kinds.forget()
    assert WHOLE.value == 5
    assert setting_kinds.known() == {}
