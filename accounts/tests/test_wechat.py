"""POST /api/auth/wechat: who WeChat says it is, the account, the phone that is proved besides."""

import logging
import threading
import time
from functools import partial
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import IntegrityError

from accounts import wechat
from accounts.models import DeviceSession, PointsEntry, RegistrationMark, User, UserStatus
from accounts.services import identities, sign_in
from accounts.services.sign_in import Device, SignIn
from accounts.services.welcome import welcome
from accounts.tests.fake_wechat import HTML, says
from accounts.tests.local_server import HANGS, NEVER, Answer
from tests.api import client_of, data_of, refusal_of
from tests.keys import NEW, OLD
from tests.people import make_person
from tests.races import kinds, race

PHONE = "13800138001"
OPENID, OTHER = "oGZUI0egBJY1zhBYw2KhdUfwVJJE", "oGZUI0egBJY1zhBYw2KhOTHERXXX"
UNIONID = "o6_bmasdasdsad6_2sgVt7hMZOPfL"
SESSION, TOKEN = "/sns/jscode2session", "/cgi-bin/stable_token"
NUMBER = "/wxa/business/getuserphonenumber"

pytestmark = pytest.mark.django_db


def post(code, phone_code=None, **body):
    said = {"code": code} | ({"phone_code": phone_code} if phone_code is not None else {}) | body
    return client_of().post("/api/auth/wechat", said, REMOTE_ADDR="198.51.100.7")


def sign_in_at(fake, openid=OPENID, phone=None, unionid=None):
    """As the mini-program of this person does."""
    phone_code = fake.phone(openid, phone) if phone else None
    return data_of(post(fake.login(openid, unionid), phone_code))


def sign_in_by_sms(phone=PHONE):
    return data_of(client_of().post("/api/auth/login", {"phone": phone, "code": "123456"}))


# --- The account --------------------------------------------------------------------------------
def test_the_first_sign_in_makes_an_account_with_the_welcome_points(at_wechat):
    answer = data_of(post(at_wechat.login(OPENID, UNIONID), device_info={"model": "P50"}))
    person = User.objects.get()
    assert answer.keys() == {
        "access_token", "refresh_token", "expires_in", "is_new_user", "user_info",
    }  # fmt: skip
    assert answer["is_new_user"] is True
    assert answer["user_info"]["mobile"] is None
    assert answer["user_info"]["total_points"] == 1000
    assert answer["user_info"]["nickname"] == person.nickname != ""
    assert (person.wechat_openid, person.wechat_unionid, person.phone) == (OPENID, UNIONID, None)
    assert DeviceSession.objects.get().device_info == {"model": "P50"}
    header = {"Authorization": f"Bearer {answer['access_token']}"}
    seen = data_of(client_of().get("/api/auth/verify", headers=header))
    assert seen["user_info"]["user_id"] == person.pk


def test_the_second_sign_in_finds_the_account(at_wechat):
    first, second = sign_in_at(at_wechat), sign_in_at(at_wechat)
    assert second["is_new_user"] is False
    assert second["user_info"]["user_id"] == first["user_info"]["user_id"]
    assert second["user_info"]["total_points"] == 1000
    assert User.objects.get().login_count == 2


def test_a_phone_that_is_proved_besides_belongs_to_the_new_account(at_wechat):
    answer = sign_in_at(at_wechat, phone=PHONE)
    assert answer["user_info"]["mobile"] == "138****8001"
    assert answer["user_info"]["nickname"].endswith("8001")
    assert answer["user_info"]["total_points"] == 1000  # once, not for each of the two
    assert sign_in_by_sms()["user_info"]["user_id"] == answer["user_info"]["user_id"]
    (asked,) = at_wechat.asked_for(NUMBER)
    assert asked.json["openid"] == OPENID  # WeChat is told whose phone it has to be


