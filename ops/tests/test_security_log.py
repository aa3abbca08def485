"""The log named `security`: who, when and from where, and nothing that could be used."""

import json
import logging
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from accounts.errors import RefreshTokenReused, WrongCode
from accounts.models import ConsoleDevice, DeviceSession, User, UserStatus
from accounts.services import console_devices, passwords
from accounts.services import sign_in as service
from accounts.services.sign_in import change_status
from accounts.services.sign_in_codes import ask_code
from accounts.tests.factories import RecordingSender, make_sign_in, sign_in
from accounts.tests.test_console_sign_in import no_delay
from ops import access, security_log
from ops.access import Access
from ops.errors import NotAllowed
from ops.models import IdempotencyRecord
from ops.services.encryption import encrypt
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "s3cret-s3cret"
PHONE = "13900139001"
FROM = "198.51.100.7"
HERE = "127.0.0.1"  # where the fixed code holds


@pytest.fixture(autouse=True)
def fast_passwords(settings):
    settings.PASSWORD_HASHERS = ["accounts.tests.factories.CountingHasher"]


@pytest.fixture
def told(caplog, django_capture_on_commit_callbacks):
    """What was written while a function ran, as it is after commit."""

    def tell(change):
        caplog.clear()
        with django_capture_on_commit_callbacks(execute=True):
            change()
        records = [one for one in caplog.records if one.name == "security"]
        assert {one.levelno for one in records} <= {logging.INFO}
        return [json.loads(one.getMessage()) for one in records]

    return tell


@pytest.fixture
def member(monkeypatch):
    """Somebody with a right in the console and a password."""
    held = Access(everywhere=frozenset({"accounts.view_tier"}))
    monkeypatch.setattr(access, "_find", lambda _person: held)
    person = make_person(phone=PHONE, username="wang")
    passwords.set_password(person=person, password=PASSWORD)
    return person


@pytest.fixture
def enter(client):
    """Send the form of the console."""

    def send(password=PASSWORD, account=PHONE):
        form = {"username": account, "password": password}
        return lambda: client.post("/admin/login/", form, REMOTE_ADDR=FROM)

    return send


# --- The console ----------------------------------------------------------------------------------
def test_a_sign_in_to_the_console_and_a_sign_out(client, member, enter, told):
    lines = told(enter())
    device = ConsoleDevice.objects.get()
    who = {"actor_id": member.pk, "address": FROM, "person_id": member.pk}
    assert lines == [{"event": "console_sign_in", **who, "device_id": device.pk}]
    out = told(lambda: client.post("/admin/logout/", REMOTE_ADDR=FROM))
    assert out == [{"event": "console_sign_out", **who}]


def test_failures_delays_and_refusals_in_the_console(member, enter, told, monkeypatch):
    wrong = {"event": "console_sign_in_failed", "address": FROM}
    assert told(enter(account="nobody")) == [wrong]
    for _number in range(5):
        assert told(enter("wr0ng-wr0ng")) == [{**wrong, "person_id": member.pk}]
    (line,) = told(enter())
    assert line == {**wrong, "event": "console_sign_in_delayed", "person_id": member.pk} | {
        "seconds": 5
    }
    no_delay()
    monkeypatch.setattr(access, "_find", lambda _person: Access())
    refused = {"event": "console_sign_in_refused", "address": FROM, "person_id": member.pk}
    assert told(enter()) == [{**refused, "reason": "no rights"}]
    User.objects.update(status=UserStatus.BANNED)
    assert told(enter()) == [{**refused, "reason": "banned"}]


def test_the_end_of_a_device(member, told):
    device, _token = console_devices.remember(person=member, token="", address="", user_agent="")
    (line,) = told(lambda: console_devices.end(device))
    assert (line["event"], line["person_id"], line["device_id"]) == (
        "console_device_ended",
        member.pk,
        device.pk,
    )
    assert told(lambda: console_devices.end(device)) == [], "it ends once"


