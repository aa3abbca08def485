"""`manage.py maintenance`: it returns when no request is running, on any process."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone, translation
from django_tasks_db.models import DBTaskResult

from ops.models import Maintenance, ServingProcess
from ops.services import maintenance, schedules
from ops.tests import probe_tasks
from tests.audit import entries_of_commands
from tests.console import refused_unchanged
from tests.engines import begin

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(maintenance, "SEEN_BY_ALL_AFTER", 0)
    with translation.override("en"):
        yield


@pytest.fixture
def moments(monkeypatch):
    """What happens between two looks, one after the other."""
    acts: list = []
    monkeypatch.setattr(
        "ops.management.commands.maintenance.time.sleep", lambda _seconds: acts.pop(0)()
    )
    return acts


def run(*arguments):
    out = StringIO()
    call_command("maintenance", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_on_and_off():
    nobody = "Nothing is running any more (0 serving processes said so)."
    assert run("on") == ["Maintenance is on.", nobody]
    assert maintenance.is_on()
    assert run("on") == ["Maintenance is on.", nobody]
    assert run("off") == ["Maintenance is off."]
    assert run("off") == ["Maintenance is off already."]
    assert not maintenance.is_on()
    actions = [entry.action for entry in entries_of_commands()]
    assert actions == ["maintenance.on", "maintenance.off"]


def test_on_waits_for_what_is_running(moments, monkeypatch):
    monkeypatch.setattr(maintenance, "SEEN_BY_ALL_AFTER", 0)

    def report(running):
        ServingProcess.objects.update_or_create(name="one", defaults={"running": running})

    monkeypatch.setattr(
        maintenance, "in_hand", looks_before(maintenance.in_hand, lambda: report(2))
    )
    moments += [lambda: report(2), lambda: report(1), lambda: report(0)]
    assert run("on") == [
        "Maintenance is on.",
        "2 requests are running on 1 processes.",
        "1 requests are running on 1 processes.",
        "Nothing is running any more (1 serving processes said so).",
    ]


def test_on_waits_for_tasks_and_jobs_and_names_those_that_are_left(moments):
    task = probe_tasks.note.enqueue("a")
    begin(task, at=timezone.now())
    claim: Any = schedules.claim_now("seal ledgers", worker="one", now=timezone.now())
    moments += [
        lambda: DBTaskResult.objects.update(status="SUCCESSFUL", finished_at=timezone.now()),
        lambda: schedules.finish(claim, schedules.Ended(seconds=1), now=timezone.now()),
    ]
    assert run("on") == [
        "Maintenance is on.",
        "0 requests are running on 0 processes.",
        f"Tasks under way: {probe_tasks.note.module_path}.",
        "Periodic jobs under way: seal ledgers.",
        "0 requests are running on 0 processes.",
        "Periodic jobs under way: seal ledgers.",
        "Nothing is running any more (0 serving processes said so).",
    ]
    assert moments == []


def test_a_task_that_does_not_end_is_named_and_it_stays_on():
    begin(probe_tasks.note.enqueue("a"), at=timezone.now())
    with pytest.raises(CommandError, match=re.escape(probe_tasks.note.module_path)) as refusal:
        run("on", "--wait", "0")
    assert refusal.value.returncode == 1
    assert maintenance.is_on()


def test_a_queue_that_is_away_is_said_and_waited_for_by_nobody(settings):
    settings.TASK_ENGINE, settings.REDIS_URL = "redis", "redis://127.0.0.1:1/0"
    away = "The queue cannot be asked what is under way: ConnectionError."
    assert run("on")[1] == away
    assert run("status")[-1] == away


def looks_before(look, act):
    """A process says what it has in hand before the first look."""
    first = [act]

    def looking():
        while first:
            first.pop()()
        return look()

    return looking


def test_not_before_every_process_has_heard(moments, monkeypatch):
    """A process that has not heard of it yet may still take requests, and says nothing."""
    monkeypatch.setattr(maintenance, "SEEN_BY_ALL_AFTER", 1000)
    moments.append(lambda: monkeypatch.setattr(maintenance, "SEEN_BY_ALL_AFTER", 0))
    run("on")
    assert moments == []


def test_whoever_waits_too_long_is_told_and_it_stays_on(monkeypatch):
    monkeypatch.setattr(maintenance, "in_hand", lambda: maintenance.InHand(1, 2))
    with pytest.raises(CommandError) as refusal:
        run("on", "--wait", "0")
    assert str(refusal.value).splitlines() == [
        "2 requests are running on 1 processes.",
        "It still runs. Maintenance stays on.",
    ]
    assert refusal.value.returncode == 1
    assert maintenance.is_on()


def test_status():
    assert run("status") == ["Maintenance is off."]
    run("on", "--message", "Back at two.", "--minutes", "30")
    ServingProcess.objects.create(name="one", running=2)
    since, until, *rest = run("status")
    assert since.startswith("Maintenance is on since 2")
    assert until.startswith("It is said to take until 2")
    assert rest == ["Back at two.", "2 requests are running on 1 processes."]
    assert 1700 < maintenance.current().retry_after <= 1800
    run("off")
    assert run("status") == ["Maintenance is off."]
    assert Maintenance.objects.count() == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--message", "x" * 501),
        ("--minutes", "0"),
        ("--minutes", "99999"),
        ("--wait", "-1"),
    ],
)
def test_what_cannot_be_is_refused(arguments):
    with refused_unchanged(), pytest.raises(CommandError, match=arguments[0]):
        run("on", *arguments)
    assert not maintenance.is_on()