def test_a_phone_can_be_proved_later(at_wechat):
    first = sign_in_at(at_wechat)
    second = sign_in_at(at_wechat, phone=PHONE)
    assert second["is_new_user"] is False
    assert second["user_info"]["user_id"] == first["user_info"]["user_id"]
    assert second["user_info"]["mobile"] == "138****8001"
    assert second["user_info"]["total_points"] == 1000


def test_whoever_signed_in_by_sms_before_keeps_their_account(at_wechat):
    first = sign_in_by_sms()
    second = sign_in_at(at_wechat, phone=PHONE, unionid=UNIONID)
    assert second["is_new_user"] is False
    assert second["user_info"]["user_id"] == first["user_info"]["user_id"]
    assert second["user_info"]["total_points"] == 1000
    third = sign_in_at(at_wechat)  # without the phone from now on
    assert third["user_info"]["user_id"] == first["user_info"]["user_id"]
    assert User.objects.count() == 1


def test_numbers_of_other_regions_are_a_setting(at_wechat, settings):
    phone_code = at_wechat.phone(OPENID, "91234567", "852")
    assert refusal_of(post(at_wechat.login(OPENID), phone_code)) == (400, 1001, None)
    assert not User.objects.exists()
    settings.PHONE_PATTERN = r"\A\+852[0-9]{8}\Z"
    data_of(post(at_wechat.login(OPENID), at_wechat.phone(OPENID, "91234567", "852")))
    assert User.objects.get().phone == "+85291234567"


def test_the_country_may_be_a_number(at_wechat):
    at_wechat.phones["c" * 64] = (OPENID, PHONE, 86)
    data_of(post(at_wechat.login(OPENID), "c" * 64))
    assert User.objects.get().phone == PHONE


# --- unionid --------------------------------------------------------------------------------------
def test_another_app_of_the_same_owner_knows_the_person_by_the_unionid(at_wechat):
    first = sign_in_at(at_wechat, unionid=UNIONID)
    second = sign_in_at(at_wechat, OTHER, unionid=UNIONID)
    assert second["user_info"]["user_id"] == first["user_info"]["user_id"]
    assert User.objects.get().wechat_openid == OTHER


def test_a_unionid_that_comes_later_is_kept(at_wechat):
    sign_in_at(at_wechat)
    sign_in_at(at_wechat, unionid=UNIONID)
    assert User.objects.get().wechat_unionid == UNIONID
    sign_in_at(at_wechat, unionid=UNIONID)
    assert User.objects.count() == 1


def test_the_openid_decides_where_the_unionid_is_somebody_elses(at_wechat):
    mine = sign_in_at(at_wechat)
    sign_in_at(at_wechat, OTHER, unionid=UNIONID)
    again = sign_in_at(at_wechat, unionid=UNIONID)
    assert again["user_info"]["user_id"] == mine["user_info"]["user_id"]
    assert User.objects.get(wechat_openid=OPENID).wechat_unionid is None


# --- Welcome points -----------------------------------------------------------------------------
def points_of(answer):
    return answer["user_info"]["total_points"]


def forget_the_people():
    """As an erasure does: phone and WeChat are free again, the marks stay."""
    User.objects.update(phone=None, wechat_openid=None, wechat_unionid=None)


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({}, {}),
        ({"phone": PHONE}, {}),
        ({"phone": PHONE}, {"openid": OTHER, "phone": PHONE}),
        ({}, {"phone": PHONE}),
    ],
    ids=["openid", "openid of both", "phone of both", "openid with a new phone"],
)
def test_an_openid_or_a_phone_that_was_welcomed_gets_nothing_again(at_wechat, first, again):
    assert points_of(sign_in_at(at_wechat, **first)) == 1000
    forget_the_people()
    answer = sign_in_at(at_wechat, **again)
    assert (answer["is_new_user"], points_of(answer)) == (True, 0)


