"""POST /api/auth/login: the code, the account, the welcome points."""

import json
import threading
from datetime import timedelta
from functools import partial
from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.errors import AccountClosed, CodeVoid, WrongCode
from accounts.models import (
    DeviceSession,
    PointsEntry,
    PointsSource,
    RegistrationMark,
    SignInCode,
    Tier,
    User,
    UserStatus,
)
from accounts.services import sign_in_codes
from accounts.services.points import change_points
from accounts.services.sign_in import Device, SignIn, sign_in_by_code
from ops.services import key_ring
from tests.api import data_of, refusal_of
from tests.keys import NEW, OLD, OTHER, hash_as_before
from tests.ledgers import without_triggers
from tests.people import give, make_person
from tests.races import kinds, race

PHONE = "13800138001"
HERE = Device(address="127.0.0.1")  # where the fixed code holds

pytestmark = pytest.mark.django_db


def login(api, code, phone=PHONE, **extra):
    body = {"phone": phone, "code": code, **extra.pop("body", {})}
    return api.post("/api/auth/login", body, format="json", **extra)


def wrong(code):
    """A code that is not this one."""
    return f"{(int(code) + 1) % 10**6:06d}"


def test_the_first_sign_in_makes_an_account_with_the_welcome_points(api, ask):
    answer = data_of(
        login(
            api,
            ask(PHONE),
            body={"device_info": {"model": "P50 🎉", "os": 4}},
            headers={"User-Agent": "shop/1.0"},
            REMOTE_ADDR="198.51.100.7",
        )
    )
    person = User.objects.get()
    assert set(answer) == {
        "access_token",
        "refresh_token",
        "expires_in",
        "is_new_user",
        "user_info",
    }
    assert answer["expires_in"] == 7200
    assert answer["is_new_user"] is True
    assert answer["user_info"] == {
        "user_id": person.pk,
        "mobile": "138****8001",
        "nickname": person.nickname,
        "avatar": None,
        "total_points": 1000,
        "points_version": 1,
        "is_merchant": False,
        "is_premium": False,
        "tier": None,
        "status": "active",
    }
    assert person.nickname
    (entry,) = PointsEntry.objects.values("points", "source", "sequence", "balance_after")
    assert entry == {"points": 1000, "source": "register", "sequence": 1, "balance_after": 1000}
    session = DeviceSession.objects.get()
    assert session.device_info == {"model": "P50 🎉", "os": 4}
    assert session.ip_address == "198.51.100.7"
    assert session.user_agent == "shop/1.0"
    assert PHONE not in RegistrationMark.objects.get().key_hash


def test_the_second_sign_in_finds_the_account(api):
    first = data_of(login(api, "123456"))
    second = data_of(login(api, "123456"))
    assert second["is_new_user"] is False
    assert second["user_info"]["user_id"] == first["user_info"]["user_id"]
    assert second["user_info"]["total_points"] == 1000
    assert second["access_token"] != first["access_token"]
    person = User.objects.get()
    assert person.login_count == 2
    assert timezone.now() - person.last_login < timedelta(minutes=1)


def test_the_tier_is_the_highest_one_reached(api):
    person = make_person(phone=PHONE)
    Tier.objects.create(name="bronze", threshold=0, multiplier=1)
    Tier.objects.create(name="silver", threshold=500, multiplier="1.1")
    Tier.objects.create(name="gold", threshold=501, multiplier="1.2")
    give(person, 500, source="photo_upload", related_id="1")
    assert data_of(login(api, "123456"))["user_info"]["tier"] == "silver"


def test_the_bonus_is_a_setting_and_may_be_nothing(api, settings):
    settings.REGISTER_BONUS = 0
    assert data_of(login(api, "123456"))["user_info"]["total_points"] == 0
    assert not PointsEntry.objects.exists()


def test_welcome_points_come_once_for_ever(api, settings):
    """Also when the row of the person is gone, as after an erasure."""
    data_of(login(api, "123456"))
    User.objects.update(phone=None)
    again = data_of(login(api, "123456"))
    assert again["is_new_user"] is True
    assert again["user_info"]["total_points"] == 0
    assert PointsEntry.objects.count() == 1
    assert RegistrationMark.objects.count() == 1


# --- Welcome points and keys --------------------------------------------------------------------
def forget_the_person():
    """As an erasure does: the phone is free again, the mark stays."""
    User.objects.update(phone=None)


def test_a_phone_welcomed_under_an_older_key_is_known(api, settings):
    settings.HASH_KEYS = [OLD]
    data_of(login(api, "123456"))
    forget_the_person()
    settings.HASH_KEYS = [NEW, OLD]
    again = data_of(login(api, "123456"))
    assert (again["is_new_user"], again["user_info"]["total_points"]) == (True, 0)
    assert RegistrationMark.objects.get().key_id == key_ring.keys("hash")[1].id
    forget_the_person()
    settings.HASH_KEYS = [NEW]  # dropped too early; the start refuses that
    assert data_of(login(api, "123456"))["user_info"]["total_points"] == 1000


