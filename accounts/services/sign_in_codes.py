"""Sign-in codes by SMS: asking for one, and checking what a person typed."""

import hmac
import logging
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Max
from django.utils import timezone

from accounts import sms
from accounts.errors import CodeAskedTooOften, CodeVoid, InvalidPhone, WrongCode
from accounts.limits import WRONG_TRIES
from accounts.live_settings import (
    CODES_A_DAY,
    CODES_A_DAY_IN_ALL,
    CODES_AN_HOUR_PER_ADDRESS,
    CODES_AN_HOUR_PER_PREFIX,
    PUMPING_CODES,
    PUMPING_MINUTES,
    PUMPING_PERCENT,
)
from accounts.metrics import (
    CODES,
    CODES_REFUSED,
    CODES_USED,
    SMS_BUDGET_USED_UP,
    SMS_PUMPING,
)
from accounts.models import CodePurpose, CountPurpose, SignInCode, User
from accounts.services import code_counts
from accounts.services.code_counts import Counted, rest_of_hour, start_of_hour
from ops.client_address import counted_as, is_loopback
from ops.days import seconds_left, start_of_day
from ops.errors import Unavailable
from ops.services import events
from ops.services.encryption import keyed_hash, keyed_hashes
from ops.services.key_uses import Alive
from ops.services.purge import purge

logger = logging.getLogger(__name__)

DIGITS = 6
SUBSCRIBER_DIGITS = 4  # the last ones of a phone number: neighbours differ in nothing else
# So many codes a day may be lost on the way to a phone, and cost neither its minute nor its day.
# A provider that delivers and says nothing sends a phone no more than these on top.
FREE_UNSURE = 3
TIME_TO_TYPE = timedelta(minutes=1)  # a younger code may yet be used: it is not counted as unused
KEPT_FOR = timedelta(days=30)  # from when a code was made; limits and checks look back one day
BATCH_SIZE = 1000  # old codes that one round of the job deletes


def check_phone(phone: str) -> None:
    """Raise InvalidPhone unless it is a number of the regions this deployment serves."""
    if not re.search(settings.PHONE_PATTERN, phone):
        raise InvalidPhone


def ask_code(*, phone: str, address: str, purpose: CodePurpose = CodePurpose.APP) -> None:
    """Send a new code to the phone; it replaces the one before of this purpose.

    A phone's limits are the same for all purposes together: more guesses there are not. The answer
    never tells whether the phone has an account. Raises InvalidPhone, and
    CodeAskedTooOften: per phone (60 seconds, so many a day), per address and per neighbourhood of
    numbers (an hour), and beyond the platform's budget of the day. Where few codes are used (SMS
    pumping) nothing is sent to a phone that never signed in, and it is answered like the others:
    else the answer would tell which phones have an account. When no provider takes it within
    3 seconds the code is taken back, so that the one before stays good, and the phone may ask
    again at once: Unavailable, after commit. Where it may have arrived all the same, the phone may
    ask at once for the first FREE_UNSURE times of a day; from then on it counts as sent, for the
    day and for the 60 seconds that Unavailable then tells to wait.
    """
    check_phone(phone)
    try:
        _ask(phone, address, purpose, now=timezone.now())
    except CodeAskedTooOften as refusal:
        _tell_of_refusal(refusal.facts["limit"])
        raise


def _ask(phone: str, address: str, purpose: CodePurpose, *, now: datetime) -> None:
    codes = SignInCode.objects.filter(phone=phone)
    # Counted first: whoever asks at the same time is seen below, or wants the same number. A code
    # of yesterday that could be guessed at today is one of today's: so tries are bounded per day.
    since = start_of_day(now) - settings.SMS_CODE_LIFETIME
    sent_today = codes.filter(created_at__gt=since).count()
    newest = codes.order_by("-created_at").first()
    is_known = User.objects.filter(phone=phone, last_login__isnull=False).exists()
    unsure = _unsure(phone, now).row()
    unsure_today, sent = 0, [newest.created_at] if newest else []
    if unsure and unsure.count > FREE_UNSURE:
        unsure_today = unsure.count - FREE_UNSURE
        sent.append(unsure.updated_at)
    if sent and (wait := max(sent) + settings.SMS_RESEND_AFTER - now) > timedelta():
        raise CodeAskedTooOften(retry_after=_seconds(wait), limit="minute")
    if sent_today + unsure_today >= CODES_A_DAY.value:
        raise CodeAskedTooOften(retry_after=seconds_left(now), limit="day")
    place = counted_as(address)
    is_held_back = place is not None and not is_known and _is_pumped(now)
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
    try:
        with transaction.atomic():
            claimed = _claim(phone, place, now, is_sent=not is_held_back)
            row = SignInCode.objects.create(
                phone=phone,
                purpose=purpose,
                day=timezone.localdate(now),
                number=sent_today + 1,
                is_known=is_known,
                is_held_back=is_held_back,
                code_hash=keyed_hash("sign-in code", f"{phone}:{code}"),
                ip_address=address or None,
                created_at=now,
                expires_at=now + settings.SMS_CODE_LIFETIME,
            )
            if is_held_back:
                _tell_of_refusal("pumping")
            else:
                transaction.on_commit(partial(_send, row, code, claimed))
    except IntegrityError as error:
        wait = settings.SMS_RESEND_AFTER
        raise CodeAskedTooOften(retry_after=_seconds(wait), limit="minute") from error


