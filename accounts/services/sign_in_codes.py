"""Sign-in codes by SMS: asking for one, and checking what a person typed."""

import hmac
import logging
import re
import secrets
from datetime import date, datetime, timedelta
from functools import partial
from typing import Literal

from django.conf import settings
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Max
from django.utils import timezone

from accounts.errors import CodeAskedTooOften, CodeVoid, InvalidPhone, WrongCode
from accounts.limits import WRONG_TRIES
from accounts.live_settings import (
    CODES_A_DAY,
    CODES_AN_HOUR_PER_ADDRESS,
    WRONG_CODES_AN_HOUR_PER_ADDRESS,
)
from accounts.metrics import CODES, CODES_USED
from accounts.models import SignInCode
from accounts.sms import NotTaken, sender
from ops.client_address import counted_as, is_loopback
from ops.days import seconds_left
from ops.errors import TooManyRequests, Unavailable
from ops.services.encryption import keyed_hash, keyed_hashes
from ops.services.key_uses import Alive
from ops.services.purge import purge

logger = logging.getLogger(__name__)

HOUR = 3600  # seconds
DAY = 24 * HOUR
KEPT_FOR = timedelta(days=30)  # from when a code was made; limits and checks look back one day
BATCH_SIZE = 1000  # old codes that one round of the job deletes


def check_phone(phone: str) -> None:
    """Raise InvalidPhone unless it is a number of the regions this deployment serves."""
    if not re.search(settings.PHONE_PATTERN, phone):
        raise InvalidPhone


def ask_code(*, phone: str, address: str) -> None:
    """Send a new code to the phone; it replaces the one before.

    The answer never tells whether the phone has an account. Raises InvalidPhone, and
    CodeAskedTooOften per phone (60 seconds, so many a day) and per address (an hour). When the
    provider fails the code is taken back, so that the one before stays good, and the phone may ask
    again at once: Unavailable, after commit. Where it may have arrived all the same it counts as
    sent: for the day, and for the 60 seconds that Unavailable then tells to wait.
    """
    check_phone(phone)
    now = timezone.now()
    today = timezone.localdate(now)
    codes = SignInCode.objects.filter(phone=phone)
    # Counted first: whoever asks at the same time is seen below, or wants the same number.
    sent_today = codes.filter(day=today).count()
    newest = codes.order_by("-created_at").first()
    # Where there is an unsure one it came after every row: the row would have held it back.
    sent_at = cache.get(_unsure_key(phone, "newest")) or (newest and newest.created_at)
    if sent_at and (wait := sent_at + settings.SMS_RESEND_AFTER - now) > timedelta():
        raise CodeAskedTooOften(retry_after=_seconds(wait))
    if sent_today + cache.get(_unsure_key(phone, today), 0) >= CODES_A_DAY.value:
        raise CodeAskedTooOften(retry_after=seconds_left(now))
    if _count("codes", address) > CODES_AN_HOUR_PER_ADDRESS.value:
        raise CodeAskedTooOften(retry_after=_rest_of_hour(now))
    code = f"{secrets.randbelow(10**6):06d}"
    try:
        with transaction.atomic():
            row = SignInCode.objects.create(
                phone=phone,
                day=today,
                number=sent_today + 1,
                code_hash=keyed_hash("sign-in code", f"{phone}:{code}"),
                ip_address=address or None,
                created_at=now,
                expires_at=now + settings.SMS_CODE_LIFETIME,
            )
            transaction.on_commit(partial(_send, row, code))
    except IntegrityError as error:
        raise CodeAskedTooOften(retry_after=_seconds(settings.SMS_RESEND_AFTER)) from error


def _send(row: SignInCode, code: str) -> None:
    """Hand a code to the provider; one that it did not take was never asked for."""
    try:
        sender().send_code(phone=row.phone, code=code)
    except Exception as error:
        logger.exception("A sign-in code could not be sent")
        CODES.add(1, "failed")
        refusal = Unavailable()
        if not isinstance(error, NotTaken):
            # Else a provider that delivers and then fails would send a phone any number of them.
            _increase(_unsure_key(row.phone, row.day), timeout=DAY)
            wait = _seconds(row.created_at + settings.SMS_RESEND_AFTER - timezone.now())
            cache.set(_unsure_key(row.phone, "newest"), row.created_at, timeout=wait)
            refusal = Unavailable(retry_after=wait)
        row.delete()
        raise refusal from error
    CODES.add(1, "sent")