def test_a_phone_welcomed_before_there_was_a_ring_is_known(api, settings):
    settings.HASH_KEYS, settings.FIELD_ENCRYPTION_KEYS = [NEW], [OTHER, OLD]
    RegistrationMark.objects.create(key_hash=hash_as_before("registered phone", PHONE))
    assert data_of(login(api, "123456"))["user_info"]["total_points"] == 0
    assert RegistrationMark.objects.count() == 1


def test_a_mark_is_known_whatever_key_it_is_said_to_be_of(api):
    data_of(login(api, "123456"))
    forget_the_person()
    with without_triggers(RegistrationMark):
        RegistrationMark.objects.update(key_id="000000000000")
    assert data_of(login(api, "123456"))["user_info"]["total_points"] == 0


def test_marks_of_the_version_before_get_the_id_of_their_key(settings):
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    before = RegistrationMark.objects.create(key_hash="a")
    after = RegistrationMark.objects.create(key_hash="b", key_id=key_ring.newest("hash").id)
    migration = import_module("accounts.migrations.0006_marks_name_their_key")
    with without_triggers(RegistrationMark):  # this comes before they were there
        migration.name_the_first_key(apps, None)
    ids = [mark.key_id for mark in RegistrationMark.objects.order_by("key_hash")]
    assert ids == [key_ring.first_hash_key().id, after.key_id]
    before.refresh_from_db()
    assert before.key_id == key_ring.find("hash", before.key_id).id


def test_a_login_ignores_the_header(api):
    data_of(login(api, "123456", headers={"Authorization": "Bearer nonsense"}))


@pytest.mark.parametrize(
    "info",
    ["x" * 2001, {"a": "\u0000"}, ["\ud800"], {"n": 10**30}, float("inf"), {"\u0000": 1}],
    ids=ascii,
)
def test_device_info_that_cannot_be_kept_is_refused(api, info):
    body = json.dumps({"phone": PHONE, "code": "123456", "device_info": info})
    body = body.replace("Infinity", "1e999")
    response = api.generic("POST", "/api/auth/login", body, content_type="application/json")
    refusal = refusal_of(response)
    assert (refusal.status, refusal.code, list(refusal.data)) == (400, 1011, ["device_info"])
    assert not User.objects.exists()


@pytest.mark.parametrize("info", [None, "Pixel", 7, [1, None], {"a": {"b": "\\u0000".strip("\\")}}])
def test_device_info_is_any_json(api, info):
    data_of(login(api, "123456", body={"device_info": info}))
    assert DeviceSession.objects.get().device_info == info


# --- The code -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "code", ["", "12345", "abcdef", "１２３４５６", None, 123456, True, [], {}]
)
def test_a_code_that_cannot_be_one_is_1002(api, code):
    assert refusal_of(login(api, code)) == (401, 1002, None)
    assert not User.objects.exists()


def test_a_missing_code_is_1002(api):
    response = api.post("/api/auth/login", {"phone": PHONE}, format="json")
    assert refusal_of(response) == (401, 1002, None)


def test_a_wrong_code_is_1002_and_makes_nothing(api, ask):
    code = ask(PHONE)
    assert refusal_of(login(api, wrong(code))) == (401, 1002, None)
    assert not User.objects.exists()
    assert not RegistrationMark.objects.exists()
    data_of(login(api, code))


def test_the_code_of_another_phone_is_1002(api, ask):
    mine, other = ask(PHONE), ask("13800138002")
    while mine == other:  # one in a million
        SignInCode.objects.all().delete()
        mine, other = ask(PHONE), ask("13800138002")
    assert refusal_of(login(api, other)) == (401, 1002, None)


def test_a_code_is_good_after_the_key_was_replaced_while_it_was_on_its_way(api, ask, settings):
    settings.HASH_KEYS = [OLD]
    code = ask(PHONE)
    settings.HASH_KEYS = [NEW, OLD]
    assert refusal_of(login(api, wrong(code))) == (401, 1002, None)
    data_of(login(api, code))


def test_a_code_works_once(api, ask):
    code = ask(PHONE)
    data_of(login(api, code))
    assert refusal_of(login(api, code)) == (401, 1002, None)


def test_a_code_lives_300_seconds(api, ask):
    code = ask(PHONE)
    row = SignInCode.objects.get()
    assert row.expires_at - row.created_at == timedelta(seconds=300)
    SignInCode.objects.update(expires_at=timezone.now() + timedelta(seconds=5))
    data_of(login(api, code))
    SignInCode.objects.update(used_at=None, expires_at=timezone.now())
    assert refusal_of(login(api, code)) == (401, 1002, None)


