"""Limits that many phones share: neighbours, the budget of a day, pumping; without Redis too."""

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.core.cache import cache
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisAway

from accounts import metrics
from accounts.errors import CodeAskedTooOften
from accounts.models import CodeCount, CountPurpose, SignInCode, User
from accounts.services import code_counts, sign_in_codes
from accounts.services.code_counts import Counted
from ops.days import seconds_left, start_of_day
from ops.metrics import EVENTS
from ops.models import OperationalEvent
from tests.api import client_of, data_of
from tests.people import make_person
from tests.races import kinds, race
from tests.refusals import refused

PHONE, KNOWN = "13800138001", "13900139000"

pytestmark = pytest.mark.django_db


def post(phone, address="198.51.100.7", path="/api/auth/code", **body):
    return client_of().post(path, {"phone": phone, **body}, REMOTE_ADDR=address)


def known_person():
    return make_person(phone=KNOWN, last_login=timezone.now())


# --- Neighbours -----------------------------------------------------------------------------------
def test_neighbouring_numbers_get_so_many_codes_an_hour(sent, settings):
    settings.SMS_CODES_AN_HOUR_PER_PREFIX = 2
    for number in (1, 2):
        data_of(post(f"1380013000{number}", f"198.51.100.{number}"))
    data_of(post("13800140000", "198.51.100.3"))  # another neighbourhood
    response = post("13800130003", "198.51.100.3")
    assert refused(response, 1003) is None
    assert 1 <= int(response["Retry-After"]) <= 3600
    assert not SignInCode.objects.filter(phone="13800130003").exists()


def test_in_the_first_hour_of_a_day_the_wait_is_that_of_the_hour(settings):
    """Both begin at the same moment then."""
    settings.SMS_CODES_AN_HOUR_PER_PREFIX = 1
    now = start_of_day(timezone.now()) + timedelta(minutes=16)
    sign_in_codes._claim("13800130001", "198.51.100.1", now, is_sent=True)
    with pytest.raises(CodeAskedTooOften) as refusal:
        sign_in_codes._claim("13800130002", "198.51.100.2", now, is_sent=True)
    assert refusal.value.retry_after == 44 * 60


def test_the_refused_are_counted_by_none_of_the_limits(sent, settings):
    settings.SMS_CODES_A_DAY_IN_ALL = 0
    refused(post(PHONE), 1003)
    assert set(CodeCount.objects.values_list("purpose", flat=True)) <= {CountPurpose.TOLD}


# --- The budget of a day ------------------------------------------------------------------------
def test_the_platform_pays_for_so_many_codes_a_day(sent, settings):
    settings.SMS_CODES_A_DAY_IN_ALL = 2
    for number in (1, 2):
        data_of(post(f"1380013{number}000", f"198.51.100.{number}"))
    before = metrics.CODES_REFUSED.series().get(("budget",), 0)
    for _again in range(2):
        response = post("13900130000")
        assert refused(response, 1003) is None
        assert abs(int(response["Retry-After"]) - seconds_left(timezone.now())) <= 60
    assert not SignInCode.objects.filter(phone="13900130000").exists()
    assert metrics.CODES_REFUSED.series()[("budget",)] == before + 2
    event = OperationalEvent.objects.get()  # once a day, not for each who asks
    assert (event.kind, event.facts) == ("sms_budget_used_up", {"codes": 2})


@pytest.mark.parametrize(("is_limited", "status"), [(False, 200), (True, 429)])
def test_the_machine_itself_is_limited_by_a_setting_alone(sent, settings, is_limited, status):
    settings.SMS_CODES_A_DAY_IN_ALL = 0
    settings.LIMIT_LOOPBACK_ADDRESSES = is_limited
    assert post(PHONE, "127.0.0.1").status_code == status


# --- Pumping ------------------------------------------------------------------------------------
def make_codes(number, *, used=0, minutes_ago=5, is_known=False, of=0):
    """So many codes that were sent some minutes ago, the first ones of them used."""
    then = timezone.now() - timedelta(minutes=minutes_ago)
    for index in range(number):
        SignInCode.objects.create(
            phone=f"137{of:04d}{index:04d}", day=then.date(), number=1, code_hash="",
            is_known=is_known, created_at=then, expires_at=then,
            used_at=then if index < used else None,
        )  # fmt: skip


def is_held_back(phone):
    return SignInCode.objects.get(phone=phone).is_held_back


@pytest.fixture
def ten_codes(settings):
    settings.SMS_PUMPING_CODES, settings.SMS_PUMPING_PERCENT = 10, 30
    settings.SMS_PUMPING_MINUTES = 30


