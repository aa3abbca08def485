"""POST /api/auth/code and the service behind it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.errors import CodeAskedTooOften
from accounts.models import SignInCode
from accounts.services import sign_in_codes
from accounts.sms import NotTaken
from accounts.tests.factories import RecordingSender
from ops.days import seconds_left, start_of_day
from ops.tests.databases import elsewhere, wait_until, waiting_for_a_lock
from tests.api import answer_of, client_of, data_of, refusal_of
from tests.people import make_person
from tests.races import kinds, race, without_constraint
from tests.refusals import refused

PHONE = "13800138001"
ODD_PHONES = [
    "",
    " ",
    "1380013800",
    "138001380011",
    "12800138001",
    "10000000000",
    "23800138001",
    "+8613800138001",
    "8613800138001",
    "138 0013 8001",
    " 13800138001",
    "13800138001 ",
    "13800138001\n",
    "\n13800138001",
    "13800138001\u0000",
    "１３８００１３８００１",
    "1380013800１",
    "١٣٨٠٠١٣٨٠٠١",
    "1380013800a",
    "13800138001;",
    "\ud800",
    13800138001,
    13800138001.0,
    True,
    None,
    [],
    ["13800138001"],
    {"phone": PHONE},
]

pytestmark = pytest.mark.django_db


def post(api, path, body, **extra):
    return api.post(path, body, format="json", **extra)


def test_the_answer_tells_how_long_a_code_lives_and_when_the_next_may_be_asked(
    api, sent, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        response = post(api, "/api/auth/code", {"phone": PHONE})
    assert data_of(response) == {"expires_in": 300, "resend_after": 60}
    ((phone, code),) = sent
    assert phone == PHONE
    assert len(code) == 6
    assert code.isascii()
    assert code.isdigit()


def test_the_answer_is_the_same_whether_or_not_the_phone_has_an_account(api, sent):
    make_person(phone=PHONE)
    known = post(api, "/api/auth/code", {"phone": PHONE})
    unknown = post(api, "/api/auth/code", {"phone": "13800138002"})
    assert data_of(known) == data_of(unknown)


def test_the_code_itself_is_not_kept(ask):
    code = ask(PHONE)
    row = SignInCode.objects.values().get()
    assert not any(code == str(value) for value in row.values())


@pytest.mark.parametrize("phone", ODD_PHONES, ids=ascii)
def test_what_is_no_mainland_mobile_number_is_1001(api, phone, sent):
    # By hand: the test client's own encoder would not write half a character.
    response = api.generic(
        "POST", "/api/auth/code", json.dumps({"phone": phone}), content_type="application/json"
    )
    assert refusal_of(response) == (400, 1001, None)
    assert not SignInCode.objects.exists()


@pytest.mark.parametrize("path", ["/api/auth/code", "/api/auth/login"])
def test_a_missing_phone_is_1001(api, path):
    assert refusal_of(post(api, path, {"code": "123456"})) == (400, 1001, None)


def test_login_reads_phones_the_same_way(api):
    for phone in ("１３８００１３８００１", "13800138001\n", "+8613800138001", None, 13800138001):
        response = post(api, "/api/auth/login", {"phone": phone, "code": "123456"})
        assert refusal_of(response) == (400, 1001, None)


def test_other_regions_are_a_setting(api, settings, sent):
    settings.PHONE_PATTERN = r"\A\+852[0-9]{8}\Z"
    data_of(post(api, "/api/auth/code", {"phone": "+85291234567"}))
    assert refusal_of(post(api, "/api/auth/code", {"phone": PHONE})) == (400, 1001, None)


# --- Too often ----------------------------------------------------------------------------------
def test_a_second_code_within_a_minute_is_1003_and_says_when_to_come_back(api, ask):
    ask(PHONE)
    response = post(api, "/api/auth/code", {"phone": PHONE})
    assert refusal_of(response) == (429, 1003, None)
    assert 50 <= int(response["Retry-After"]) <= 60
    assert SignInCode.objects.count() == 1


def test_after_a_minute_a_new_code_replaces_the_old_one(api, ask):
    first = ask(PHONE)
    SignInCode.objects.update(created_at=F("created_at") - timedelta(seconds=60))
    second = ask(PHONE)
    while second == first:  # one in a million
        SignInCode.objects.update(created_at=F("created_at") - timedelta(seconds=60))
        second = ask(PHONE)
    response = post(api, "/api/auth/login", {"phone": PHONE, "code": first})
    assert refusal_of(response) == (401, 1002, None)
    data_of(post(api, "/api/auth/login", {"phone": PHONE, "code": second}))


def test_the_minute_is_the_phones_own(ask):
    ask(PHONE)
    ask("13800138002")


def test_a_phone_gets_so_many_codes_a_day(api, ask, settings):
    settings.SMS_CODES_A_DAY = 2
    for _ in range(2):
        ask(PHONE)
        SignInCode.objects.update(created_at=F("created_at") - timedelta(seconds=61))
    response = post(api, "/api/auth/code", {"phone": PHONE})
    assert refusal_of(response) == (429, 1003, None)
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0) + timedelta(days=1)
    wait = (midnight - timezone.localtime()).total_seconds()
    assert abs(int(response["Retry-After"]) - wait) <= 60
    a_day = timedelta(days=1)
    SignInCode.objects.update(day=F("day") - a_day, created_at=F("created_at") - a_day)
    ask(PHONE)


def test_a_code_that_can_still_be_guessed_at_after_midnight_is_one_of_the_new_day(
    api, ask, settings
):
    """Else ten codes of a day and the last one of the day before would be guessed at in one."""
    settings.SMS_CODES_A_DAY = 2
    midnight = start_of_day(timezone.now())
    for number, lived in enumerate((timedelta(minutes=6), timedelta(minutes=4)), start=1):
        then = midnight - lived
        SignInCode.objects.create(
            phone=PHONE, day=timezone.localdate(then), number=number, code_hash="",
            created_at=then, expires_at=then + timedelta(minutes=5),
        )  # fmt: skip
    SignInCode.objects.filter(number=1).update(created_at=midnight - timedelta(hours=1))
    settings.SMS_RESEND_AFTER = timedelta()
    ask(PHONE)
    response = post(api, "/api/auth/code", {"phone": PHONE}, REMOTE_ADDR="198.51.100.7")
    assert refusal_of(response) == (429, 1003, None)


def test_an_address_gets_so_many_codes_an_hour(api, ask, settings):
    settings.SMS_CODES_AN_HOUR_PER_ADDRESS = 3
    for number in range(3):
        ask(f"1380013800{number}", address="198.51.100.7")
    response = post(api, "/api/auth/code", {"phone": PHONE}, REMOTE_ADDR="198.51.100.7")
    assert refusal_of(response) == (429, 1003, None)
    assert 1 <= int(response["Retry-After"]) <= 3600
    assert not SignInCode.objects.filter(phone="13800138004").exists()
    data_of(post(api, "/api/auth/code", {"phone": "13800138005"}, REMOTE_ADDR="198.51.100.8"))


def test_an_address_of_ipv6_is_the_network_of_a_customer(api, ask, settings):
    settings.SMS_CODES_AN_HOUR_PER_ADDRESS = 3
    for number in range(3):
        ask(f"1380013800{number}", address=f"2001:db8:0:1:{number}::1")
    beside = post(api, "/api/auth/code", {"phone": "13800138004"}, REMOTE_ADDR="2001:db8:0:1:9::1")
    assert refusal_of(beside) == (429, 1003, None)
    assert not SignInCode.objects.filter(phone="13800138004").exists()
    data_of(post(api, "/api/auth/code", {"phone": "13800138005"}, REMOTE_ADDR="2001:db8:0:2::1"))


def test_an_ipv4_address_in_ipv6_is_itself(api, ask, settings):
    settings.SMS_CODES_AN_HOUR_PER_ADDRESS = 1
    data_of(post(api, "/api/auth/code", {"phone": PHONE}, REMOTE_ADDR="::ffff:198.51.100.7"))
    assert SignInCode.objects.get().ip_address == "198.51.100.7"
    same = post(api, "/api/auth/code", {"phone": "13800138002"}, REMOTE_ADDR="198.51.100.7")
    assert refusal_of(same) == (429, 1003, None)
    another = {"phone": "13800138003"}
    data_of(post(api, "/api/auth/code", another, REMOTE_ADDR="::ffff:198.51.100.8"))


@pytest.mark.parametrize("trusted", [0, 1])
def test_what_was_forwarded_is_not_the_machine_itself(api, ask, settings, trusted):
    settings.SMS_CODES_AN_HOUR_PER_ADDRESS = 0
    settings.TRUSTED_PROXIES = trusted
    headers = {"X-Forwarded-For": "127.0.0.1"}
    response = post(api, "/api/auth/code", {"phone": PHONE}, headers=headers)
    assert refusal_of(response) == (429, 1003, None)


@pytest.mark.parametrize(("is_limited", "code"), [(False, 0), (True, 1003)])
def test_loopback_is_limited_by_a_setting_alone(api, ask, settings, is_limited, code):
    settings.SMS_CODES_AN_HOUR_PER_ADDRESS = 0
    settings.LIMIT_LOOPBACK_ADDRESSES = is_limited
    response = post(api, "/api/auth/code", {"phone": PHONE}, REMOTE_ADDR="127.0.0.1")
    assert answer_of(response).code == code


@pytest.mark.parametrize("address", ["", "unknown", "198.51.100.7:4711"])
def test_an_address_that_is_none_stops_nobody(api, ask, settings, address):
    settings.TRUSTED_PROXIES = 1
    headers = {"X-Forwarded-For": address or "unknown"}
    data_of(post(api, "/api/auth/code", {"phone": PHONE}, headers=headers, REMOTE_ADDR=address))
    assert SignInCode.objects.get().ip_address is None


@pytest.mark.parametrize(
    ("trusted", "forwarded", "expected"),
    [
        (0, "203.0.113.9", "198.51.100.7"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        (2, "203.0.113.9", "198.51.100.7"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_proxies_are_believed_as_far_as_they_are_ours(
    api, ask, settings, trusted, forwarded, expected
):
    settings.TRUSTED_PROXIES = trusted
    post(
        api,
        "/api/auth/code",
        {"phone": PHONE},
        headers={"X-Forwarded-For": forwarded},
        REMOTE_ADDR="198.51.100.7",
    )
    assert SignInCode.objects.get().ip_address == expected


def test_the_console_sender_prints_the_code(settings, capsys, django_capture_on_commit_callbacks):
    settings.SMS_SENDER = "accounts.sms.ConsoleSender"
    with django_capture_on_commit_callbacks(execute=True):
        sign_in_codes.ask_code(phone=PHONE, address="")
    assert capsys.readouterr().out.startswith(f"SMS to {PHONE}: the code is ")


@pytest.mark.django_db(transaction=True)
def test_without_a_provider_nobody_gets_a_code(settings, capsys, caplog):
    settings.SMS_SENDER = "accounts.sms.NoSender"
    response = client_of().post("/api/auth/code", {"phone": PHONE})
    assert refused(response, 1503) is None
    assert not SignInCode.objects.exists()
    assert "there is no provider" in caplog.text
    assert PHONE not in capsys.readouterr().out


# --- At once ------------------------------------------------------------------------------------
ask_for_this_phone = partial(sign_in_codes.ask_code, phone=PHONE, address="198.51.100.7")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_phone_that_asks_many_times_at_once_gets_one_code(sent):
    outcomes = race([ask_for_this_phone] * 12)
    assert kinds(outcomes) == {type(None): 1, CodeAskedTooOften: 11}
    assert len(sent) == SignInCode.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_whoever_meets_another_at_the_same_number_was_too_fast(sent):
    with elsewhere(autocommit=False) as other:
        with other.cursor() as cursor:
            cursor.execute(
                "INSERT INTO accounts_signincode (phone, day, number, code_hash, wrong_tries, "
                "created_at, expires_at) VALUES (%s, %s, 1, '', 0, now(), now())",
                [PHONE, timezone.localdate()],
            )
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(race, [ask_for_this_phone])
            wait_until(waiting_for_a_lock)
            other.commit()
            assert kinds(asking.result(10)) == {CodeAskedTooOften: 1}
    assert sent == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_constraint_it_gets_several(sent):
    """The refusal that is left reads before it writes; held back by nothing, many get through."""
    everybody_has_counted = threading.Barrier(6)

    def attempt():
        today = timezone.localdate()
        sent_today = SignInCode.objects.filter(phone=PHONE, day=today).count()
        everybody_has_counted.wait(30)
        return SignInCode.objects.create(
            phone=PHONE, day=today, number=sent_today + 1, code_hash="", expires_at=timezone.now()
        )

    with without_constraint(SignInCode, "signincode_one_at_a_time"):
        assert kinds(race([attempt] * 6)) == {SignInCode: 6}


# --- A provider that fails ------------------------------------------------------------------------
class AwaySender:
    """A provider whose gateway is away."""

    def send_code(self, *, phone, code):
        raise NotTaken("gateway")


class DeliveringSender(RecordingSender):
    """A provider that delivers, and whose answer never comes."""

    def send_code(self, *, phone, code):
        super().send_code(phone=phone, code=code)
        raise TimeoutError


def ask_from(number):
    """Ask for a code for the phone from an address of its own."""
    return client_of().post("/api/auth/code", {"phone": PHONE}, REMOTE_ADDR=f"198.51.100.{number}")


@pytest.mark.django_db(transaction=True)
def test_a_code_that_could_not_be_sent_was_never_asked_for(settings, sent):
    settings.SMS_SENDER = "accounts.tests.test_ask_code.AwaySender"
    response = ask_from(1)
    assert refused(response, 1503) is None
    assert int(response["Retry-After"]) <= 5
    assert not SignInCode.objects.exists()

    settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
    data_of(ask_from(2))
    assert SignInCode.objects.get().ip_address == "198.51.100.2"


@pytest.mark.django_db(transaction=True)
def test_a_code_that_may_have_arrived_costs_neither_the_minute_nor_the_day(settings, sent):
    settings.SMS_CODES_A_DAY = 1
    settings.SMS_SENDER = "accounts.tests.test_ask_code.DeliveringSender"
    for number in range(3):
        response = ask_from(number)
        assert refused(response, 1503) is None
        assert int(response["Retry-After"]) <= 5
    assert not SignInCode.objects.exists()

    settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
    data_of(ask_from(4))


@pytest.mark.django_db(transaction=True)
def test_after_some_that_may_have_arrived_the_next_waits_its_minute(settings, sent):
    """Whoever asks for somebody else's phone, from however many addresses."""
    settings.SMS_SENDER = "accounts.tests.test_ask_code.DeliveringSender"
    responses = [ask_from(number) for number in range(1, 9)]
    assert [answer_of(response).code for response in responses] == [1503] * 4 + [1003] * 4
    assert all(50 <= int(response["Retry-After"]) <= 60 for response in responses[3:])
    assert len(sent) == 4
    assert not SignInCode.objects.exists()

    settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
    data_of(client_of().post("/api/auth/code", {"phone": "13800138002"}))
    settings.SMS_RESEND_AFTER = timedelta()
    data_of(ask_from(6))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["AwaySender", "DeliveringSender"])