def test_the_fifth_wrong_try_voids_the_code_even_for_the_right_one(api, ask):
    code = ask(PHONE)
    for _ in range(5):
        assert refusal_of(login(api, wrong(code))) == (401, 1002, None)
    assert refusal_of(login(api, code)) == (429, 1004, None)
    assert refusal_of(login(api, wrong(code))) == (429, 1004, None)
    assert not User.objects.exists()


def test_four_wrong_tries_leave_the_code_alone(api, ask):
    code = ask(PHONE)
    for _ in range(4):
        assert refusal_of(login(api, wrong(code))) == (401, 1002, None)
    data_of(login(api, code))


def test_a_new_code_works_after_a_void_one(api, ask):
    code = ask(PHONE)
    for _ in range(5):
        assert refusal_of(login(api, wrong(code))) == (401, 1002, None)
    response = login(api, code)
    assert refusal_of(response) == (429, 1004, None)
    assert 50 <= int(response["Retry-After"]) <= 60
    SignInCode.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    assert login(api, code)["Retry-After"] == "1"
    data_of(login(api, ask(PHONE)))


def test_wrong_tries_lock_nobody_else_out(api, ask):
    """Neither another phone, nor the account: there is no lock but the code's own."""
    code, other = ask(PHONE), ask("13800138002")
    for _ in range(6):
        login(api, wrong(code))
    data_of(login(api, other, phone="13800138002"))


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_guesses_sent_at_once_are_five_all_the_same(sent, settings):
    settings.SMS_FIXED_CODE = ""
    sign_in_codes.ask_code(phone=PHONE, address="")
    code = sent[-1][1]
    guess = partial(sign_in_codes.use_code, phone=PHONE, code=wrong(code), address="")
    assert kinds(race([guess] * 20)) == {WrongCode: 5, CodeVoid: 15}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_one_code_sent_twice_at_once_signs_in_once(sent, settings):
    settings.SMS_FIXED_CODE = ""
    sign_in_codes.ask_code(phone=PHONE, address="")
    code = sent[-1][1]
    attempt = partial(sign_in_by_code, phone=PHONE, code=code, device=Device())
    assert kinds(race([attempt] * 4)) == {SignIn: 1, WrongCode: 3}
    assert DeviceSession.objects.count() == 1


# --- The fixed code -----------------------------------------------------------------------------
def test_the_fixed_code_is_right_with_or_without_a_sent_one(api, sent):
    data_of(login(api, "123456"))
    sign_in_codes.ask_code(phone=PHONE, address="")
    data_of(login(api, "123456"))
    data_of(login(api, "123456"))


def test_the_fixed_code_is_void_with_the_sent_one(api, sent):
    sign_in_codes.ask_code(phone=PHONE, address="")
    for _ in range(5):
        assert refusal_of(login(api, "000000" if sent else "000001")) == (401, 1002, None)
    assert refusal_of(login(api, "123456")) == (429, 1004, None)


def test_without_the_setting_the_fixed_code_is_like_any_other(api, settings):
    settings.SMS_FIXED_CODE = ""
    assert refusal_of(login(api, "123456")) == (401, 1002, None)
    assert refusal_of(login(api, "")) == (401, 1002, None)


FORWARDED = ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_the_fixed_code_holds_on_the_machine_itself(api, address):
    data_of(login(api, "123456", REMOTE_ADDR=address))


@pytest.mark.parametrize(
    "elsewhere",
    [{"REMOTE_ADDR": "198.51.100.7"}, {"REMOTE_ADDR": "::ffff:198.51.100.7"}, {"REMOTE_ADDR": ""}]
    + [{"headers": {name: "127.0.0.1"}} for name in FORWARDED]
    + [{"headers": {name: ""}} for name in FORWARDED],
    ids=str,
)
@pytest.mark.parametrize("trusted", [0, 1])
def test_the_fixed_code_is_nobodys_who_comes_from_elsewhere(api, ask, settings, elsewhere, trusted):
    code = ask(PHONE)
    settings.SMS_FIXED_CODE, settings.TRUSTED_PROXIES = wrong(code), trusted
    for phone in (PHONE, "13800138002"):  # one was sent to the first, none to the second
        response = login(api, wrong(code), phone=phone, **elsewhere)
        assert refusal_of(response) == (401, 1002, None)
    assert not User.objects.exists()
    data_of(login(api, code, **elsewhere))


# --- Wrong codes from one address ---------------------------------------------------------------
def test_an_address_is_not_listened_to_after_so_many_wrong_codes(api, settings):
    settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS = 3
    here = {"REMOTE_ADDR": "198.51.100.7"}
    for number in range(3):
        response = login(api, "000000", phone=f"1380013800{number}", **here)
        assert refusal_of(response) == (401, 1002, None)
    response = login(api, "123456", **here)
    assert refusal_of(response) == (429, 1013, None)
    assert 1 <= int(response["Retry-After"]) <= 3600
    assert not User.objects.exists()
    elsewhere = login(api, "000000", REMOTE_ADDR="198.51.100.8")
    assert refusal_of(elsewhere) == (401, 1002, None)


