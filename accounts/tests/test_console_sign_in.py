"""Signing in to the console: by which names, how often, and what strangers can do to an account."""

from datetime import timedelta

import pytest
from django.contrib.auth import authenticate
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.errors import AccountClosed, SignInDelayed, WrongPassword
from accounts.models import ConsoleDevice, LimitPurpose, SignInLimit, User, UserStatus
from accounts.models.sign_in_limits import SignInLimitQuerySet
from accounts.services import console_devices, console_sign_in
from accounts.services.console_sign_in import FREE_TRIES, forget_old_tries
from accounts.tests.factories import CountingHasher
from ops.services.jobs import jobs
from tests.people import make_person
from tests.races import RACERS, kinds, race_numbered, take_lock_away

pytestmark = pytest.mark.django_db

PASSWORD, WRONG = "s3cret-s3cret", "wr0ng-wr0ng"
FREE = FREE_TRIES[LimitPurpose.ACCOUNT]
HERE, THERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture(autouse=True)
def fast_passwords(settings):
    settings.PASSWORD_HASHERS = ["accounts.tests.factories.CountingHasher"]


@pytest.fixture
def owner():
    person = make_person(phone="13900139001", username="wang")
    person.set_password(PASSWORD)
    person.save()
    return person


def sign_in(password=PASSWORD, account="wang", address=HERE, token=""):
    return console_sign_in.check_password(
        account=account, password=password, address=address, device_token=token
    )


def fail(times, **where):
    """Wrong passwords, each of them as soon as it is listened to."""
    for _number in range(times):
        no_delay()
        with pytest.raises(WrongPassword):
            sign_in(WRONG, **where)


def no_delay():
    """As if every delay was over."""
    SignInLimit.objects.update(blocked_until=None)


def delay(password=WRONG, **where):
    """The seconds that a try is told to wait."""
    with pytest.raises(SignInDelayed) as refusal:
        sign_in(password, **where)
    return refusal.value.retry_after


def known_token(person):
    """What the browser keeps in which this person signed in before."""
    _device, token = console_devices.remember(person=person, token="", address="", user_agent="")
    return token


# --- Who ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("account", ["wang", "13900139001", "139 0013 9001"])
def test_a_person_signs_in_by_user_name_or_whole_phone_number(owner, account):
    assert sign_in(account=account) == owner


@pytest.mark.parametrize("account", ["Wang", "9001", "nobody", "13900139002"])
def test_no_other_name_is_theirs(owner, account):
    with pytest.raises(WrongPassword):
        sign_in(account=account)


@pytest.mark.parametrize("status", [UserStatus.INACTIVE, UserStatus.BANNED])
def test_a_closed_account_is_told_so_after_the_right_password_alone(owner, status):
    User.objects.update(status=status)
    with pytest.raises(WrongPassword):
        sign_in(WRONG)
    with pytest.raises(AccountClosed):
        sign_in()


def test_django_asks_the_same(owner, rf):
    request = rf.get("/", REMOTE_ADDR=HERE)
    assert authenticate(request, username="wang", password=PASSWORD) == owner
    assert authenticate(request, username="13900139001", password=WRONG) is None
    fail(FREE)
    assert authenticate(request, username="wang", password=PASSWORD) is None, "within the limits"
    no_delay()
    assert authenticate(None, username="wang", password=PASSWORD) == owner
    User.objects.update(status=UserStatus.BANNED)
    assert authenticate(request, username="wang", password=PASSWORD) is None


def test_an_unknown_name_takes_as_long_as_a_wrong_password(owner):
    make_person(phone="13900139002")  # who has no password
    User.objects.create(username="banned", password=owner.password, status=UserStatus.BANNED)
    work = {}
    for account in ("wang", "nobody", "13900139002", "banned"):
        before = CountingHasher.count
        with pytest.raises(WrongPassword), CaptureQueriesContext(connection) as queries:
            sign_in(WRONG, account=account, token="t" * 43)
        work[account] = (CountingHasher.count - before, len(queries))
    assert set(work.values()) == {work["wang"]}, work
    assert work["wang"][0] == 1


# --- How often ------------------------------------------------------------------------------------
def test_after_the_free_tries_each_wrong_password_makes_the_next_wait_longer(owner):
    fail(FREE)
    waits = [delay()]
    for _number in range(9):
        fail(1)
        waits.append(delay())
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


def test_during_a_delay_the_right_password_is_not_looked_at(owner):
    fail(FREE)
    before = CountingHasher.count
    assert delay(PASSWORD) == 5
    assert CountingHasher.count == before
    assert SignInLimit.objects.get(purpose=LimitPurpose.ACCOUNT).failures == FREE, "nor counted"
    no_delay()
    assert sign_in() == owner


def test_an_account_that_does_not_exist_is_delayed_as_one_that_does(owner):
    fail(FREE)
    fail(FREE, account="nobody", address=THERE)
    SignInLimit.objects.update(blocked_until=timezone.now() + timedelta(seconds=5))
    refusals = []
    for account, address in (("wang", HERE), ("nobody", THERE)):
        with pytest.raises(SignInDelayed) as refusal:
            sign_in(WRONG, account=account, address=address)
        refusals.append(str(refusal.value))
    assert refusals[0] == refusals[1]


def test_the_right_password_clears_the_account(owner):
    fail(FREE - 1)
    sign_in()
    assert SignInLimit.objects.get(purpose=LimitPurpose.ACCOUNT).failures == 0
    fail(FREE - 1)
    assert sign_in() == owner, "and there is no delay"


def test_the_right_password_does_not_clear_the_address(owner):
    fail(3, account="nobody")
    sign_in()
    assert SignInLimit.objects.get(purpose=LimitPurpose.ADDRESS).failures == 3


