"""Signing in, staying signed in, signing out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from rest_framework_simplejwt.tokens import RefreshToken

from accounts import events, wechat
from accounts.errors import (
    AccountClosed,
    AlreadyMerged,
    CodeVoid,
    InvalidPhone,
    RefreshTokenReused,
    WeChatAway,
    WeChatRefused,
    WrongCode,
)
from accounts.metrics import REFRESHES, SIGN_INS, SIGN_INS_REFUSED, SIGN_OUTS
from accounts.models import DeviceSession, User, UserStatus
from accounts.services import (
    code_counts,
    console_devices,
    identities,
    live_sessions,
    sign_in_codes,
    tokens,
)
from accounts.services.points import lock_person
from accounts.services.staff import follow_access
from accounts.services.tokens import TokenPair
from ops import security_log
from ops.errors import NotSignedIn, TooManyRequests
from ops.registry import Registry
from ops.services import audit, key_ring
from ops.services.purge import purge
from ops.transactions import in_transaction

# From the end of a sign-in. Longer than a refresh token lives: none that could still be read
# belongs to a session that is gone, so a stolen one is found out as long as it is worth anything.
ENDED_KEPT_FOR = timedelta(days=90)
BATCH_SIZE = 1000  # ended sign-ins that one round of the job deletes

STATUS_EVENTS: dict[UserStatus, security_log.Event] = {
    UserStatus.ACTIVE: "account_activated",
    UserStatus.INACTIVE: "account_deactivated",
    UserStatus.BANNED: "account_banned",
}
type Closing = Callable[[int], list[str]]

# What apps above this one note when an account was closed, by the id of its person; each returns
# sentences for whoever closed it.
closings: Registry[Closing] = Registry()

WECHAT_REFUSALS = {
    WeChatRefused: "wrong",
    InvalidPhone: "wrong",
    WeChatAway: "away",
    TooManyRequests: "delayed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a sign-in comes from, as far as it tells."""

    address: str = ""
    user_agent: str = ""
    info: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A successful sign-in."""

    person: User
    session: DeviceSession
    pair: TokenPair
    is_new_user: bool


def sign_in_by_code(*, phone: str, code: str, device: Device) -> SignIn:
    """Sign a person in by the code sent to their phone; the first time makes the account.

    Raises InvalidPhone, WrongCode, CodeVoid, TooManyRequests, and AccountClosed, which is told
    only after a correct code.
    """
    try:
        sign_in_codes.use_code(phone=phone, code=code, address=device.address)
    except (WrongCode, CodeVoid, TooManyRequests) as refusal:
        is_delay = isinstance(refusal, TooManyRequests)
        security_log.note(
            "sign_in_delayed" if is_delay else "sign_in_failed",
            person_id=User.objects.filter(phone=phone).values_list("pk", flat=True).first(),
            refusal=refusal.code,
        )
        SIGN_INS_REFUSED.add(1, "code", "delayed" if is_delay else "wrong")
        raise
    with transaction.atomic():
        person, is_new_user = identities.person_by_phone(phone)
        return _start_session(person, "code", device=device, is_new_user=is_new_user)


def sign_in_by_wechat(*, code: str, phone_code: str | None, device: Device) -> SignIn:
    """Sign a person in by what their mini-program was given; the first time makes the account.

    `phone_code` proves a phone besides: the two belong to one account from then on, unless each
    has one of its own (`identities.person_at_wechat`). Raises WeChatRefused, WeChatAway,
    InvalidPhone for one of no region that is served, TooManyRequests, and AccountClosed.
    """
    try:
        code_counts.check_wrong_codes(device.address)
        identity = wechat.identify(code)
        phone = None
        if phone_code is not None:
            phone = wechat.phone_of(phone_code, openid=identity.openid)
            sign_in_codes.check_phone(phone)
    except (WeChatRefused, WeChatAway, InvalidPhone, TooManyRequests) as refusal:
        if isinstance(refusal, WeChatRefused):
            code_counts.count_wrong_code(device.address)
        is_delay = isinstance(refusal, TooManyRequests)
        security_log.note("sign_in_delayed" if is_delay else "sign_in_failed", refusal=refusal.code)
        SIGN_INS_REFUSED.add(1, "wechat", WECHAT_REFUSALS[type(refusal)])
        raise
    with transaction.atomic():
        person, is_new_user = identities.person_at_wechat(
            openid=identity.openid, unionid=identity.unionid, phone=phone
        )
        return _start_session(person, "wechat", device=device, is_new_user=is_new_user)


def _start_session(person: User, way: str, *, device: Device, is_new_user: bool) -> SignIn:
    if person.status != UserStatus.ACTIVE:
        security_log.note("sign_in_refused", person_id=person.pk, reason=person.status)
        SIGN_INS_REFUSED.add(1, way, "closed")
        raise AccountClosed
    now = timezone.now()
    session = DeviceSession.objects.create(
        key_id=key_ring.newest("token").id,
        user=person,
        rotated_at=now,
        expires_at=now + _refresh_lifetime(),
        device_info=device.info,
        ip_address=device.address or None,
        user_agent=device.user_agent[:255],
    )
    User.objects.filter(pk=person.pk).update(last_login=now, login_count=F("login_count") + 1)
    person.refresh_from_db()
    security_log.note_change("sign_in", person_id=person.pk, session_id=session.pk)
    SIGN_INS.add_on_commit(1, way)
    return SignIn(
        person=person, session=session, pair=tokens.sign_pair(session), is_new_user=is_new_user
    )


def _refresh_lifetime() -> timedelta:
    lifetime: timedelta = RefreshToken.lifetime
    return lifetime


def live_session(token: str) -> DeviceSession:
    """The session, with its person, that an access token belongs to: one narrow query.

    Raises NotSignedIn for a bad token or a revoked session, AccountClosed for a closed account.
    """
    return _session_of(tokens.read_access(token))


def _session_of(claims: tokens.Claims) -> DeviceSession:
    found = live_sessions.find(session_id=claims.session_id, person_id=claims.person_id)
    if found is None or not (claims.names_issuer or found.takes_unnamed):
        raise NotSignedIn
    if found.is_merged:
        raise NotSignedIn  # signing in again leads to the account that goes on
    if found.session.user.status != UserStatus.ACTIVE:
        raise AccountClosed
    if found.is_revoked:
        raise NotSignedIn
    if found.is_long_since_active:
        live_sessions.note_activity(found.session.pk)
    return found.session


def refresh(token: str) -> TokenPair:
    """Exchange a refresh token for a new pair; the old one is dead.

    Until 10 seconds after the exchange, or until the new refresh token is first used, whichever
    comes first, the old one answers the same pair again: its answer may have been lost on the
    way. Used later it was stolen from somebody: the whole session ends (RefreshTokenReused).
    """
    claims = tokens.read_refresh(token)
    session = _session_of(claims)
    now = timezone.now()
    rotated = DeviceSession.objects.filter(
        pk=session.pk, generation=claims.generation, revoked_at__isnull=True
    ).update(
        generation=F("generation") + 1,
        key_id=key_ring.newest("token").id,
        rotated_at=now,
        last_activity_at=now,
        expires_at=now + _refresh_lifetime(),
    )
    # One conditional UPDATE decides between twins; whoever lost it reads the winner's pair.
    session = DeviceSession.objects.get(pk=session.pk)
    if session.revoked_at is not None:
        raise NotSignedIn
    was_lost_on_the_way = (
        claims.generation == session.generation - 1
        and now - session.rotated_at < settings.REFRESH_GRACE
    )
    if not rotated and not was_lost_on_the_way:
        _end(session)
        security_log.note("refresh_reused", person_id=session.user_id, session_id=session.pk)
        REFRESHES.add(1, "reused")
        raise RefreshTokenReused
    REFRESHES.add_on_commit(1, "exchanged")
    return tokens.sign_pair(session)


@in_transaction
def revoke(session: DeviceSession, *, author_id: int | None = None, reason: str = "") -> None:
    """End a sign-in of somebody else, as staff do; it is audited, unless it was over already."""
    if (now := _end(session)) is None:
        return
    security_log.note_change("device_ended", person_id=session.user_id, session_id=session.pk)
    audit.record(
        action="devicesession.revoke",
        row=session,
        before={"revoked_at": None},
        after={"revoked_at": now},
        reason=reason,
        actor_id=author_id,
    )


@in_transaction
def _end(session: DeviceSession) -> datetime | None:
    """End one sign-in on every process: its tokens are refused and its sockets close.

    Returns when it was ended; None when it was over already.
    """
    now = timezone.now()
    live = DeviceSession.objects.filter(pk=session.pk, revoked_at__isnull=True)
    is_ended = live.update(revoked_at=now)
    events.session_revoked(session.pk)
    return now if is_ended else None


@in_transaction
def sign_out(session: DeviceSession, *, everywhere: bool = False) -> None:
    """End this sign-in, or all of the person's; after a failure none of them, to be asked again."""
    live = DeviceSession.objects.filter(user_id=session.user_id, revoked_at__isnull=True)
    for ending in live.order_by("pk") if everywhere else [session]:
        if _end(ending):
            security_log.note_change("sign_out", person_id=ending.user_id, session_id=ending.pk)
            SIGN_OUTS.add_on_commit()