def test_what_was_joined_was_welcomed(at_wechat):
    """Neither the openid that joined a phone nor the phone that joined an openid comes again."""
    sign_in_by_sms()
    sign_in_at(at_wechat, phone=PHONE)
    sign_in_at(at_wechat, OTHER)
    sign_in_at(at_wechat, OTHER, phone="13800138002")
    forget_the_people()
    assert points_of(sign_in_at(at_wechat)) == 0
    assert points_of(sign_in_by_sms("13800138002")) == 0


def test_the_second_mark_gives_nothing_where_the_first_is_old(settings):
    settings.HASH_KEYS = [OLD]
    welcome(person=make_person(), points=1000, phone=PHONE)
    settings.HASH_KEYS = [NEW, OLD]
    person = make_person()
    welcome(person=person, points=1000, phone=PHONE, openid=OPENID)
    assert User.objects.get(pk=person.pk).total_points == 0
    assert RegistrationMark.objects.filter(person=person).get().points == 0


def test_the_ledger_and_the_marks_agree(at_wechat):
    sign_in_by_sms()
    sign_in_at(at_wechat, phone=PHONE)
    sign_in_at(at_wechat, OTHER, phone="13800138002")
    out = StringIO()
    call_command("check_integrity", "--only", "points", stdout=out)
    assert PointsEntry.objects.filter(source="register").count() == 2


# --- Who joins whom -----------------------------------------------------------------------------
def test_an_account_has_one_wechat_and_another_does_not_get_in(at_wechat):
    mine = sign_in_at(at_wechat, phone=PHONE)
    other = sign_in_at(at_wechat, OTHER, phone=PHONE)
    assert other["is_new_user"] is True
    assert other["user_info"]["user_id"] != mine["user_info"]["user_id"]
    assert other["user_info"]["mobile"] is None
    person = User.objects.get(phone=PHONE)
    assert (person.pk, person.wechat_openid) == (mine["user_info"]["user_id"], OPENID)


def test_two_accounts_stay_two(at_wechat):
    """Staff merge them: no sign-in moves points."""
    by_sms, at_home = sign_in_by_sms(), sign_in_at(at_wechat)
    again = sign_in_at(at_wechat, phone=PHONE)
    assert again["user_info"]["user_id"] == at_home["user_info"]["user_id"]
    assert again["user_info"]["mobile"] is None
    assert sign_in_by_sms()["user_info"]["user_id"] == by_sms["user_info"]["user_id"]


def test_a_phone_that_is_there_is_not_replaced(at_wechat):
    sign_in_at(at_wechat, phone=PHONE)
    answer = sign_in_at(at_wechat, phone="13800138002")
    assert answer["user_info"]["mobile"] == "138****8001"
    assert User.objects.get().phone == PHONE


@pytest.mark.parametrize("status", [UserStatus.BANNED, UserStatus.INACTIVE])
def test_a_closed_account_is_told_after_a_right_code_and_nothing_joins_it(at_wechat, status):
    person = make_person(phone=PHONE, status=status)
    response = post(at_wechat.login(OPENID), at_wechat.phone(OPENID, PHONE))
    assert refusal_of(response) == (403, 1005, None)
    person.refresh_from_db()
    assert person.wechat_openid is None
    assert User.objects.count() == 1
    closed = make_person(phone=None, wechat_openid=OTHER, status=status)
    response = post(at_wechat.login(OTHER), at_wechat.phone(OTHER, "13800138002"))
    assert refusal_of(response) == (403, 1005, None)
    closed.refresh_from_db()
    assert closed.phone is None


# --- What WeChat answers ------------------------------------------------------------------------
def assert_nothing_came_of_it():
    assert not User.objects.exists()
    assert not DeviceSession.objects.exists()
    assert not RegistrationMark.objects.exists()


