"""`GET /api/config`: the public settings, as the database has them now."""

import pytest
from django.test import Client

from ops.models import LiveSetting
from ops.setting_kinds import declared
from ops.tests.probe_settings import DURATION, EXACT, PROBES, WHOLE
from tests.api import client_of, data_of
from tests.live_settings import set_live
from tests.people import make_person

pytestmark = pytest.mark.django_db
PATH = "/api/config"
PUBLIC = {
    "orders.lifetime": 2_592_000,
    "points.register_bonus": 1000,
    "receipts.points_per_yuan": 10,
    "receipts.uploads_a_day": 20,
    "receipts.uploads_a_day_premium": 50,
    "requests.require_idempotency_key": False,
}


def test_the_public_ones_and_no_others_are_told_to_everybody():
    assert data_of(client_of().get(PATH)) == PUBLIC
    assert data_of(client_of(make_person()).get(PATH)) == PUBLIC


def test_each_kind_has_its_type(monkeypatch):
    monkeypatch.setattr(declared, "_entries", {probe.key: probe for probe in PROBES})
    assert data_of(client_of().get(PATH)) == {EXACT.key: "1.50", DURATION.key: 300}


@pytest.mark.django_db(transaction=True)
def test_a_client_asks_with_its_etag_and_hears_of_a_change_at_once(monkeypatch):
    person = make_person()
    monkeypatch.setattr(declared, "_entries", {**declared._entries, WHOLE.key: WHOLE})
    first = Client().get(PATH)
    again = Client().get(PATH, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")

    set_live(declared["points.register_bonus"], 500, author_id=person.pk)
    changed = Client().get(PATH, headers={"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert changed.json()["data"] == {**PUBLIC, "points.register_bonus": 500}
    assert changed["ETag"] != first["ETag"]


@pytest.mark.django_db(transaction=True)
def test_it_is_what_is_stored_now_and_not_what_this_process_last_heard():
    Client().get(PATH)
    LiveSetting.objects.create(key="points.register_bonus", value=7)  # by another process
    assert data_of(Client().get(PATH))["points.register_bonus"] == 7


@pytest.mark.django_db(transaction=True)
def test_what_is_kept_costs_one_statement(django_assert_num_queries):
    Client().get(PATH)
    with django_assert_num_queries(1):  # whether anything changed
        Client().get(PATH)
