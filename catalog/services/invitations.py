"""Inviting somebody to work at a shop, by their phone, and what they answer.

Nobody is made anything unasked: whoever is invited joins once they say so, in the app or by
signing in to the console with that phone. Until then a shop learns nothing: it is answered alike
whether or not the phone has an account.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from django.core.cache import cache
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.errors import AccountClosed
from accounts.models import User, UserStatus
from accounts.services.sign_in_codes import check_phone
from catalog.errors import InvitationGone, RoleAboveOwn, TooManyInvitations, WorksThere
from catalog.limits import INVITATION_LIFETIME, INVITATIONS_AN_HOUR, MOST_INVITATIONS
from catalog.models import Shop, ShopInvitation, ShopMember, ShopRole
from catalog.services.members import check_author, enter
from ops import security_log
from ops.access import access_of
from ops.errors import NotAllowed, NotFound, TooManyRequests
from ops.identifiers import find
from ops.locking import locked
from ops.services import audit
from ops.services.audit import Change
from ops.services.purge import purge
from ops.transactions import in_transaction

MAY_INVITE = "catalog.add_shopinvitation"
HOUR = 3600  # seconds
BATCH_SIZE = 1000  # expired invitations that one round of the job deletes


@in_transaction
def invite(
    *, shop_id: int, phone: str, role: ShopRole, author_id: int | None = None
) -> ShopInvitation:
    """Invite whoever has this whole phone number; a second time renews the first.

    Raises InvalidPhone, TooManyRequests for somebody who invites one number after the other,
    OwnRole for oneself, RoleAboveOwn for a role with rights that the author has not, NotAllowed for
    an author who invites nobody there, NotFound for a shop that is none, WorksThere for a member,
    and TooManyInvitations. Holds the shop.
    """
    check_phone(phone)
    _check_pace(author_id)
    own = User.objects.filter(pk=author_id, phone=phone).values_list("pk", flat=True)
    check_author(author_id, person_ids=set(own), shop_id=shop_id, roles=[role])
    if not _may_invite(author_id, shop_id):
        raise NotAllowed
    if not list(locked(Shop.objects.filter(pk=shop_id))):
        raise NotFound
    member = ShopMember.objects.filter(shop_id=shop_id, person__phone=phone)
    for one in member.select_related("person"):
        raise WorksThere(name=str(one.person))
    now = timezone.now()
    there = ShopInvitation.objects.filter(shop_id=shop_id)
    facts = {"role": role, "invited_by_id": author_id, "expires_at": now + INVITATION_LIFETIME}
    earlier = there.filter(phone=phone).first()
    is_one_more = earlier is None or earlier.expires_at <= now
    if is_one_more and there.pending(now).count() >= MOST_INVITATIONS:
        raise TooManyInvitations(limit=MOST_INVITATIONS)
    if earlier is None:
        invitation = ShopInvitation.objects.create(shop_id=shop_id, phone=phone, **facts)
    else:
        there.filter(pk=earlier.pk).update(**facts)
        invitation = ShopInvitation.objects.get(pk=earlier.pk)
    security_log.note_change("member_invited", shop_id=shop_id, role=role)
    change = _change("invite", invitation, before=earlier, after=invitation)
    audit.record_all([change], actor_id=author_id)
    return invitation


def _check_pace(author_id: int | None) -> None:
    """Raise TooManyRequests for whoever sends one invitation after the other."""
    if author_id is None:
        return
    key = f"invitations:{author_id}"
    cache.add(key, 0, timeout=HOUR)
    if cache.incr(key) > INVITATIONS_AN_HOUR:
        raise TooManyRequests(retry_after=HOUR)


@in_transaction
def withdraw_all(invitations: Iterable[ShopInvitation], *, author_id: int | None = None) -> None:
    """Take invitations back, all or none; what was answered meanwhile stays as it is.

    Raises RoleAboveOwn for a role with rights that the author has not there.
    """
    gone = []
    for invitation in sorted(invitations, key=lambda one: one.pk):
        roles = [ShopRole(invitation.role)]
        check_author(author_id, person_ids=set(), shop_id=invitation.shop_id, roles=roles)
        if _take(invitation):
            gone.append(invitation)
    for invitation in gone:
        security_log.note_change("invitation_withdrawn", shop_id=invitation.shop_id)
    changes = [_change("withdraw", one, before=one) for one in gone]
    audit.record_all(changes, actor_id=author_id)


def open_to(person: User) -> QuerySet[ShopInvitation]:
    """The invitations that wait for a person's answer, each with its shop.

    None that would be refused: whoever made it may be let go, or have another role by now.
    """
    is_left = Q(invited_by=None) | Q(invited_by__status=UserStatus.ACTIVE)
    pending = _pending_for(person).filter(is_left)
    return pending.filter(pk__in=[one.pk for one in pending if _holds(one)]).select_related("shop")


@in_transaction
def accept(*, person: User, invitation_id: int | None) -> ShopMember:
    """Work at the shop that invited somebody. It works once.

    Raises InvitationGone, also where whoever made it may not do so any more, WorksThere for
    somebody who works there by now, and AccountClosed.
    """
    person = User.objects.get(pk=person.pk)  # closed meanwhile, or without the phone after a merge
    invitation = find(_pending_for(person), invitation_id)
    if invitation is None or not _holds(invitation) or not _take(invitation):
        raise InvitationGone
    role = ShopRole(invitation.role)
    return enter(shop_id=invitation.shop_id, person=person, role=role, actor_id=person.pk)


@in_transaction
def decline(*, person: User, invitation_id: int | None) -> None:
    """Say no to a shop, which may ask again. Raises InvitationGone."""
    invitation = find(_pending_for(person), invitation_id)
    if invitation is None or not _take(invitation):
        raise InvitationGone
    shop_id = invitation.shop_id
    security_log.note_change("invitation_declined", person_id=person.pk, shop_id=shop_id)
    change = _change("decline", invitation, before=invitation)
    audit.record_all([change], actor_id=person.pk)


def is_awaited(phone: str) -> bool:
    """Whether somebody with this phone would get into the console by an invitation."""
    pending = ShopInvitation.objects.pending(timezone.now()).filter(phone=phone)
    return any(_holds(one) for one in pending)


@in_transaction
def accept_all(person: User) -> None:
    """Let somebody in who works nowhere yet, and showed at the console that the phone is theirs.

    Nobody asks to be let in there who does not work at a shop: that is their answer. Whoever is in
    already answers on their own page (`accept`). What ended at this very moment keeps nobody out.
    """
    if ShopMember.objects.filter(person=person).exists():
        return
    for invitation in open_to(person).order_by("pk"):
        with suppress(AccountClosed, InvitationGone, WorksThere), transaction.atomic():
            accept(person=person, invitation_id=invitation.pk)


def forget_expired(*, now: datetime) -> int:
    """Delete invitations that nobody answered, BATCH_SIZE at most; returns how many."""
    expired = ShopInvitation.objects.filter(expires_at__lte=now).order_by("expires_at")
    return purge(expired, batch_size=BATCH_SIZE)


def _pending_for(person: User) -> QuerySet[ShopInvitation]:
    pending = ShopInvitation.objects.pending(timezone.now())
    if not person.phone or person.status != UserStatus.ACTIVE:
        return pending.none()
    return pending.filter(phone=person.phone)


def _holds(invitation: ShopInvitation) -> bool:
    """Whether whoever made it may do so now as well."""
    author_id, shop_id = invitation.invited_by_id, invitation.shop_id
    try:
        roles = [ShopRole(invitation.role)]
        check_author(author_id, person_ids=set(), shop_id=shop_id, roles=roles)
    except RoleAboveOwn:
        return False
    return _may_invite(author_id, shop_id)


def _may_invite(author_id: int | None, shop_id: int) -> bool:
    if author_id is None:
        return True
    shops = access_of(User.objects.get(pk=author_id)).shops(MAY_INVITE)
    return shops is None or shop_id in shops


def _take(invitation: ShopInvitation) -> bool:
    """End an invitation as it was read; False where it was answered or changed meanwhile.

    One conditional DELETE decides between whoever answers, withdraws and renews it.
    """
    as_read = ShopInvitation.objects.filter(
        pk=invitation.pk, role=invitation.role, expires_at=invitation.expires_at
    )
    deleted, _by_model = as_read.delete()
    return bool(deleted)


def _change(
    verb: str,
    row: ShopInvitation,
    *,
    before: ShopInvitation | None = None,
    after: ShopInvitation | None = None,
) -> Change:
    return Change(
        action=f"shopinvitation.{verb}",
        row=row,
        before=_said(before),
        after=_said(after),
        shop_id=row.shop_id,
    )


def _said(invitation: ShopInvitation | None) -> dict[str, object]:
    if invitation is None:
        return {}
    return {name: getattr(invitation, name) for name in ("phone", "role", "expires_at")}