def test_where_few_codes_are_used_strangers_wait(
    sent, ten_codes, django_capture_on_commit_callbacks
):
    make_codes(10, used=2)
    known_person()
    before = metrics.CODES_REFUSED.series().get(("pumping",), 0)
    with django_capture_on_commit_callbacks(execute=True):
        for number in (1, 2):
            data_of(post(f"1380013800{number}", f"198.51.100.{number}"))
        data_of(post(KNOWN))
    assert [phone for phone, _code in sent] == [KNOWN]
    assert metrics.CODES_REFUSED.series()[("pumping",)] == before + 2
    event = OperationalEvent.objects.get()
    assert event.kind == "sms_pumping"
    assert event.facts == {"codes": 10, "below_percent": 30}


def told(phone, address="198.51.100.7"):
    """What somebody learns who asks for a code, and for another one at once."""
    answers = [post(phone, address) for _time in range(2)]
    return [
        (one.status_code, one.json()["code"], one.json()["data"], "Retry-After" in one)
        for one in answers
    ]


def test_no_answer_tells_whether_a_phone_has_an_account_while_strangers_wait(sent, ten_codes):
    """Nor do wrong codes: somebody's phone gets one, and the other's does not."""
    make_codes(10)
    known_person()
    assert told(PHONE) == told(KNOWN)
    assert (is_held_back(PHONE), is_held_back(KNOWN)) == (True, False)
    login = "/api/auth/login"
    for _time in range(6):
        tried = [client_of().post(login, {"phone": p, "code": "0000x"}) for p in (PHONE, KNOWN)]
        assert len({(one.status_code, one.json()["code"]) for one in tried}) == 1
    assert tried[0].json()["code"] == 1004


@pytest.mark.parametrize("name", ["SMS_CODES_AN_HOUR_PER_ADDRESS", "SMS_CODES_AN_HOUR_PER_PREFIX"])
def test_what_is_held_back_counts_where_neighbours_are_counted(sent, ten_codes, settings, name):
    setattr(settings, name, 1)
    make_codes(10)
    data_of(post("13800130001"))
    refused(post("13800130002"), 1003)


def test_what_is_held_back_costs_the_budget_nothing(sent, ten_codes, settings):
    """Else whoever pumps would use up what is left for those who have an account."""
    settings.SMS_CODES_A_DAY_IN_ALL = 1
    make_codes(10)
    known_person()
    data_of(post(PHONE))
    data_of(post(KNOWN))
    refused(post("13900130000"), 1003)  # as anybody is where nothing is left


def test_what_is_held_back_does_not_hold_others_back(sent, ten_codes):
    make_codes(9)
    SignInCode.objects.update(is_held_back=True)
    make_codes(9, of=1)
    data_of(post(PHONE))
    assert not is_held_back(PHONE)


def test_a_code_that_was_held_back_opens_nothing(sent, ten_codes):
    make_codes(10)
    data_of(post(PHONE))
    code = SignInCode.objects.get(phone=PHONE)
    assert code.is_held_back
    assert not code.is_known
    assert not User.objects.filter(phone=PHONE).exists()


def test_a_rule_can_see_that_strangers_wait(sent, ten_codes, django_capture_on_commit_callbacks):
    make_codes(10)
    before = EVENTS.series().get(("sms_pumping",), 0)
    with django_capture_on_commit_callbacks(execute=True):
        data_of(post(PHONE))
    assert EVENTS.series()[("sms_pumping",)] == before + 1


def test_whoever_signed_in_before_never_waits_for_that(sent, ten_codes):
    make_codes(10)
    known_person()
    data_of(post(KNOWN))
    assert not is_held_back(KNOWN)


def test_an_account_that_nobody_ever_signed_in_to_is_a_stranger(sent, ten_codes):
    make_codes(10)
    make_person(phone=KNOWN)
    data_of(post(KNOWN))
    assert is_held_back(KNOWN)


@pytest.mark.parametrize(
    "codes",
    [
        partial(make_codes, 10, used=3),  # enough of them were used
        partial(make_codes, 9),  # too few to tell
        partial(make_codes, 10, minutes_ago=31),  # it ends by itself
        partial(make_codes, 10, minutes_ago=0),  # they may yet be used
        partial(make_codes, 10, is_known=True),
    ],
    ids=["used", "few", "old", "fresh", "known"],
)
def test_else_nobody_waits(sent, ten_codes, codes):
    codes()
    data_of(post(PHONE))
    assert not is_held_back(PHONE)
    assert not OperationalEvent.objects.exists()


