"""Signing in to the console by a password and a second factor, and how often somebody may try.

Tries are counted by account, by address and by known device, in the database: every process sees
the same counts, and a start of the server forgets none. After some free tries each wrong one makes
the next wait longer, at most 15 minutes; no account is ever locked. Of second factors from unknown
devices 15 wrong ones are a day's, for all of them together. A known device of an account
is counted by itself alone, so that nothing that strangers do holds its owner back.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.contrib.auth import hashers
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from accounts.errors import (
    AccountClosed,
    SecondFactorDelayed,
    SecondFactorMissing,
    SignInDelayed,
    WrongPassword,
    WrongSecondFactor,
    WrongSecondFactorSent,
)
from accounts.metrics import SIGN_INS_REFUSED
from accounts.models import ConsoleDevice, LimitPurpose, SignInLimit, User
from accounts.models.people import login_name
from accounts.models.sign_in_limits import SignInLimitQuerySet
from accounts.services import console_devices, second_factors
from accounts.services.second_factors import Passed
from ops import security_log
from ops.client_address import counted_as
from ops.services.encryption import keyed_hash
from ops.services.purge import purge

BATCH_SIZE = 1000  # old counts that one round of the job deletes
LONGEST_DELAY = timedelta(minutes=15)
FIRST_DELAY = timedelta(seconds=5)  # it doubles with each wrong password
FREE_TRIES = {
    LimitPurpose.ACCOUNT: 5,
    LimitPurpose.ADDRESS: 30,  # many people may have one
    LimitPurpose.DEVICE: 5,
    LimitPurpose.FACTOR: 5,
}
# So many wrong codes of a person a day, from unknown devices: each of them may be any of the three
# that are good, and so 45 in a million days' guesses are right at most.
MOST_STRANGE_CODES = 15
# After so long without a wrong password a count begins anew.
FORGOTTEN_AFTER = {
    LimitPurpose.ACCOUNT: timedelta(days=1),
    LimitPurpose.ADDRESS: timedelta(hours=1),
    LimitPurpose.DEVICE: timedelta(days=1),
    LimitPurpose.FACTOR: timedelta(days=1),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One of the things that a try is counted by."""

    purpose: LimitPurpose
    key_hash: str
    most: int | None = None  # with so many wrong ones, the next waits till the count begins anew


@sensitive_variables("password")
def check_password(*, account: str, password: str, address: str, device_token: str = "") -> User:
    """The person who signs in with this user name or phone number, and password.

    `device_token` is what their browser keeps. Raises SignInDelayed while there is a delay: the
    password is not looked at. Raises WrongPassword, which an account that does not exist answers
    as well and as slowly, and AccountClosed, which only the right password is told.
    """
    named: User | None = User.objects.by_login_name(account)
    device = console_devices.known_device(person=named, token=device_token)
    keys = _keys(account=account, address=address, device=device)
    person = _try(named, password, keys, renews_hash=True)
    if not person.is_active:
        security_log.note("console_sign_in_refused", person_id=person.pk, reason=person.status)
        SIGN_INS_REFUSED.add(1, "console", "closed")
        raise AccountClosed
    _give_back(keys)
    return person


@sensitive_variables("password")
def confirm_password(*, person: User, password: str) -> None:
    """Make sure that whoever is signed in knows the password as well.

    Raises WrongPassword, and SignInDelayed as `check_password` does. The count is one of its own:
    whoever found an open session can guess no faster, and holds no sign-in back.
    """
    keys = [_key(LimitPurpose.DEVICE, f"signed in as {person.pk}")]
    _try(person, password, keys)
    _give_back(keys)


@sensitive_variables("answer")
def check_second_factor(*, person: User, answer: str, device_token: str = "") -> Passed:
    """Take the code of whoever gave the right password a moment ago; says what was taken.

    `device_token` is what their browser keeps. Tries are counted by known device, all others
    together by the person: who found out a password and keeps guessing codes holds nobody back
    where they signed in before. Raises SecondFactorDelayed while there is a delay, when no code is
    looked at, WrongSecondFactor and NoSecondFactor.
    """
    device = console_devices.known_device(person=person, token=device_token)
    if device:
        return _try_code(person, answer, by=f"device {device.pk}")
    return _try_code(person, answer, by=f"person {person.pk}", most=MOST_STRANGE_CODES)


@sensitive_variables("answer")
def confirm_second_factor(*, person: User, answer: str) -> Passed:
    """Make sure that whoever is signed in has the phone as well; raises as above.

    The count is one of its own, as that of `confirm_password`.
    """
    return _try_code(person, answer, by=f"signed in as {person.pk}")


@sensitive_variables("answer")
def confirm_by_api(*, person: User, answer: str) -> None:
    """Make sure that whoever acts in the app has the phone; nobody is asked who has no factor.

    An access token alone takes one SMS code, and what the console asks a second factor for is
    asked here as well. The tries are counted with those at the console from unknown devices.
    Raises SecondFactorMissing without an answer, WrongSecondFactorSent and SecondFactorDelayed.
    """
    if second_factors.factor_of(person) is None:
        return
    if not answer:
        raise SecondFactorMissing
    try:
        check_second_factor(person=person, answer=answer)
    except WrongSecondFactor as refusal:
        raise WrongSecondFactorSent from refusal


@sensitive_variables("answer")
def _try_code(person: User, answer: str, *, by: str, most: int | None = None) -> Passed:
    keys = [replace(_key(LimitPurpose.FACTOR, by), most=most)]
    if wait := _claim(keys):
        security_log.note("second_factor_delayed", person_id=person.pk, seconds=wait)
        SIGN_INS_REFUSED.add(1, "console", "delayed")
        raise SecondFactorDelayed(retry_after=wait)
    passed = second_factors.use(person=person, answer=answer)
    if passed is None:
        security_log.note("second_factor_failed", person_id=person.pk)
        SIGN_INS_REFUSED.add(1, "console", "wrong")
        raise WrongSecondFactor
    _give_back(keys)
    return passed