@in_transaction
def change_status(
    *, person: User, status: UserStatus, author_id: int | None = None, reason: str = ""
) -> list[str]:
    """Activate, deactivate or ban a person; anything but active ends all their sign-ins at once.

    Those in the console as well: they stay ended when the person is active again. Audited where it
    changes the status. Returns what whoever closes an account has to know of what it leaves behind.
    Raises User.DoesNotExist, and AlreadyMerged for an account that is a part of another one.
    """
    told: list[str] = []
    held = lock_person(person.pk)
    if held.is_merged:
        raise AlreadyMerged(name=str(held))
    before = held.status
    User.objects.filter(pk=person.pk).update(status=status)
    if status != UserStatus.ACTIVE:
        DeviceSession.objects.filter(user=person, revoked_at__isnull=True).update(
            revoked_at=timezone.now()
        )
        console_devices.end_all(person)
        events.person_closed(person.pk)
    follow_access(person.pk)
    if before != status:
        security_log.note_change(STATUS_EVENTS[status], person_id=person.pk)
        if status != UserStatus.ACTIVE:
            told = [text for look in closings.values() for text in look(person.pk)]
        audit.record(
            action="user.change_status",
            row=person,
            before={"status": before},
            after={"status": status},
            reason=reason,
            actor_id=author_id,
        )
    return told


def forget_ended(*, now: datetime) -> int:
    """Delete sign-ins revoked or expired 90 days ago, BATCH_SIZE at most; returns how many."""
    long_ago = now - ENDED_KEPT_FOR
    ended = DeviceSession.objects.filter(Q(revoked_at__lte=long_ago) | Q(expires_at__lte=long_ago))
    return purge(ended, batch_size=BATCH_SIZE)