def test_right_codes_do_not_count_against_the_address(api, ask, settings):
    settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS = 1
    for number in range(3):
        phone = f"1380013800{number}"
        data_of(login(api, ask(phone), phone=phone, REMOTE_ADDR="198.51.100.7"))


def test_wrong_codes_of_ipv6_count_for_the_network_of_a_customer(api, settings):
    settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS = 3
    for number in range(3):
        response = login(api, "000000", REMOTE_ADDR=f"2001:db8:0:1:{number}::1")
        assert refusal_of(response) == (401, 1002, None)
    response = login(api, "000000", REMOTE_ADDR="2001:db8:0:1:ffff::1")
    assert refusal_of(response) == (429, 1013, None)
    response = login(api, "000000", REMOTE_ADDR="2001:db8:0:2::1")
    assert refusal_of(response) == (401, 1002, None)


# --- Closed accounts ----------------------------------------------------------------------------
@pytest.mark.parametrize("status", [UserStatus.BANNED, UserStatus.INACTIVE])
def test_a_closed_account_is_told_only_after_a_right_code(api, ask, status):
    make_person(phone=PHONE, status=status)
    code = ask(PHONE)
    assert refusal_of(login(api, wrong(code))) == (401, 1002, None)
    assert refusal_of(login(api, code)) == (403, 1005, None)
    assert not DeviceSession.objects.exists()
    assert User.objects.get().login_count == 0


# --- At once ------------------------------------------------------------------------------------
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_first_sign_ins_at_once_make_one_account_and_one_bonus():
    attempt = partial(sign_in_by_code, phone=PHONE, code="123456", device=HERE)
    assert kinds(race([attempt] * 10)) == {SignIn: 10}
    person = User.objects.get()
    assert person.total_points == 1000
    assert person.login_count == 10
    assert PointsEntry.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_first_sign_ins_at_once_of_a_phone_welcomed_under_an_older_key_give_no_bonus(settings):
    settings.HASH_KEYS = [NEW, OLD]
    older = key_ring.keys("hash")[1].id
    key_hash = hash_as_before("registered phone", PHONE)
    RegistrationMark.objects.create(key_hash=key_hash, key_id=older)
    attempt = partial(sign_in_by_code, phone=PHONE, code="123456", device=HERE)
    assert kinds(race([attempt] * 10)) == {SignIn: 10}
    assert User.objects.get().total_points == 0
    assert RegistrationMark.objects.count() == 1
    # The twin: a ring without the older key does not know the phone.
    forget_the_person()
    settings.HASH_KEYS = [NEW]
    assert kinds(race([attempt] * 10)) == {SignIn: 10}
    assert User.objects.get(phone=PHONE).total_points == 1000


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_constraints_there_are_several_accounts():
    """What `get_or_create` alone would do: everybody looks, nobody is there, everybody creates."""
    everybody_has_looked = threading.Barrier(6)
    field = User._meta.get_field("phone")
    with connection.cursor() as cursor:
        names = [
            name
            for name, found in connection.introspection.get_constraints(
                cursor, User._meta.db_table
            ).items()
            if found["unique"] and found["columns"] == [field.column]
        ]
        for name in names:
            cursor.execute(f'ALTER TABLE accounts_user DROP CONSTRAINT "{name}"')

    @transaction.atomic
    def attempt():
        is_new = not User.objects.filter(phone=PHONE).exists()
        everybody_has_looked.wait(30)
        if not is_new:
            return None
        person = User.objects.create(phone=PHONE)
        return change_points(person_id=person.pk, points=1000, source=PointsSource.ADJUST)

    try:
        assert kinds(race([attempt] * 6)) == {PointsEntry: 6}
        assert User.objects.filter(phone=PHONE).count() == 6
        assert PointsEntry.objects.count() == 6
    finally:
        User.objects.filter(phone=PHONE).update(phone=None)
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(f'ALTER TABLE accounts_user ADD CONSTRAINT "{name}" UNIQUE (phone)')


def test_a_second_mark_of_one_phone_is_impossible():
    RegistrationMark.objects.create(key_hash="a")
    with pytest.raises(IntegrityError), transaction.atomic():
        RegistrationMark.objects.create(key_hash="a")


def test_a_refused_sign_in_leaves_no_session():
    make_person(phone=PHONE, status=UserStatus.BANNED)
    with pytest.raises(AccountClosed):
        sign_in_by_code(phone=PHONE, code="123456", device=HERE)
    assert not DeviceSession.objects.exists()
