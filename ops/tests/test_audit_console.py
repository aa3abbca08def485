"""The audit trail in the console: everybody who may sees it, nobody changes it."""

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.urls import reverse
from django.utils import translation

from ops.access import Role
from ops.models import AuditEntry, FailedRow
from ops.services import audit
from tests.audit import acting_as
from tests.people import make_person

pytestmark = pytest.mark.django_db
LIST = "admin:ops_auditentry_changelist"


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture
def console(client):
    """An auditor's browser."""
    auditor = make_person(username="auditor")
    auditor.groups.set(Group.objects.filter(name=Role.AUDITOR))
    client.force_login(auditor)
    return client


@transaction.atomic
def leave(**facts):
    return audit.record(**{"action": "failedrow.change", "row": FailedRow, **facts})


def rows_of(page):
    return [entry.pk for entry in page.context["cl"].result_list]


def test_the_list_names_people_and_asks_for_them_once(console, django_assert_max_num_queries):
    console.get(reverse(LIST))
    for number in range(5):
        with acting_as(make_person(nickname=f"Cook {number}")):
            leave(reason="So it was")
    system_user = leave().system_user
    with django_assert_max_num_queries(12):
        page = console.get(reverse(LIST))
    said = page.content.decode()
    assert all(f"Cook {number}" in said for number in range(5))
    assert system_user in said
    assert "So it was" in said
    assert len(rows_of(page)) == 6


def test_an_entry_shows_each_column_before_and_after(console):
    entry = leave(before={"price": 1, "name": "<b>"}, after={"price": None, "name": "老王"})
    address = reverse("admin:ops_auditentry_change", args=[entry.pk])
    said = " ".join(console.get(address).content.decode().split())
    assert "&lt;b&gt;</td>" in said
    assert "老王</td>" in said
    assert "<b>" not in said.replace("<b></b>", "")
    assert entry.entry_hash in said
    assert "request-of" not in said


def test_entries_are_found_by_object_request_action_and_kind(console):
    row = FailedRow.objects.create(job="j", row_id="1", error="E")
    with acting_as(make_person()):
        about = leave(row=row)
    other = leave(action="keys.renew")
    for asked, found in (
        ({"q": str(row.pk)}, [about.pk]),
        ({"q": "request-of-a-test"}, [about.pk]),
        ({"q": "keys.renew"}, [other.pk]),
        ({"object_type": "ops.failedrow"}, [other.pk, about.pk]),
        ({"object_type": "catalog.order"}, []),
    ):
        assert rows_of(console.get(reverse(LIST), asked)) == found, asked


def test_nobody_changes_an_entry(client):
    client.force_login(make_person(username="root", is_staff=True, is_superuser=True))
    entry = leave(reason="a")
    page = reverse("admin:ops_auditentry_change", args=[entry.pk])
    assert client.post(page, {"reason": "b"}).status_code == 403
    assert client.get(reverse("admin:ops_auditentry_add")).status_code == 403
    delete = reverse("admin:ops_auditentry_delete", args=[entry.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    assert AuditEntry.objects.get().reason == "a"