def test_an_earlier_code_stays_good_when_a_later_one_fails(settings, sent, name):
    settings.SMS_FIXED_CODE = ""
    data_of(ask_from(1))
    SignInCode.objects.update(created_at=F("created_at") - timedelta(seconds=61))
    settings.SMS_SENDER = f"accounts.tests.test_ask_code.{name}"
    refused(ask_from(2), 1503)
    sign_in_codes.use_code(phone=PHONE, code=sent[0][1], address="")


@pytest.mark.django_db(transaction=True)
def test_a_provider_that_delivers_and_fails_sends_a_phone_no_more_than_a_days_codes(settings, sent):
    """Whoever asks for somebody else's phone, from however many addresses."""
    settings.SMS_CODES_A_DAY = 3
    settings.SMS_RESEND_AFTER = timedelta()
    data_of(ask_from(1))
    settings.SMS_SENDER = "accounts.tests.test_ask_code.DeliveringSender"
    for number in range(2, 7):
        refused(ask_from(number), 1503)

    for number in range(7, 12):
        response = ask_from(number)
        refused(response, 1003)
        assert abs(int(response["Retry-After"]) - seconds_left(timezone.now())) <= 60

    assert len(sent) == 3 + 3  # of the day, and what may get lost on top
    settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
    data_of(client_of().post("/api/auth/code", {"phone": "13800138002"}))


@pytest.mark.django_db(transaction=True)
def test_what_was_certainly_not_sent_does_not_count(settings, sent):
    settings.SMS_CODES_A_DAY = 1
    settings.SMS_SENDER = "accounts.tests.test_ask_code.AwaySender"
    for number in range(1, 4):
        refused(ask_from(number), 1503)

    settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
    data_of(ask_from(4))