def _claim(phone: str, place: str | None, now: datetime, *, is_sent: bool) -> list[Counted]:
    """Count a code by all that share a limit, in one order; raises what takes all of it back.

    Nothing is counted for who is not counted by address: the machine itself in development. A code
    that is not sent costs the day's budget nothing, and is refused where that is used up.
    """
    if place is None:
        return []
    hour, midnight = start_of_hour(now), start_of_day(now)
    limits = (
        (Counted(CountPurpose.ADDRESS, place, hour), CODES_AN_HOUR_PER_ADDRESS, "address"),
        (
            Counted(CountPurpose.PREFIX, phone[:-SUBSCRIBER_DIGITS], hour),
            CODES_AN_HOUR_PER_PREFIX,
            "prefix",
        ),
        (Counted(CountPurpose.PLATFORM, "", midnight), CODES_A_DAY_IN_ALL, "budget"),
    )
    for counted, limit, name in limits:
        is_free = not is_sent and name == "budget"
        if not (counted.count < limit.value if is_free else counted.claim(limit=limit.value)):
            wait = seconds_left(now) if name == "budget" else rest_of_hour(now)
            raise CodeAskedTooOften(retry_after=wait, limit=name)
    return [counted for counted, _limit, _name in limits]


def _is_pumped(now: datetime) -> bool:
    """Whether few of the newest codes for strangers were used.

    It ends by itself: the oldest of those codes soon counts no more. One that was held back was
    never there to be used.
    """
    number, span = PUMPING_CODES.value, timedelta(minutes=PUMPING_MINUTES.value)
    codes = SignInCode.objects.filter(
        is_known=False,
        is_held_back=False,
        created_at__gt=now - span,
        created_at__lte=now - TIME_TO_TYPE,
    ).order_by("-created_at")
    newest = list(codes.values_list("used_at", flat=True)[:number])
    used = sum(used_at is not None for used_at in newest)
    is_full = bool(number) and len(newest) == number
    return is_full and used * 100 < PUMPING_PERCENT.value * number


def _tell_of_refusal(limit: str) -> None:
    """Count what a limit refused, or held back; where it concerns everybody, one event tells."""
    CODES_REFUSED.add(1, limit)
    now = timezone.now()
    if limit == "pumping":
        told = Counted(CountPurpose.TOLD, limit, start_of_hour(now))
        if told.claim(limit=1):
            events.record(
                SMS_PUMPING, codes=PUMPING_CODES.value, below_percent=PUMPING_PERCENT.value
            )
    elif limit == "budget":
        told = Counted(CountPurpose.TOLD, limit, start_of_day(now))
        if told.claim(limit=1):
            events.record(SMS_BUDGET_USED_UP, codes=CODES_A_DAY_IN_ALL.value)


def _send(row: SignInCode, code: str, claimed: Sequence[Counted]) -> None:
    """Hand a code to the providers; one that none of them took was never asked for."""
    try:
        sms.send_code(phone=row.phone, code=code)
    except sms.NotSent as error:
        logger.exception("A sign-in code could not be sent")
        CODES.add(1, "failed")
        refusal = Unavailable()
        if error.may_have_arrived:
            # Else a provider that delivers and then fails would send a phone any number of them.
            unsure = _unsure(row.phone, row.created_at)
            unsure.add()
            if unsure.count > FREE_UNSURE:
                refusal = Unavailable(retry_after=_seconds(settings.SMS_RESEND_AFTER))
        else:
            for counted in claimed:
                counted.give_back()
        row.delete()
        raise refusal from error
    CODES.add(1, "sent")


def _unsure(phone: str, now: datetime) -> Counted:
    """Codes of the day of which nobody knows whether they reached the phone."""
    return Counted(CountPurpose.UNSURE, phone, start_of_day(now))


def use_code(
    *, phone: str, code: str, address: str, purpose: CodePurpose = CodePurpose.APP
) -> None:
    """Use up the phone's newest code of a purpose.

    It works once, for 300 seconds, and for five wrong tries. A code of another purpose is a wrong
    one.

    Raises WrongCode, or CodeVoid after five wrong ones until a new code is asked for. While a
    fixed code is configured (development alone) that one is right as well, sent or not, from this
    machine itself. An address with too many wrong codes in this hour is not listened to
    (TooManyRequests).
    """
    check_phone(phone)
    now = timezone.now()
    code_counts.check_wrong_codes(address)
    sent = SignInCode.objects.filter(phone=phone, purpose=purpose)
    newest = sent.order_by("-created_at").first()
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
    code_counts.count_wrong_code(address)
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


def _seconds(wait: timedelta) -> int:
    return max(1, -int(-wait.total_seconds() // 1))