def test_an_address_is_delayed_for_all_accounts_and_others_are_not(owner):
    for number in range(FREE_TRIES[LimitPurpose.ADDRESS]):
        fail(1, account=f"name {number}", address=THERE)
    assert delay(PASSWORD, address=THERE) == 5
    assert sign_in(address=HERE) == owner


def test_an_address_of_ipv6_is_the_network_of_a_customer(owner):
    for number in range(FREE_TRIES[LimitPurpose.ADDRESS]):
        fail(1, account=f"name {number}", address=f"2001:db8:0:1::{number + 1:x}")
    assert delay(PASSWORD, address="2001:db8:0:1:ffff::1") == 5
    assert sign_in(address="2001:db8:0:2::1") == owner


def test_an_ipv4_address_in_ipv6_is_itself(owner):
    for number in range(FREE_TRIES[LimitPurpose.ADDRESS]):
        fail(1, account=f"name {number}", address=f"::ffff:{THERE}")
    assert delay(PASSWORD, address=THERE) == 5
    assert sign_in(address=f"::ffff:{HERE}") == owner


@pytest.mark.parametrize("is_counted", [True, False])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_setting_says_whether_the_machine_itself_is_counted(
    owner, settings, address, is_counted
):
    settings.LIMIT_LOOPBACK_ADDRESSES = is_counted
    fail(1, address=address)
    counted = SignInLimit.objects.filter(purpose=LimitPurpose.ADDRESS)
    assert counted.exists() is is_counted
    assert SignInLimit.objects.filter(purpose=LimitPurpose.ACCOUNT).exists(), "the account always"


def test_the_counts_fade(owner):
    fail(FREE)
    SignInLimit.objects.update(last_failed_at=timezone.now() - timedelta(days=1, seconds=1))
    fail(FREE - 1)
    assert sign_in() == owner


def test_a_job_deletes_what_faded(owner):
    now = timezone.now()
    fail(1)
    fail(1, account="nobody", address=THERE, token="")
    old, young = now - timedelta(days=2), now - timedelta(hours=2)
    SignInLimit.objects.update(last_failed_at=young)
    first = SignInLimit.objects.filter(purpose=LimitPurpose.ACCOUNT).order_by("pk")[0]
    SignInLimit.objects.filter(pk=first.pk).update(last_failed_at=old)
    assert jobs["old tries to sign in"].run == forget_old_tries
    forget_old_tries(now=now)
    (left,) = SignInLimit.objects.all()
    assert left.purpose == LimitPurpose.ACCOUNT
    assert left.pk != first.pk


def test_no_row_says_who_or_where(owner):
    fail(1)
    rows = SignInLimit.objects.values_list("key_hash", flat=True)
    assert len(rows) == 2
    assert [row for row in rows if len(row) != 64 or "wang" in row or HERE in row] == []


# --- What strangers can do ------------------------------------------------------------------------
def test_a_known_device_goes_on_whatever_strangers_did(owner):
    token = known_token(owner)
    for account in ("wang", "13900139001"):
        fail(100, account=account, address=HERE)  # from the very address of the owner
        assert delay(PASSWORD, account=account) > 0, "from an unknown device"
        assert sign_in(account=account, token=token) == owner


def test_a_cookie_of_another_account_is_no_help(owner):
    stranger = make_person(username="stranger")
    fail(FREE)
    assert delay(PASSWORD, token=known_token(stranger)) == 5


@pytest.mark.parametrize("token", ["", "x", "t" * 43, "t" * 100_000, "\x00"])
def test_a_cookie_that_is_nobodys_is_no_help(owner, token):
    fail(FREE)
    assert delay(PASSWORD, token=token) == 5


@pytest.mark.parametrize("change", ["ended", "unused"])
def test_a_device_that_was_ended_or_long_unused_is_not_known(owner, change):
    token = known_token(owner)
    fail(FREE)
    now = timezone.now()
    if change == "ended":
        console_devices.end(ConsoleDevice.objects.get())
    else:
        ConsoleDevice.objects.update(last_activity_at=now - timedelta(days=181))
    assert delay(PASSWORD, token=token) == 5


def test_a_known_device_has_a_count_of_its_own(owner):
    token = known_token(owner)
    fail(FREE, token=token)
    assert delay(PASSWORD, token=token) == 5
    assert sign_in(address=THERE) == owner, "and holds no other back"
    no_delay()
    sign_in(token=token)
    assert SignInLimit.objects.get(purpose=LimitPurpose.DEVICE).failures == 0


def test_a_device_is_known_by_any_key_of_the_ring(owner, settings):
    token = known_token(owner)
    settings.HASH_KEYS = ("n" * 60, *settings.HASH_KEYS)
    fail(FREE)
    assert sign_in(token=token) == owner


# --- All at once ----------------------------------------------------------------------------------
def guess(number):
    return sign_in(WRONG, address=f"203.0.113.{number}")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_guesses_at_once_only_the_free_ones_are_looked_at(owner):
    CountingHasher.count = 0
    outcomes = kinds(race_numbered(guess))
    assert outcomes == {WrongPassword: FREE, SignInDelayed: RACERS - FREE}
    assert CountingHasher.count == FREE
    assert SignInLimit.objects.get(purpose=LimitPurpose.ACCOUNT).failures == FREE


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_every_guess_would_be_looked_at(owner, monkeypatch):
    fail(1)  # the row is there: nobody waits for who makes it
    racers = 10
    take_lock_away(monkeypatch, SignInLimitQuerySet, racers)
    outcomes = kinds(race_numbered(guess, racers=racers))
    assert outcomes == {WrongPassword: racers}