def test_a_password_that_is_set_in_the_console_and_by_hand(client, member, told):
    (line,) = told(lambda: passwords.set_password(person=member, password="another-s3cret"))
    assert (line["event"], line["person_id"]) == ("password_set", member.pk)
    assert "@" in line["system_user"], "whoever runs a command has a name and a host"
    client.login(username="wang", password="another-s3cret")
    form = {"old_password": "another-s3cret", "new_password1": PASSWORD, "new_password2": PASSWORD}
    (line,) = told(lambda: client.post("/admin/password_change/", form, REMOTE_ADDR=FROM))
    assert (line["event"], line["actor_id"], line["address"]) == ("password_set", member.pk, FROM)


# --- The API --------------------------------------------------------------------------------------
def test_a_sign_in_to_the_api_and_a_sign_out(told):
    api, person = client_of(), make_person()
    body = {"phone": person.phone, "code": "123456"}
    lines = told(lambda: data_of(api.post("/api/auth/login", body, REMOTE_ADDR=HERE)))
    session = DeviceSession.objects.get()
    facts = {"address": HERE, "person_id": person.pk, "session_id": session.pk}
    assert lines == [{"event": "sign_in", **facts}]
    sign_in(api, person)
    lines = told(lambda: data_of(api.post("/api/auth/logout", {"everywhere": True})))
    assert [(one["event"], one["actor_id"]) for one in lines] == [("sign_out", person.pk)] * 2


def test_wrong_codes_delays_and_closed_accounts(told, settings):
    settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS = 2
    settings.LIMIT_LOOPBACK_ADDRESSES = True
    api, person = client_of(), make_person()

    def try_code(code, phone=person.phone):
        body = {"phone": phone, "code": code}
        return lambda: api.post("/api/auth/login", body, REMOTE_ADDR=HERE)

    where = {"address": HERE, "person_id": person.pk}
    failed = {"event": "sign_in_failed", "address": HERE, "refusal": WrongCode.code}
    assert told(try_code("000000")) == [{**failed, **where}]
    User.objects.filter(pk=person.pk).update(status=UserStatus.BANNED)
    assert told(try_code("123456")) == [{"event": "sign_in_refused", **where, "reason": "banned"}]
    assert told(try_code("000000", phone="13800138009")) == [failed]
    assert [one["event"] for one in told(try_code("123456"))] == ["sign_in_delayed"]


def test_a_refresh_token_that_is_used_twice(told):
    signed_in = make_sign_in()
    service.refresh(signed_in.pair.refresh_token)
    DeviceSession.objects.update(rotated_at=timezone.now() - timedelta(minutes=1))

    def again():
        with pytest.raises(RefreshTokenReused):
            service.refresh(signed_in.pair.refresh_token)

    (line,) = told(again)
    assert (line["event"], line["session_id"]) == ("refresh_reused", signed_in.session.pk)
    assert line["person_id"] == signed_in.person.pk


def test_a_sign_in_that_staff_end(told):
    session = make_sign_in().session
    (line,) = told(lambda: service.revoke(session))
    assert (line["event"], line["session_id"]) == ("device_ended", session.pk)
    assert told(lambda: service.revoke(session)) == []


# --- Accounts and keys ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "event"),
    [
        (UserStatus.BANNED, "account_banned"),
        (UserStatus.INACTIVE, "account_deactivated"),
        (UserStatus.ACTIVE, "account_activated"),
    ],
)
def test_a_change_of_status_by_staff(client, told, status, event):
    root = User.objects.create_superuser("root", PASSWORD)
    other = {UserStatus.ACTIVE: UserStatus.BANNED}.get(status, UserStatus.ACTIVE)
    person = make_person(status=other)
    client.force_login(root)
    action = {UserStatus.BANNED: "ban", UserStatus.INACTIVE: "deactivate"}.get(status, "activate")
    form = {"action": action, "_selected_action": [person.pk]}
    (line,) = told(lambda: client.post("/admin/accounts/user/", form, REMOTE_ADDR=FROM))
    assert line == {"event": event, "actor_id": root.pk, "address": FROM, "person_id": person.pk}


