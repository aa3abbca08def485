"""Whose account a phone or a WeChat identity is: found, made, or joined by proof of both.

Nobody gets into the account of somebody else by either: an identity is added to an account that
has none of its kind, and never replaced or taken from another.
"""

import secrets
from contextlib import suppress

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.errors import AccountClosed
from accounts.live_settings import REGISTER_BONUS
from accounts.metrics import NEW_PEOPLE, WECHAT_JOINED
from accounts.models import User, UserStatus
from accounts.services.sign_in_codes import check_phone
from accounts.services.welcome import welcome
from ops import security_log
from ops.services import audit
from ops.transactions import in_transaction

TRIES = 3  # each is lost to somebody who committed the same phone or openid in this very moment


@in_transaction
def person_by_phone(phone: str) -> tuple[User, bool]:
    """The account of whoever proved this phone, and whether it is new."""
    person, is_new = User.objects.get_or_create(
        phone=phone, defaults={"nickname": _guest(phone[-4:])}
    )
    if is_new:
        welcome(person=person, points=REGISTER_BONUS.value, phone=phone)
        NEW_PEOPLE.add_on_commit()
    return person, is_new


@in_transaction
def account_for(phone: str, *, author_id: int | None = None) -> User:
    """The account of a phone that nobody has proved yet, such as the first owner's.

    It is made where there is none, without points, and audited. Raises InvalidPhone, and
    AccountClosed.
    """
    check_phone(phone)
    person: User
    person, is_new = User.objects.get_or_create(
        phone=phone, defaults={"nickname": _guest(phone[-4:])}
    )
    if person.status != UserStatus.ACTIVE:
        raise AccountClosed
    if is_new:
        audit.record(action="user.add", row=person, after={"phone": phone}, actor_id=author_id)
    return person


@in_transaction
def person_at_wechat(*, openid: str, unionid: str | None, phone: str | None) -> tuple[User, bool]:
    """The account of whoever proved a WeChat identity, and perhaps a phone; and whether it is new.

    - The identity has an account: that one. The phone is added where the account has none and
      nobody else has this phone.
    - It has none, and the account of the phone has no WeChat: the identity is added to that one.
    - Else a new account, with the phone unless somebody else has it: whoever proves the phone of an
      account that belongs to another WeChat does not get into it. Staff merge such accounts.

    Raises AccountClosed where the proven phone is that of a closed account without WeChat.
    """
    for _lost in range(TRIES - 1):
        with suppress(IntegrityError), transaction.atomic():
            return _person_at_wechat(openid, unionid, phone)
    return _person_at_wechat(openid, unionid, phone)


def _person_at_wechat(openid: str, unionid: str | None, phone: str | None) -> tuple[User, bool]:
    person = _known_at_wechat(openid, unionid)
    if person is None:
        owner = User.objects.filter(phone=phone).first() if phone else None
        if owner is None:
            # Who signs in by this phone in this very moment makes it fail, and it is tried again.
            return _create(openid, unionid, phone), True
        if owner.wechat_openid is not None or not _join_wechat(owner, openid, unionid):
            return _create(openid, unionid, None), True
        person = owner
    if phone and person.phone is None and person.status == UserStatus.ACTIVE:
        _join_phone(person, phone)
    return person, False


def _known_at_wechat(openid: str, unionid: str | None) -> User | None:
    """Whoever has this openid, or else this unionid: then the platform has another app by now."""
    person: User | None = User.objects.filter(wechat_openid=openid).first()
    if not unionid:
        return person
    of_union: User | None = User.objects.filter(wechat_unionid=unionid).first()
    if person is None and of_union is not None:
        User.objects.filter(pk=of_union.pk).update(wechat_openid=openid)
    elif person is not None and of_union is None and person.wechat_unionid is None:
        User.objects.filter(pk=person.pk).update(wechat_unionid=unionid)
    return person or of_union


def _join_wechat(owner: User, openid: str, unionid: str | None) -> bool:
    """Add a WeChat identity to the account of a phone; False where another was quicker."""
    if owner.status != UserStatus.ACTIVE:
        raise AccountClosed
    # One conditional UPDATE decides between two that join at once.
    free = User.objects.filter(pk=owner.pk, phone=owner.phone, wechat_openid__isnull=True)
    if not free.update(wechat_openid=openid, wechat_unionid=unionid):
        return False
    welcome(person=owner, points=0, openid=openid)
    _tell_of_joining(owner)
    return True


def _join_phone(person: User, phone: str) -> None:
    """Add a phone to an account that has none, unless somebody else has it."""
    if User.objects.filter(phone=phone).exists():
        return
    if User.objects.filter(pk=person.pk, phone__isnull=True).update(phone=phone):
        welcome(person=person, points=0, phone=phone)
        _tell_of_joining(person)


def _tell_of_joining(person: User) -> None:
    security_log.note_change("identity_joined", person_id=person.pk)
    WECHAT_JOINED.add_on_commit()


def _create(openid: str, unionid: str | None, phone: str | None) -> User:
    number = phone[-4:] if phone else f"{secrets.randbelow(10**4):04d}"
    person: User = User.objects.create(
        wechat_openid=openid, wechat_unionid=unionid, phone=phone, nickname=_guest(number)
    )
    welcome(person=person, points=REGISTER_BONUS.value, phone=phone or "", openid=openid)
    NEW_PEOPLE.add_on_commit()
    return person


def _guest(number: str) -> str:
    return _("Guest %(number)s") % {"number": number}
