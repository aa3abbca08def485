"""Sign-in codes by SMS: asking for one, and checking what a person typed."""

import hmac
import re
import secrets
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.errors import CodeAskedTooOften, CodeVoid, InvalidPhone, WrongCode
from accounts.models import SignInCode
from accounts.sms import sender
from config.errors import TooManyRequests
from ops.services.encryption import keyed_hash

WRONG_TRIES = 5
HOUR = 3600  # seconds
LOOPBACK = re.compile(r"\A(127\.|::1\Z)")


def check_phone(phone: str) -> None:
    """Raise InvalidPhone unless it is a number of the regions this deployment serves."""
    if not re.search(settings.PHONE_PATTERN, phone):
        raise InvalidPhone


def ask_code(*, phone: str, address: str) -> None:
    """Send a new code to the phone; it replaces the one before.

    The answer never tells whether the phone has an account. Raises InvalidPhone, and
    CodeAskedTooOften per phone (60 seconds, so many a day) and per address (an hour).
    """
    check_phone(phone)
    now = timezone.now()
    today = timezone.localdate(now)
    codes = SignInCode.objects.filter(phone=phone)
    newest = codes.order_by("-created_at").first()
    if newest and (wait := newest.created_at + settings.SMS_RESEND_AFTER - now) > timedelta():
        raise CodeAskedTooOften(retry_after=_seconds(wait))
    sent_today = codes.filter(day=today).count()
    if sent_today >= settings.SMS_CODES_A_DAY:
        midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
        raise CodeAskedTooOften(retry_after=_seconds(midnight + timedelta(days=1) - now))
    if _exceeds("codes", address, settings.SMS_CODES_AN_HOUR_PER_ADDRESS):
        raise CodeAskedTooOften(retry_after=HOUR)
    code = f"{secrets.randbelow(10**6):06d}"
    try:
        with transaction.atomic():
            SignInCode.objects.create(
                phone=phone,
                day=today,
                number=sent_today + 1,
                code_hash=keyed_hash("sign-in code", f"{phone}:{code}"),
                ip_address=address or None,
                created_at=now,
                expires_at=now + settings.SMS_CODE_LIFETIME,
            )
            transaction.on_commit(partial(sender().send_code, phone=phone, code=code))
    except IntegrityError as error:
        raise CodeAskedTooOften(retry_after=_seconds(settings.SMS_RESEND_AFTER)) from error


def use_code(*, phone: str, code: str, address: str) -> None:
    """Use up the phone's newest code. It works once, for 300 seconds, and for five wrong tries.

    Raises WrongCode, or CodeVoid after five wrong ones until a new code is asked for. While a
    fixed code is configured (development alone) that one is right as well, sent or not.
    """
    check_phone(phone)
    now = timezone.now()
    newest = SignInCode.objects.filter(phone=phone).order_by("-created_at").first()
    if newest and newest.used_at is None:
        # The try is counted before the code is compared: guesses sent all at once must not
        # each see the same low count.
        counted = SignInCode.objects.filter(
            pk=newest.pk, used_at__isnull=True, wrong_tries__lt=WRONG_TRIES
        ).update(wrong_tries=F("wrong_tries") + 1)
        if not counted:
            wait = newest.created_at + settings.SMS_RESEND_AFTER - now
            raise CodeVoid(retry_after=_seconds(wait))
        if (
            newest.expires_at > now
            and hmac.compare_digest(
                newest.code_hash, keyed_hash("sign-in code", f"{phone}:{code}")
            )
        ) or _is_fixed_code(code):
            if SignInCode.objects.filter(pk=newest.pk, used_at__isnull=True).update(used_at=now):
                return
    elif _is_fixed_code(code):
        return
    if _exceeds("wrong codes", address, settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS):
        raise TooManyRequests(retry_after=HOUR)
    raise WrongCode


def _is_fixed_code(code: str) -> bool:
    return bool(settings.SMS_FIXED_CODE) and hmac.compare_digest(
        code.encode(), settings.SMS_FIXED_CODE.encode()
    )


def _exceeds(what: str, address: str, limit: int) -> bool:
    """Count one more for this address in this hour, and tell whether it is one too many."""
    if not settings.LIMIT_LOOPBACK_ADDRESSES and LOOPBACK.match(address):
        return False
    hour = int(timezone.now().timestamp()) // HOUR
    key = f"sign-in:{what.replace(' ', '-')}:{address}:{hour}"
    cache.add(key, 0, timeout=HOUR)
    return cache.incr(key) > limit


def _seconds(wait: timedelta) -> int:
    return max(1, -int(-wait.total_seconds() // 1))