@pytest.mark.parametrize("said", [40029, 40163, 40226, 41008, 40003])
@pytest.mark.parametrize("path", [SESSION, NUMBER])
def test_what_wechat_refuses_is_1008_and_401(at_wechat, path, said):
    at_wechat.instead[path] = says(said)
    response = post(at_wechat.login(OPENID), at_wechat.phone(OPENID, PHONE))
    assert refusal_of(response) == (401, 1008, None)
    assert_nothing_came_of_it()


AWAY = {
    "busy": says(-1, "system error"),
    "too often": says(45011, "api minute-quota reach limit"),
    "unknown app": says(40013, "invalid appid"),
    "wrong secret": says(40125, "invalid appsecret"),
    "unknown": says(99999),
    "no number": Answer({"errcode": "40029"}),
    "page": HTML,
    "gateway": Answer(HTML.body, status=502, content_type="text/html"),
    "list": Answer([]),
    "nothing": Answer({}),
    "empty": Answer(b""),
    "half": Answer(b'{"openid": "oGZ'),
    "other types": Answer({"openid": 7, "access_token": 7, "phone_info": 7}),
    "null": Answer({"openid": None, "access_token": None, "phone_info": None}),
    "odd": Answer({"openid": "a b", "access_token": "", "phone_info": {"purePhoneNumber": PHONE}}),
    "long": Answer({"openid": "o" * 65, "access_token": "t", "phone_info": {}}),
}


@pytest.mark.parametrize("path", [SESSION, TOKEN, NUMBER])
@pytest.mark.parametrize("answer", AWAY.values(), ids=AWAY.keys())
def test_what_wechat_does_not_answer_is_1008_and_502(at_wechat, path, answer):
    at_wechat.instead[path] = answer
    response = post(at_wechat.login(OPENID), at_wechat.phone(OPENID, PHONE))
    assert refusal_of(response) == (502, 1008, None)
    assert_nothing_came_of_it()


@pytest.mark.parametrize(
    "answer", [HANGS, Answer({"openid": OPENID}, is_slow=True)], ids=["hanging", "slow"]
)
def test_a_wechat_that_takes_too_long_is_away(at_wechat, answer, monkeypatch):
    assert wechat.SECONDS <= 3
    monkeypatch.setattr(wechat, "SECONDS", 0.5)
    at_wechat.instead[SESSION] = answer
    started = time.monotonic()
    assert refusal_of(post(at_wechat.login(OPENID))) == (502, 1008, None)
    assert time.monotonic() - started < NEVER
    assert_nothing_came_of_it()


def test_without_an_app_wechat_is_away(settings):
    settings.WECHAT_APP_ID = ""
    assert refusal_of(post("0c1")) == (502, 1008, None)


def test_a_phone_of_another_app_is_none(at_wechat):
    facts = {
        "purePhoneNumber": PHONE, "countryCode": "86",
        "watermark": {"timestamp": 1, "appid": "wx-of-another"},
    }  # fmt: skip
    at_wechat.instead[NUMBER] = Answer({"errcode": 0, "phone_info": facts})
    response = post(at_wechat.login(OPENID), at_wechat.phone(OPENID, PHONE))
    assert refusal_of(response) == (502, 1008, None)


@pytest.mark.parametrize(
    ("said", "level"), [(40013, "ERROR"), (40125, "ERROR"), (-1, "WARNING"), (40029, "INFO")]
)
def test_the_log_says_what_wechat_said_and_staff_hear_of_what_they_can_mend(
    at_wechat, said, level, caplog
):
    at_wechat.instead[SESSION] = says(said, "invalid code, hints: [ req_id: 7 ]")
    caplog.set_level(logging.INFO, "accounts.wechat")
    post(code := at_wechat.login(OPENID))
    (line,) = [one for one in caplog.records if one.name == "accounts.wechat"]
    assert (line.levelname, str(said) in line.getMessage()) == (level, True)
    assert code not in caplog.text