def test_keys_that_are_replaced(told, settings):
    IdempotencyRecord.objects.create(
        owner_id=1, path="/", key="k", fingerprint="x", answer=encrypt("a")
    )
    assert told(lambda: call_command("rotate_keys", verbosity=0)) == []
    settings.FIELD_ENCRYPTION_KEYS = ("n" * 60, *settings.FIELD_ENCRYPTION_KEYS)
    (line,) = told(lambda: call_command("rotate_keys", verbosity=0))
    assert (line["event"], line["column"], line["rows"]) == (
        "keys_rotated",
        "ops.IdempotencyRecord.answer",
        1,
    )
    assert line["key_id"] not in str(settings.FIELD_ENCRYPTION_KEYS)


# --- What a line is -------------------------------------------------------------------------------
def test_a_change_that_is_taken_back_is_not_told(told):
    person = make_person()

    @transaction.atomic
    def ban_in_vain():
        change_status(person=person, status=UserStatus.BANNED)
        security_log.note("wall_refused")
        raise NotAllowed

    def take_back():
        with pytest.raises(NotAllowed):
            ban_in_vain()

    assert [one["event"] for one in told(take_back)] == ["wall_refused"], "a refusal was one"


def test_no_line_has_a_phone_number_a_password_a_token_or_a_code(
    client, member, enter, told, settings
):
    settings.SMS_FIXED_CODE = ""
    settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
    RecordingSender.sent.clear()
    api = client_of()
    told(lambda: ask_code(phone=PHONE, address=FROM))
    ((_phone, code),) = RecordingSender.sent
    body = {"phone": PHONE, "code": code}
    secrets = {PHONE, PASSWORD, "wr0ng-wr0ng", "999999", code}

    def everything():
        enter("wr0ng-wr0ng")()
        enter(PASSWORD, account=PASSWORD)()  # typed into the wrong field
        secrets.add(enter()().cookies["console_device"].value)
        secrets.add(client.session.session_key)
        refusal_of(api.post("/api/auth/login", {**body, "code": "999999"}))
        pair = data_of(api.post("/api/auth/login", body))
        secrets.update({pair["access_token"], pair["refresh_token"]})
        change_status(person=member, status=UserStatus.BANNED)

    lines = told(everything)
    assert [one["event"] for one in lines if one["event"] != "console_sign_in_failed"] == [
        "sign_in_failed",
        "console_sign_in",
        "sign_in",
        "account_banned",
    ]
    said = json.dumps(lines)
    assert [secret for secret in secrets if secret in said] == []
    assert not re.search(r"1[3-9]\d{9}", said)


def test_the_words_of_events_are_used_and_are_all_there_are():
    """A word nobody writes is one that somebody waits for."""
    words = set(get_args(security_log.Event.__value__))
    sources = "".join(
        path.read_text()
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0] in {"accounts", "catalog", "config", "ops", "reviews"}
        and "tests" not in path.parts
        and path.name != "security_log.py"
    )
    assert {word for word in words if f'"{word}"' not in sources} == set()


@pytest.mark.parametrize("level", ["INFO", "CRITICAL"])
def test_it_is_written_whatever_the_level_of_the_log_is(tmp_path, level):
    script = "from ops.security_log import note; note('sign_in', person_id=7)"
    finished = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", script],
        cwd=ROOT,
        env={**os.environ, "LOG_LEVEL": level, "DATA_DIR": str(tmp_path), "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (line,) = finished.stderr.splitlines()
    when, _space, rest = line.partition(" INFO security [-] ")
    assert re.fullmatch(r"[\d-]{10} [\d:,]{12}", when)
    assert json.loads(rest)["event"] == "sign_in"
    assert json.loads(rest)["person_id"] == 7


def test_a_sign_out_of_what_is_over_is_told_once(told):
    session = make_sign_in().session
    assert [line["event"] for line in told(lambda: service.sign_out(session))] == ["sign_out"]
    assert told(lambda: service.sign_out(session)) == []
