"""What of sign-ins is not kept for ever: codes, ended sign-ins, expired console sessions."""

from datetime import timedelta

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.models import DeviceSession, SignInCode
from accounts.services import console_sessions, sign_in, sign_in_codes, tokens
from accounts.tests.factories import make_sign_in
from ops.services import key_ring
from ops.services.jobs import jobs
from tests.api import data_of, refusal_of
from tests.people import make_person
from tests.refusals import refused

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
PHONE = "13800138001"


def make_code(*, age, now=None, **fields):
    made = (now or timezone.now()) - age
    facts = {"day": timezone.localdate(made), "number": 1, "expires_at": made + 300 * SECOND}
    return SignInCode.objects.create(phone=PHONE, created_at=made, **{**facts, **fields})


def make_console_session(*, expires_in):
    store = SessionStore()
    store.create()
    Session.objects.filter(pk=store.session_key).update(expire_date=timezone.now() + expires_in)
    return store.session_key


def ended(signed_in, **ends):
    """The sign-in, with the moments that its session names."""
    DeviceSession.objects.filter(pk=signed_in.session.pk).update(**ends)
    return signed_in


def sessions_left():
    return set(DeviceSession.objects.values_list("pk", flat=True))


def test_the_scheduler_runs_all_of_them():
    make_code(age=31 * DAY)
    ended(make_sign_in(), revoked_at=timezone.now() - 91 * DAY)
    make_console_session(expires_in=-SECOND)
    for name in ("old sign-in codes", "ended sign-ins", "expired console sessions"):
        jobs[name].work(now=timezone.now())
    for model in (SignInCode, DeviceSession, Session):
        assert not model.objects.exists(), model


# --- Codes --------------------------------------------------------------------------------------
def test_a_code_is_kept_for_thirty_days():
    now = timezone.now()
    ages = (timedelta(), 30 * DAY - SECOND, 30 * DAY, 400 * DAY)
    for number, age in enumerate(ages, start=1):
        make_code(age=age, now=now, number=number)
    assert sign_in_codes.forget_old(now=now) == 2
    assert sign_in_codes.forget_old(now=now) == 0
    assert set(SignInCode.objects.values_list("number", flat=True)) == {1, 2}


def test_codes_go_in_small_batches_oldest_first(monkeypatch):
    monkeypatch.setattr(sign_in_codes, "BATCH_SIZE", 2)
    for number in range(1, 4):
        make_code(age=(30 + number) * DAY, number=number)
    assert sign_in_codes.forget_old(now=timezone.now()) == 2
    assert SignInCode.objects.get().number == 1


def test_the_codes_of_the_day_still_count_after_old_ones_went(api, ask, settings):
    settings.SMS_CODES_A_DAY = 1
    make_code(age=31 * DAY)
    ask(PHONE)
    SignInCode.objects.filter(day=timezone.localdate()).update(
        created_at=timezone.now() - 61 * SECOND
    )
    assert sign_in_codes.forget_old(now=timezone.now()) == 1
    refused(api.post("/api/auth/code", {"phone": PHONE}), 1003)
    assert SignInCode.objects.count() == 1


# --- Devices ------------------------------------------------------------------------------------
def test_a_sign_in_is_kept_for_ninety_days_after_it_ended():
    now = timezone.now()
    far, long_ago, not_yet = now + 30 * DAY, now - 90 * DAY, now - 90 * DAY + SECOND
    kept = {
        ended(make_sign_in(), **ends).session.pk
        for ends in (
            {},
            {"expires_at": far, "created_at": now - 400 * DAY},  # old, and alive
            {"expires_at": not_yet},
            {"expires_at": far, "revoked_at": not_yet},
            {"expires_at": not_yet, "revoked_at": now},
        )
    }
    for ends in (
        {"expires_at": long_ago},
        {"expires_at": far, "revoked_at": long_ago},
        {"expires_at": not_yet, "revoked_at": long_ago},
        {"expires_at": long_ago, "revoked_at": now},  # it had ended by itself
    ):
        ended(make_sign_in(), **ends)
    assert sign_in.forget_ended(now=now) == 4
    assert sign_in.forget_ended(now=now) == 0
    assert sessions_left() == kept


