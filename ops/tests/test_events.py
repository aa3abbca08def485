"""What commands and services did once is written down, without what nobody may read there."""

from contextlib import suppress
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from ops.measures import EventKind, event_kinds
from ops.metrics import EVENTS
from ops.models import OperationalEvent
from ops.services import events
from ops.services.seals import seal_ledgers
from tests.console import console_of
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def kind(monkeypatch):
    monkeypatch.setattr(event_kinds, "_entries", dict(event_kinds.items()))
    return EventKind("something_happened", "Something happened", ("job", "count"))


def counted(kind):
    return EVENTS.series().get((kind.name,), 0)


def test_an_event_says_what_happened_when_and_where(kind):
    before = timezone.now()
    event = events.record(kind, job="seals", count=3)
    event.refresh_from_db()
    assert (event.kind, event.facts) == ("something_happened", {"job": "seals", "count": 3})
    assert before <= event.happened_at <= timezone.now()
    assert event.host


def test_it_is_counted_once_it_is_committed(kind, django_capture_on_commit_callbacks):
    before = counted(kind)
    with django_capture_on_commit_callbacks(execute=True):
        events.record(kind)
        assert counted(kind) == before
    assert counted(kind) == before + 1


def test_what_is_taken_back_did_not_happen(kind):
    with suppress(ZeroDivisionError), transaction.atomic():
        events.record(kind)
        raise ZeroDivisionError
    assert not OperationalEvent.objects.exists()


def test_facts_are_those_of_the_kind(kind):
    with pytest.raises(events.UnknownFacts, match="phone"):
        events.record(kind, phone="13800138000")
    assert not OperationalEvent.objects.exists()


def test_a_text_is_masked_and_cut(kind):
    event = events.record(kind, job="for 13800138000 " + "x" * 500)
    assert "13800138000" not in event.facts["job"]
    assert len(event.facts["job"]) == events.LONGEST_TEXT


def test_they_are_kept_for_90_days(kind):
    now = timezone.now()
    young, old = events.record(kind), events.record(kind)
    OperationalEvent.objects.filter(pk=old.pk).update(happened_at=now - timedelta(days=90))
    assert events.forget_old(now=now) == 1
    assert list(OperationalEvent.objects.all()) == [young]


def test_sealing_and_checking_leave_one(capsys):
    make_person(points=10)
    seal = seal_ledgers(now=timezone.now())
    assert seal
    call_command("check_integrity")
    sealed, checked = OperationalEvent.objects.order_by("pk")
    assert (sealed.kind, sealed.facts["entries"]) == ("ledgers_sealed", seal.entries)
    assert checked.kind == "integrity_checked"
    assert (checked.facts["findings"], checked.facts["only"]) == (0, None)
    assert checked.facts["checks"] > 5


def test_the_console_shows_them_and_changes_none(kind):
    event = events.record(kind, job="seals", count=3)
    OperationalEvent.objects.create(kind="of_another_version", host="h")
    staff = console_of(make_person(username="s", is_staff=True, is_superuser=True))
    page = staff.get("/admin/ops/operationalevent/").content.decode()
    assert "Something happened" in page
    assert "job: seals, count: 3" in page
    assert "of_another_version" in page
    one_kind = staff.get("/admin/ops/operationalevent/?kind=something_happened").content.decode()
    assert "job: seals" in one_kind
    assert "<td>of_another_version" not in one_kind
    path = f"/admin/ops/operationalevent/{event.pk}"
    assert staff.post(f"{path}/delete/", {"post": "yes"}).status_code == 403
    staff.post(f"{path}/change/", {"kind": "x"})
    event.refresh_from_db()
    assert event.kind == "something_happened"