def test_the_newest_codes_count(sent, ten_codes):
    make_codes(10, minutes_ago=20)
    make_codes(10, used=3, minutes_ago=5, of=1)
    data_of(post(PHONE))
    assert not is_held_back(PHONE)


def test_0_looks_at_none(sent, settings):
    settings.SMS_PUMPING_CODES = 0
    make_codes(3)
    data_of(post(PHONE))
    assert not is_held_back(PHONE)


def test_a_code_says_whether_its_phone_was_known(sent):
    known_person()
    for phone in (PHONE, KNOWN):
        data_of(post(phone))
    assert dict(SignInCode.objects.values_list("phone", "is_known")) == {PHONE: False, KNOWN: True}


def test_the_used_share_is_told(settings):
    read = metrics.CODES_USED_RATIO.values
    assert read() == {}
    make_codes(4, used=1)
    make_codes(4, used=4, minutes_ago=70, of=1)
    make_codes(4, used=0, minutes_ago=0, of=2)
    make_codes(4, used=0, of=3)
    SignInCode.objects.filter(phone__startswith="1370003").update(is_held_back=True)
    assert read() == {(): 0.25}


# --- Without Redis --------------------------------------------------------------------------------
@pytest.fixture
def redis_away(settings):
    """Whatever asks the cache fails; as a real one does whose server is gone."""
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    with pytest.raises(RedisAway):
        cache.get("anything")


def test_without_redis_people_sign_in_and_the_limits_hold(
    redis_away, sent, settings, django_capture_on_commit_callbacks
):
    settings.SMS_FIXED_CODE = ""
    settings.SMS_CODES_AN_HOUR_PER_ADDRESS = 2
    settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS = 2
    with django_capture_on_commit_callbacks(execute=True):
        data_of(post(PHONE))
    refused(post(PHONE), 1003)  # its minute
    data_of(post("13800138002"))
    refused(post("13800138003"), 1003)  # its address
    for _try in range(2):
        refused(post(PHONE, path="/api/auth/login", code="00000x"), 1002)
    refused(post(PHONE, path="/api/auth/login", code=sent[0][1]), 1013)
    answer = data_of(post(PHONE, "198.51.100.8", path="/api/auth/login", code=sent[0][1]))
    assert answer["is_new_user"] is True
    assert User.objects.get().phone == PHONE


# --- Counting -----------------------------------------------------------------------------------
def one_count():
    return Counted(CountPurpose.PREFIX, "1380013", code_counts.start_of_hour(timezone.now()))


def test_what_is_given_back_can_be_claimed_again():
    count = one_count()
    assert (count.claim(limit=1), count.claim(limit=1)) == (True, False)
    count.give_back()
    assert count.count == 0
    count.give_back()  # never below nothing
    assert (count.count, count.claim(limit=1)) == (0, True)
    assert Counted(CountPurpose.PREFIX, "1380014", count.since).count == 0


def test_no_count_says_what_it_is_of():
    one_count().add()
    assert "1380013" not in str(CodeCount.objects.values().get()["key_hash"])
    assert str(CodeCount.objects.get()).startswith("prefix ")


def test_counts_of_spans_long_over_go():
    now = timezone.now()
    for days in (1, 2, 3):
        Counted(CountPurpose.PLATFORM, "", now - timedelta(days=days)).add()
    assert code_counts.forget_old(now=now) == 2
    assert code_counts.forget_old(now=now) == 0
    assert CodeCount.objects.get().since == now - timedelta(days=1)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_as_many_are_counted_as_may_be():
    since = code_counts.start_of_hour(timezone.now())
    claim = partial(Counted(CountPurpose.PREFIX, "1380013", since).claim, limit=5)
    outcomes = race([claim] * 20)
    assert sorted(outcomes) == [False] * 15 + [True] * 5
    assert CodeCount.objects.get().count == 5


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_phones_at_once_the_limits_let_through_what_they_say(sent, settings):
    settings.SMS_CODES_A_DAY_IN_ALL = 5
    attempts = [
        partial(sign_in_codes.ask_code, phone=f"138{number:04d}0001", address="198.51.100.7")
        for number in range(15)
    ]
    assert kinds(race(attempts)) == {type(None): 5, CodeAskedTooOften: 10}
    assert SignInCode.objects.count() == len(sent) == 5


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_looking_before_counting_lets_too_many_through():
    """The twin: everybody sees the same low number."""
    count = one_count()
    count.add()
    everybody_has_looked = threading.Barrier(6)

    def attempt():
        is_free = count.count < 2
        everybody_has_looked.wait(30)
        if is_free:
            count.add()
        return is_free

    assert race([attempt] * 6) == [True] * 6
    assert count.count == 7
