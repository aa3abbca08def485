"""Who works at a shop: joining, another role, leaving. Each takes effect at the next request."""

from collections.abc import Collection, Iterable

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.errors import AccountClosed, OwnRole
from accounts.models import User, UserStatus
from accounts.services.staff import follow_access
from catalog.errors import LastOwner, RoleAboveOwn, WorksThere
from catalog.metrics import SHOP_WITHOUT_OWNER
from catalog.models import Shop, ShopInvitation, ShopMember, ShopRole
from catalog.services.console_access import rights_of_role
from ops import security_log
from ops.access import access_of
from ops.locking import locked
from ops.services import audit, events
from ops.services.audit import Change
from ops.transactions import in_transaction


@in_transaction
def join(*, shop_id: int, person: User, role: ShopRole, author_id: int | None = None) -> ShopMember:
    """Let a person work at a shop, which opens the console to them.

    Raises OwnRole for oneself, RoleAboveOwn for a role with rights that the author has not,
    WorksThere for somebody who has a role there already, and AccountClosed.
    """
    check_author(author_id, person_ids={person.pk}, shop_id=shop_id, roles=[role])
    return enter(shop_id=shop_id, person=person, role=role, actor_id=author_id)


@in_transaction
def enter(*, shop_id: int, person: User, role: ShopRole, actor_id: int | None) -> ShopMember:
    """The same once it is allowed: an invitation that was accepted, too, ends here.

    `actor_id` is who does it, for the trail. Holds the members of the shop, then the person. Raises
    WorksThere, and AccountClosed for an account that was merged into another by now.
    """
    if person.phone:  # first of all, as by whoever accepts it
        ShopInvitation.objects.filter(shop_id=shop_id, phone=person.phone).delete()
    members = _members_of([shop_id])
    if any(member.person_id == person.pk for member in members):
        raise WorksThere(name=str(person))
    # A merge holds people as well, and refuses whoever works at a shop: one of the two is first.
    if any(one.is_merged for one in locked(User.objects.filter(pk=person.pk))):
        raise AccountClosed
    try:
        with transaction.atomic():
            member = ShopMember.objects.create(shop_id=shop_id, person=person, role=role)
    except IntegrityError as error:  # somebody else was first, at the same moment
        raise WorksThere(name=str(person)) from error
    follow_access(person.pk)
    _record([_change("join", member, before=None, after=role)], author_id=actor_id)
    return member


@in_transaction
def change_role(*, member: ShopMember, role: ShopRole, author_id: int | None = None) -> None:
    """Give a member another role.

    Raises OwnRole for oneself: nobody raises their own rights. Raises RoleAboveOwn where the one
    role or the other has rights that the author has not, and LastOwner when no owner would be left.
    """
    members = _members_of([member.shop_id])
    before = next((ShopRole(one.role) for one in members if one.pk == member.pk), None)
    if before is None:  # gone meanwhile
        return
    check_author(
        author_id, person_ids={member.person_id}, shop_id=member.shop_id, roles=[before, role]
    )
    if role == before:
        return
    if role != ShopRole.OWNER:
        _check_owner_is_left(members, without={member.pk})
    ShopMember.objects.filter(pk=member.pk).update(role=role)
    member.role = role
    follow_access(member.person_id)
    _record([_change("change_role", member, before=before, after=role)], author_id=author_id)


def leave(*, member: ShopMember, author_id: int | None = None) -> None:
    """End a membership; with the last one the console closes. Raises as `leave_all` does."""
    leave_all([member], author_id=author_id)


@in_transaction
def leave_all(members: Iterable[ShopMember], *, author_id: int | None = None) -> None:
    """End these memberships, all or none.

    Raises LastOwner when a shop would be left without an owner, and RoleAboveOwn for a member who
    has rights that the author has not; everybody may leave by themselves. Holds the members of
    these shops, then people by pk, then whoever acts.
    """
    leaving = {member.pk for member in members}
    there = _members_of({member.shop_id for member in members})
    gone = [member for member in there if member.pk in leaving]
    for member in gone:
        if member.person_id != author_id:
            roles = [ShopRole(member.role)]
            check_author(author_id, person_ids=set(), shop_id=member.shop_id, roles=roles)
    _check_owner_is_left(there, without=leaving)
    ShopMember.objects.filter(pk__in=[member.pk for member in gone]).delete()
    for person_id in sorted({member.person_id for member in gone}):
        follow_access(person_id)
    changes = [
        _change("leave", member, before=ShopRole(member.role), after=None) for member in gone
    ]
    _record(changes, author_id=author_id)


def tell_of_closing(person_id: int) -> list[str]:
    """Note shops that no owner is left to run, now that this person's account is closed.

    Closing stays possible: it protects. But nobody does it unawares; returns what staff are told.
    """
    owned = ShopMember.objects.filter(person_id=person_id, role=ShopRole.OWNER)
    others = ShopMember.objects.filter(role=ShopRole.OWNER, person__status=UserStatus.ACTIVE)
    shops = Shop.objects.filter(pk__in=owned.values("shop_id"))
    told = []
    for shop in shops.exclude(pk__in=others.values("shop_id")).order_by("pk"):
        security_log.note_change("shop_without_owner", person_id=person_id, shop_id=shop.pk)
        events.record(SHOP_WITHOUT_OWNER, shop=shop.pk)
        told.append(_("%(shop)s has no owner now: invite another one.") % {"shop": shop.name})
    return told


def check_author(
    author_id: int | None, *, person_ids: Collection[int], shop_id: int, roles: Iterable[ShopRole]
) -> None:
    """Refuse whoever acts on themselves, or on a role with rights that they have not there.

    A command may do anything: `author_id` is None.
    """
    if author_id is None:
        return
    if author_id in person_ids:
        raise OwnRole
    access = access_of(User.objects.get(pk=author_id))
    if not all(access.covers(rights_of_role(role, shop_id=shop_id)) for role in roles):
        raise RoleAboveOwn


def _members_of(shop_ids: Collection[int]) -> list[ShopMember]:
    """Hold who works at shops: two owners who leave at once must not leave one without any."""
    return list(locked(ShopMember.objects.filter(shop_id__in=shop_ids)))


def _check_owner_is_left(members: Iterable[ShopMember], *, without: Collection[int]) -> None:
    """Raise LastOwner where `without` these no owner is left at a shop that has one now.

    An owner whose account is closed can do nothing for the shop, and is none that is left. Holds
    all people concerned, by pk: none of them is closed meanwhile.
    """
    owners = [member for member in members if member.role == ShopRole.OWNER]
    going = [member for member in owners if member.pk in without]
    if not going:
        return
    people = {member.person_id for member in owners}
    people |= {member.person_id for member in members if member.pk in without}
    able = {person.pk for person in locked(User.objects.filter(pk__in=people)) if person.is_active}
    left = {one.shop_id for one in owners if one.pk not in without and one.person_id in able}
    if any(member.shop_id not in left for member in going):
        raise LastOwner


def _change(
    verb: str, member: ShopMember, *, before: ShopRole | None, after: ShopRole | None
) -> Change:
    return Change(
        action=f"shopmember.{verb}",
        row=member,
        before={"role": before},
        after={"person": member.person_id, "role": after},
        shop_id=member.shop_id,
    )


def _record(changes: list[Change], *, author_id: int | None) -> None:
    """Record changes of memberships, and note them in the security log."""
    for change in changes:
        security_log.note_change(
            "membership_changed",
            person_id=change.after["person"],
            shop_id=change.shop_id,
            role=change.after["role"] or "none",
        )
    audit.record_all(changes, actor_id=author_id)