# --- The platform's own token -------------------------------------------------------------------
def test_the_token_is_asked_for_once_and_again_when_it_ended(at_wechat):
    for number in range(3):
        sign_in_at(at_wechat, f"{OPENID}{number}", phone=f"1380013800{number}")
    assert len(at_wechat.asked_for(TOKEN)) == 1
    at_wechat.tokens.clear()  # somebody made WeChat forget it
    sign_in_at(at_wechat, phone="13800138009")
    assert len(at_wechat.asked_for(TOKEN)) == 2


def test_a_token_that_never_works_is_wechat_away(at_wechat):
    at_wechat.instead[NUMBER] = says(42001, "access_token expired")
    response = post(at_wechat.login(OPENID), at_wechat.phone(OPENID, PHONE))
    assert refusal_of(response) == (502, 1008, None)
    assert len(at_wechat.asked_for(NUMBER)) == 2


def test_a_token_is_renewed_before_it_ends(at_wechat):
    at_wechat.instead[TOKEN] = Answer({"access_token": "t", "expires_in": 300})
    at_wechat.instead[NUMBER] = says(-1)
    for _time in range(2):
        post(at_wechat.login(OPENID), at_wechat.phone(OPENID, PHONE))
    assert len(at_wechat.asked_for(TOKEN)) == 2


# --- What is typed ------------------------------------------------------------------------------
@pytest.mark.parametrize("code", ["", None, 7, True, [], {}, "x" * 513])
def test_a_code_that_cannot_be_one_is_1008(at_wechat, code):
    assert refusal_of(post(code)) == (401, 1008, None)
    said = {"code": at_wechat.login(OPENID), "phone_code": code}
    assert refusal_of(client_of().post("/api/auth/wechat", said)) == (401, 1008, None)
    assert at_wechat.local.asked == []


def test_a_missing_code_is_1008():
    assert refusal_of(client_of().post("/api/auth/wechat", {})) == (401, 1008, None)


def test_device_info_is_looked_at_as_everywhere(at_wechat):
    refusal = refusal_of(post(at_wechat.login(OPENID), device_info="x" * 2001))
    assert (refusal.status, refusal.code, list(refusal.data)) == (400, 1011, ["device_info"])


def test_an_address_is_not_listened_to_after_so_many_refused_codes(at_wechat, settings):
    settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS = 2
    for _try in range(2):
        assert refusal_of(post("0c-guessed")) == (401, 1008, None)
    response = post(at_wechat.login(OPENID))
    assert refusal_of(response) == (429, 1013, None)
    assert 1 <= int(response["Retry-After"]) <= 3600
    assert len(at_wechat.asked_for(SESSION)) == 2