@sensitive_variables("password")
def _try(person: User | None, password: str, keys: list[Key], *, renews_hash: bool = False) -> User:
    person_id = person.pk if person else None
    # The try is counted before the password is compared: guesses sent all at once must not each
    # see the same low count.
    if wait := _claim(keys):
        security_log.note("console_sign_in_delayed", person_id=person_id, seconds=wait)
        SIGN_INS_REFUSED.add(1, "console", "delayed")
        raise SignInDelayed(retry_after=wait)
    if person is None or not _is_right(person, password, renews_hash=renews_hash):
        _take_as_long(person, password)
        security_log.note("console_sign_in_failed", person_id=person_id)
        SIGN_INS_REFUSED.add(1, "console", "wrong")
        raise WrongPassword
    return person


@sensitive_variables("password")
def _is_right(person: User, password: str, *, renews_hash: bool) -> bool:
    """Compare; a hash of an older kind is made anew where `renews_hash`.

    That is at a sign-in alone: sessions end with the hash that they began with.
    """

    def renew(password: str) -> None:
        fresh = hashers.make_password(password)
        # Whoever sets another password in this very moment is not undone.
        if User.objects.filter(pk=person.pk, password=person.password).update(password=fresh):
            person.password = fresh

    return hashers.check_password(password, person.password, renew if renews_hash else None)


@sensitive_variables("password")
def _take_as_long(person: User | None, password: str) -> None:
    """Hash by every kind that was not used yet, so that the time tells nothing of an account.

    Whether it is there, whether it has a password, and whether that is hashed as of old: a wrong
    try costs the same.
    """
    used = None
    if person is not None:
        used = newest = hashers.get_hasher()
        with suppress(ValueError):  # none, or of a kind that nobody knows any more
            used = hashers.identify_hasher(person.password)
            if used is not newest:
                used.harden_runtime(password, person.password)
    for hasher in hashers.get_hashers():
        if hasher is not used:
            hasher.encode(password, hasher.salt())


def forget_tries(*, person: User) -> None:
    """Forget the wrong passwords of an account from unknown devices: there is a new password."""
    names = [name for name in (person.username, person.phone) if name]
    if names:
        _limits([_account_key(name) for name in names]).update(failures=0, blocked_until=None)


def forget_old_tries(*, now: datetime) -> int:
    """Delete counts that would begin anew, BATCH_SIZE at most; returns how many."""
    over = Q()
    for purpose, lifetime in FORGOTTEN_AFTER.items():
        over |= Q(purpose=purpose, last_failed_at__lt=now - lifetime)
    return purge(SignInLimit.objects.filter(over).order_by("last_failed_at"), batch_size=BATCH_SIZE)


def _keys(*, account: str, address: str, device: ConsoleDevice | None) -> list[Key]:
    if device:
        return [_key(LimitPurpose.DEVICE, str(device.pk))]
    keys = [_account_key(account)]
    place = counted_as(address)
    if place is not None:
        keys.append(_key(LimitPurpose.ADDRESS, place))
    return keys


def _account_key(account: str) -> Key:
    return _key(LimitPurpose.ACCOUNT, login_name(account))


def _key(purpose: LimitPurpose, value: str) -> Key:
    return Key(purpose, keyed_hash(f"console sign-in {purpose}", value))


@transaction.atomic(durable=True)
def _claim(keys: list[Key]) -> int:
    """Count a try by all of these, or by none: returns the seconds to wait, 0 for a counted try."""
    now = timezone.now()
    # In one order, so that no two tries wait for each other crosswise.
    SignInLimit.objects.bulk_create(
        [SignInLimit(purpose=k.purpose, key_hash=k.key_hash, last_failed_at=now) for k in keys],
        ignore_conflicts=True,
    )
    limits = list(_limits(keys).locked())
    until = max((limit.blocked_until for limit in limits if limit.blocked_until), default=now)
    if until > now:
        return max(1, -int(-(until - now).total_seconds() // 1))
    most = {key.key_hash: key.most for key in keys}
    for limit in limits:
        purpose = LimitPurpose(limit.purpose)
        is_forgotten = now - limit.last_failed_at > FORGOTTEN_AFTER[purpose]
        failures = 1 if is_forgotten else limit.failures + 1
        SignInLimit.objects.filter(pk=limit.pk).update(
            failures=1 if is_forgotten else F("failures") + 1,
            last_failed_at=now,
            blocked_until=now + _delay(failures, purpose, most=most[limit.key_hash]),
        )
    return 0


def _delay(failures: int, purpose: LimitPurpose, *, most: int | None) -> timedelta:
    """How long the next try waits after so many wrong ones."""
    if most is not None and failures >= most:
        return FORGOTTEN_AFTER[purpose] + timedelta(seconds=1)
    free = FREE_TRIES[purpose]
    if failures < free:
        return timedelta()
    doublings = min(failures - free, 20)  # the longest is reached long before
    return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def _give_back(keys: list[Key]) -> None:
    """The password was right: the account starts anew, and the address did not fail this time."""
    for key in keys:
        is_shared = key.purpose == LimitPurpose.ADDRESS
        _limits([key]).filter(failures__gt=0).update(
            failures=F("failures") - 1 if is_shared else 0, blocked_until=None
        )


def _limits(keys: list[Key]) -> SignInLimitQuerySet:
    which = Q()
    for key in keys:
        which |= Q(purpose=key.purpose, key_hash=key.key_hash)
    return SignInLimit.objects.filter(which)