def _unsure_key(phone: str, of: date | Literal["newest"]) -> str:
    """Where codes are kept of which nobody knows whether they reached the phone.

    Of a day how many, and of the newest when it was sent.
    """
    return f"sign-in:unsure-codes:{keyed_hash('unsure code', phone)}:{of}"


def use_code(*, phone: str, code: str, address: str) -> None:
    """Use up the phone's newest code. It works once, for 300 seconds, and for five wrong tries.

    Raises WrongCode, or CodeVoid after five wrong ones until a new code is asked for. While a
    fixed code is configured (development alone) that one is right as well, sent or not, from this
    machine itself. An address with too many wrong codes in this hour is not listened to
    (TooManyRequests).
    """
    check_phone(phone)
    now = timezone.now()
    wrong_so_far = _count_of("wrong codes", address)
    if wrong_so_far >= WRONG_CODES_AN_HOUR_PER_ADDRESS.value:
        raise TooManyRequests(retry_after=_rest_of_hour(now))
    newest = SignInCode.objects.filter(phone=phone).order_by("-created_at").first()
    if newest and newest.used_at is None:
        # The try is counted before the code is compared: guesses sent all at once must not
        # each see the same low count.
        counted = SignInCode.objects.filter(pk=newest.pk, wrong_tries__lt=WRONG_TRIES).update(
            wrong_tries=F("wrong_tries") + 1
        )
        if not counted:
            wait = newest.created_at + settings.SMS_RESEND_AFTER - now
            raise CodeVoid(retry_after=_seconds(wait))
        unused = SignInCode.objects.filter(pk=newest.pk, used_at__isnull=True)
        is_right = _is_right(newest, code, now) or _is_fixed_code(code, address)
        if is_right and unused.update(used_at=now):
            CODES_USED.add_on_commit()
            return
    elif _is_fixed_code(code, address):
        CODES_USED.add()
        return
    _count("wrong codes", address)
    raise WrongCode


def _is_right(sent: SignInCode, code: str, now: datetime) -> bool:
    # Under any key: the newest one may have come while the code was on its way.
    typed = keyed_hashes("sign-in code", f"{sent.phone}:{code}")
    is_equal = any(hmac.compare_digest(sent.code_hash, each) for each in typed)
    return sent.expires_at > now and is_equal


def alive(_key_id: str) -> Alive:
    """The unused codes that are still good. They do not say under which key they were made."""
    codes = SignInCode.objects.filter(used_at__isnull=True, expires_at__gt=timezone.now())
    return Alive(**codes.aggregate(count=Count("pk"), until=Max("expires_at")))


def forget_old(*, now: datetime) -> int:
    """Delete codes made 30 days ago and earlier, BATCH_SIZE at most; returns how many."""
    old = SignInCode.objects.filter(created_at__lte=now - KEPT_FOR)
    return purge(old.order_by("created_at"), batch_size=BATCH_SIZE)


def _is_fixed_code(code: str, address: str) -> bool:
    if not settings.SMS_FIXED_CODE or not is_loopback(address):
        return False
    return hmac.compare_digest(code.encode(), settings.SMS_FIXED_CODE.encode())


def _key(what: str, place: str) -> str:
    hour = int(timezone.now().timestamp()) // HOUR
    return f"sign-in:{what.replace(' ', '-')}:{place}:{hour}"


def _count_of(what: str, address: str) -> int:
    """How many of these the place of this address had in this hour."""
    place = counted_as(address)
    return 0 if place is None else cache.get(_key(what, place), 0)


def _count(what: str, address: str) -> int:
    """Count one more for the place of this address, and tell how many it had in this hour."""
    place = counted_as(address)
    return 0 if place is None else _increase(_key(what, place), timeout=HOUR)


def _increase(key: str, *, timeout: int) -> int:
    cache.add(key, 0, timeout=timeout)
    return cache.incr(key)


def _rest_of_hour(now: datetime) -> int:
    return HOUR - int(now.timestamp()) % HOUR


def _seconds(wait: timedelta) -> int:
    return max(1, -int(-wait.total_seconds() // 1))
