"""GET and DELETE /api/user/sessions: where somebody is signed in."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import DeviceSession
from accounts.services import live_sessions
from accounts.services import sign_in as service
from accounts.tests.factories import make_sign_in, sign_in
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person
from tests.refusals import refused

pytestmark = pytest.mark.django_db
DEVICES = "/api/user/sessions"


def verify(api, pair):
    return api.get("/api/auth/verify", headers={"Authorization": f"Bearer {pair.access_token}"})


def test_the_list_says_where_the_person_is_signed_in(api):
    person = make_person()
    phone = {"platform": "ios", "model": "iPhone 17"}
    there = make_sign_in(person, info=phone)
    DeviceSession.objects.update(ip_address="203.0.113.9")
    here = sign_in(api, person)
    make_sign_in()  # somebody else

    first, second = data_of(api.get(DEVICES))["items"]

    assert set(first) == {"id", "device_info", "ip_address", "last_activity_at", "current"}
    assert (first["id"], first["current"]) == (here.session.pk, True)
    assert (second["id"], second["current"]) == (there.session.pk, False)
    assert (first["device_info"], second["device_info"]) == (None, phone)
    assert (first["ip_address"], second["ip_address"]) == ("127.0.0.1", "203.0.113.9")
    assert second["last_activity_at"].endswith("+08:00")


def test_what_is_over_is_no_device_any_more(api):
    person = make_person()
    revoked, expired = make_sign_in(person).session, make_sign_in(person).session
    service.revoke(revoked)
    DeviceSession.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    here = sign_in(api, person)
    assert [one["id"] for one in data_of(api.get(DEVICES))["items"]] == [here.session.pk]
    for over in (revoked, expired):
        refused(api.delete(f"{DEVICES}/{over.pk}"), 1010)


def test_a_device_is_ended_and_no_other(api):
    person = make_person()
    there, elsewhere = make_sign_in(person), make_sign_in(person)
    sign_in(api, person)
    assert data_of(api.delete(f"{DEVICES}/{there.session.pk}")) is None
    stranger = client_of()
    refused(verify(stranger, there.pair), 1006)
    refresh = {"refresh_token": there.pair.refresh_token}
    refused(stranger.post("/api/auth/refresh", refresh), 1006)
    data_of(verify(stranger, elsewhere.pair))
    assert len(data_of(api.get(DEVICES))["items"]) == 2
    refused(api.delete(f"{DEVICES}/{there.session.pk}"), 1010)


def test_the_one_at_hand_can_be_ended_as_well(api):
    here = sign_in(api)
    assert data_of(api.delete(f"{DEVICES}/{here.session.pk}")) is None
    refused(api.get(DEVICES), 1006)


def test_the_device_of_another_is_not_there(api):
    other = make_sign_in()
    sign_in(api)
    before = list(DeviceSession.objects.values())
    not_there = refusal_of(api.delete(f"{DEVICES}/{other.session.pk + 1000}"))
    assert refusal_of(api.delete(f"{DEVICES}/{other.session.pk}")) == not_there == (404, 1010, None)
    assert list(DeviceSession.objects.values()) == before
    data_of(verify(client_of(), other.pair))


@pytest.mark.parametrize("pk", ["0", "-1", "x", "1.0", "99999999999999999999", "%00"])
def test_what_is_no_id_is_not_there(api, pk):
    sign_in(api)
    refused(api.delete(f"{DEVICES}/{pk}"), 1010)
    assert DeviceSession.objects.filter(revoked_at=None).count() == 1


# --- Last activity ------------------------------------------------------------------------------
def was_active(signed_in, ago):
    then = timezone.now() - ago
    DeviceSession.objects.filter(pk=signed_in.session.pk).update(last_activity_at=then)
    return then


def last_activity_of(signed_in):
    return DeviceSession.objects.get(pk=signed_in.session.pk).last_activity_at


def test_a_request_moves_the_last_activity(api):
    here, other = sign_in(api), make_sign_in()
    long_ago = was_active(here, timedelta(hours=1))
    was_active(other, timedelta(hours=1))
    data_of(api.get("/api/user/points"))
    assert last_activity_of(here) > long_ago + timedelta(minutes=59)
    assert last_activity_of(other) < long_ago + timedelta(minutes=1)


def test_it_moves_once_in_ten_minutes(api):
    here = sign_in(api)
    then = was_active(here, live_sessions.ACTIVITY_MOVES_AFTER - timedelta(seconds=30))
    with CaptureQueriesContext(connection) as queries:
        data_of(api.get("/api/user/points"))
    assert len(queries) == 2  # who it is, and the page
    assert last_activity_of(here) == then


def test_of_two_that_move_it_at_once_one_writes(django_assert_num_queries):
    here = make_sign_in()
    was_active(here, timedelta(hours=1))
    live_sessions.note_activity(here.session.pk)
    moved = last_activity_of(here)
    live_sessions.note_activity(here.session.pk)
    assert last_activity_of(here) == moved


def test_a_refused_token_moves_nothing(api):
    here = sign_in(api)
    then = was_active(here, timedelta(hours=1))
    service.revoke(here.session)
    refused(api.get("/api/user/points"), 1006)
    assert last_activity_of(here) == then