# --- At once ------------------------------------------------------------------------------------
def attempt(fake, openid=OPENID, phone=None):
    return partial(
        sign_in.sign_in_by_wechat,
        code=fake.login(openid),
        phone_code=fake.phone(openid, phone) if phone else None,
        device=Device(),
    )


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("phone", [None, PHONE])
def test_first_sign_ins_at_once_make_one_account_and_one_bonus(at_wechat, phone):
    outcomes = race([attempt(at_wechat, phone=phone) for _device in range(8)])
    assert kinds(outcomes) == {SignIn: 8}
    person = User.objects.get()
    assert (person.total_points, person.login_count, person.phone) == (1000, 8, phone)
    assert PointsEntry.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_wechats_that_join_one_phone_at_once_one_does(at_wechat):
    person = make_person(phone=PHONE)
    openids = [f"{OPENID[:-2]}{number:02d}" for number in range(6)]
    outcomes = race([attempt(at_wechat, openid, PHONE) for openid in openids])
    assert kinds(outcomes) == {SignIn: 6}
    assert [outcome.person.pk for outcome in outcomes].count(person.pk) == 1
    person.refresh_from_db()
    (winner,) = [one for one in outcomes if one.person.pk == person.pk]
    assert winner.person.wechat_openid == person.wechat_openid
    others = User.objects.exclude(pk=person.pk)
    assert set(others.values_list("wechat_openid", flat=True)) == {*openids} - {
        person.wechat_openid
    }
    assert set(others.values_list("phone", flat=True)) == {None}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_condition_several_join_one_phone():
    """The twin: everybody looks, nobody is there, everybody writes; the last one stays."""
    person = make_person(phone=PHONE)
    everybody_has_looked = threading.Barrier(6)

    def join(openid):
        is_free = User.objects.get(pk=person.pk).wechat_openid is None
        everybody_has_looked.wait(30)
        return is_free and User.objects.filter(pk=person.pk).update(wechat_openid=openid)

    outcomes = race([partial(join, f"{OPENID[:-2]}{number:02d}") for number in range(6)])
    assert outcomes == [1] * 6  # six people who all think that it is their account


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_accounts_that_prove_one_phone_at_once_one_gets_it(at_wechat):
    openids = [f"{OPENID[:-2]}{number:02d}" for number in range(6)]
    for openid in openids:
        make_person(phone=None, wechat_openid=openid)
    outcomes = race([attempt(at_wechat, openid, PHONE) for openid in openids])
    assert kinds(outcomes) == {SignIn: 6}
    assert User.objects.filter(phone=PHONE).count() == 1
    assert User.objects.count() == 6


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_time", range(5))  # who comes between whom is another each time
def test_a_sign_in_by_sms_and_one_by_wechat_at_once_make_one_account(at_wechat, _time):
    here = Device(address="127.0.0.1")
    by_sms = partial(sign_in.sign_in_by_code, phone=PHONE, code="123456", device=here)
    outcomes = race([by_sms] * 3 + [attempt(at_wechat, phone=PHONE) for _device in range(3)])
    assert kinds(outcomes) == {SignIn: 6}
    person = User.objects.get()
    assert (person.phone, person.wechat_openid, person.total_points) == (PHONE, OPENID, 1000)


def test_whoever_loses_every_time_hears_of_it(monkeypatch):
    """What is no race at all fails loudly instead of for ever."""
    make_person(phone=None, wechat_unionid=UNIONID)
    monkeypatch.setattr(identities, "_known_at_wechat", lambda _openid, _unionid: None)
    with pytest.raises(IntegrityError):
        identities.person_at_wechat(openid=OPENID, unionid=UNIONID, phone=None)
    assert User.objects.count() == 1


# --- The session key ----------------------------------------------------------------------------
def everything_kept():
    """Every text of every row."""
    out = StringIO()
    call_command("dumpdata", "--all", stdout=out)
    return out.getvalue()


def test_the_session_key_is_neither_kept_nor_logged_nor_sent(at_wechat, own_folder, caplog):
    caplog.set_level(logging.DEBUG)
    answers = [
        post(at_wechat.login(OPENID, UNIONID), at_wechat.phone(OPENID, PHONE)),
        post(at_wechat.login(OPENID), "0c-refused"),
    ]
    assert len(at_wechat.session_keys) == 2
    kept = everything_kept()
    assert OPENID in kept  # it sees what is kept
    files = [path.read_bytes() for path in own_folder.rglob("*") if path.is_file()]
    sent = [answer.content for answer in answers]
    asked = [repr(asked) for asked in at_wechat.local.asked]
    for key in at_wechat.session_keys:
        assert key not in kept
        assert key not in caplog.text
        assert not any(key in text for text in asked)
        assert not any(key.encode() in content for content in (*sent, *files))


def test_neither_the_secret_nor_a_code_is_logged(at_wechat, caplog):
    caplog.set_level(logging.DEBUG)
    codes = [at_wechat.login(OPENID), at_wechat.phone(OPENID, PHONE)]
    data_of(post(*codes))
    at_wechat.local.answer = lambda asked: HANGS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wechat, "SECONDS", 0.2)
        post(*codes)
    for secret in (*codes, *at_wechat.tokens, "5ecret-of-the-mini-program"):
        assert secret not in caplog.text