def test_sign_ins_go_in_small_batches(monkeypatch):
    monkeypatch.setattr(sign_in, "BATCH_SIZE", 2)
    for _ in range(3):
        ended(make_sign_in(), revoked_at=timezone.now() - 90 * DAY)
    now = timezone.now()
    assert [sign_in.forget_ended(now=now) for _ in range(3)] == [2, 1, 0]


def exchange(api, token):
    return api.post("/api/auth/refresh", {"refresh_token": token}, format="json")


def test_the_tokens_of_a_sign_in_that_is_gone_are_1006(api):
    """The newest and the used one, even while their signatures are good."""
    used = make_sign_in()
    newest = data_of(exchange(api, used.pair.refresh_token))
    ended(used, revoked_at=timezone.now() - 90 * DAY)
    assert sign_in.forget_ended(now=timezone.now()) == 1
    for token in (used.pair.refresh_token, newest["refresh_token"]):
        assert refusal_of(exchange(api, token)) == (401, 1006, None)
    verify = api.get(
        "/api/auth/verify", headers={"Authorization": f"Bearer {newest['access_token']}"}
    )
    assert refusal_of(verify) == (401, 1006, None)


def test_a_used_token_is_found_out_however_old_its_sign_in_is(api):
    now = timezone.now()
    signed_in = make_sign_in()
    used = signed_in.pair.refresh_token
    second = data_of(exchange(api, used))["refresh_token"]
    data_of(exchange(api, second))
    ended(signed_in, created_at=now - 400 * DAY)
    assert sign_in.forget_ended(now=now) == 0
    assert refusal_of(exchange(api, used)) == (401, 1007, None)
    assert sign_in.forget_ended(now=timezone.now()) == 0  # what ended just now says why
    assert refusal_of(exchange(api, second)) == (401, 1006, None)


def test_no_refresh_token_outlives_its_sign_in():
    assert RefreshToken.lifetime < sign_in.ENDED_KEPT_FOR


def test_the_sign_ins_that_a_key_signed_are_counted_as_before():
    make_sign_in()
    ended(make_sign_in(), expires_at=timezone.now() - 90 * DAY)
    key_id = key_ring.newest("token").id
    before = tokens.alive(key_id)
    assert sign_in.forget_ended(now=timezone.now()) == 1
    assert tokens.alive(key_id) == before
    assert before.count == 1


# --- The console --------------------------------------------------------------------------------
def test_expired_console_sessions_go_and_the_others_stay(client):
    person = make_person(username="boss", is_staff=True, is_superuser=True)
    client.force_login(person)
    gone = {make_console_session(expires_in=-wait) for wait in (SECOND, 400 * DAY)}
    waiting = make_console_session(expires_in=60 * SECOND)
    now = timezone.now()
    assert console_sessions.forget_expired(now=now) == len(gone)
    assert console_sessions.forget_expired(now=now) == 0
    left = set(Session.objects.values_list("pk", flat=True))
    assert left == {waiting, client.session.session_key}
    assert client.get("/admin/").status_code == 200


def test_console_sessions_go_in_small_batches(monkeypatch):
    monkeypatch.setattr(console_sessions, "BATCH_SIZE", 2)
    for _ in range(3):
        make_console_session(expires_in=-SECOND)
    now = timezone.now()
    assert [console_sessions.forget_expired(now=now) for _ in range(3)] == [2, 1, 0]


# --- How they are found -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("forget", "indexes"),
    [
        (sign_in_codes.forget_old, {"signincode_old"}),
        (sign_in.forget_ended, {"devicesession_expired", "revoked_at"}),
        (console_sessions.forget_expired, {"expire_date"}),
    ],
)
def test_no_round_reads_a_whole_table(forget, indexes):
    """Every machine asks every few seconds."""
    with CaptureQueriesContext(connection) as captured:
        forget(now=timezone.now())
    (asked,) = captured
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # the tables are tiny here
            cursor.execute(f"EXPLAIN {asked['sql']}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {asked['sql']}")
        plan = "\n".join(str(row[-1]) for row in cursor)
    assert "SCAN" not in plan
    assert "Seq Scan" not in plan
    assert [name for name in indexes if name not in plan] == [], plan
