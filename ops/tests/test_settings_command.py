"""`manage.py settings`: what it prints, what it changes, and how it ends."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from ops.models import LiveSetting
from ops.setting_kinds import declared
from ops.tests.probe_settings import DURATION, PROBES, WHOLE
from tests.audit import entries_of_commands
from tests.console import refused_unchanged

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def probes(monkeypatch):
    monkeypatch.setattr(declared, "_entries", {**declared._entries, **{p.key: p for p in PROBES}})
    with translation.override("en"):
        yield


def run(*arguments):
    out = StringIO()
    call_command("settings", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_list_names_all_of_them():
    run("set", WHOLE.key, "7")
    lines = run("list")
    assert [line.split(" = ")[0] for line in lines] == list(declared._entries)
    assert "probe.whole = 7  (default 5; -1 to 10)  Whole" in lines
    assert "points.register_bonus = 1000 points  (0 to 1000000)  Welcome points" in lines
    (whole,) = [read for read in map(json.loads, run("list", "--json")) if read["key"] == WHOLE.key]
    assert (whole["value"], whole["default"], whole["is_default"]) == ("7", "5", False)


def test_get_set_reset_and_history():
    assert run("get", DURATION.key) == ["5m"]
    assert run("set", DURATION.key, "1h", "--reason", "Holidays") == ["probe.duration is changed."]
    assert run("set", DURATION.key, "60m") == ["probe.duration is so already."]
    assert run("get", DURATION.key) == ["1h"]
    assert run("reset", DURATION.key) == ["probe.duration is changed."]
    assert run("reset", DURATION.key) == ["probe.duration is so already."]
    first, second = run("history", DURATION.key)
    assert first.split("  ")[2:] == ["1h", '"Holidays"']
    assert second.split("  ")[2:] == ["5m", "(default)"]
    assert run("history", WHOLE.key) == []
    names = {entry.system_user for entry in entries_of_commands()}
    assert {first.split("  ")[1]} == names


def test_a_negative_number_is_a_value():
    run("set", WHOLE.key, "-1")
    assert WHOLE.value == -1


@pytest.mark.parametrize("what", [("get",), ("set", "1"), ("history",), ("reset",)])
def test_an_unknown_key_ends_with_2(what):
    name, *value = what
    with refused_unchanged(), pytest.raises(CommandError) as refusal:
        run(name, "probe.none", *value)
    assert (str(refusal.value), refusal.value.returncode) == ("There is no setting probe.none.", 2)


def test_a_bad_value_ends_with_1():
    with refused_unchanged(), pytest.raises(CommandError) as refusal:
        run("set", WHOLE.key, "11")
    assert str(refusal.value) == "probe.whole: It goes from -1 to 10."
    assert refusal.value.returncode == 1


def test_reset_is_the_way_out_of_what_is_not_accepted_or_not_known():
    LiveSetting.objects.create(key=WHOLE.key, value="five")
    LiveSetting.objects.create(key="gone.long", value=1)
    run("reset", WHOLE.key)
    run("reset", "gone.long")
    assert LiveSetting.objects.count() == 0
    assert run("history", "gone.long")[0].endswith("(default)")
