"""Who works at a shop: joining, another role, leaving. Each takes effect at the next request."""

from django.db import IntegrityError, transaction

from accounts.errors import OwnRole
from accounts.models import User
from accounts.services.staff import follow_access
from catalog.errors import LastOwner, WorksThere
from catalog.models import ShopMember, ShopRole
from ops import security_log
from ops.locking import locked
from ops.services import audit


@transaction.atomic
def join(*, shop_id: int, person: User, role: ShopRole, author_id: int | None = None) -> ShopMember:
    """Let a person work at a shop, which opens the console to them.

    Raises OwnRole for oneself, and WorksThere for somebody who has a role there already.
    """
    _check_not_own(person.pk, author_id)
    members = _members_of(shop_id)
    if any(member.person_id == person.pk for member in members):
        raise WorksThere(name=str(person))
    try:
        with transaction.atomic():
            member = ShopMember.objects.create(shop_id=shop_id, person=person, role=role)
    except IntegrityError as error:  # somebody else was first, at the same moment
        raise WorksThere(name=str(person)) from error
    follow_access(person.pk)
    _leave_trace("join", member, before=None, after=role, author_id=author_id)
    return member


@transaction.atomic
def change_role(*, member: ShopMember, role: ShopRole, author_id: int | None = None) -> None:
    """Give a member another role.

    Raises OwnRole for oneself: nobody raises their own rights. Raises LastOwner when no
    owner would be left.
    """
    _check_not_own(member.person_id, author_id)
    before = _role_before(member, role)
    ShopMember.objects.filter(pk=member.pk).update(role=role)
    member.role = role
    follow_access(member.person_id)
    _leave_trace("change_role", member, before=before, after=role, author_id=author_id)


@transaction.atomic
def leave(*, member: ShopMember, author_id: int | None = None) -> None:
    """End a membership; with the last one the console closes. Raises LastOwner."""
    before = _role_before(member, None)
    ShopMember.objects.filter(pk=member.pk).delete()
    follow_access(member.person_id)
    _leave_trace("leave", member, before=before, after=None, author_id=author_id)


def _check_not_own(person_id: int, author_id: int | None) -> None:
    if person_id == author_id:
        raise OwnRole


def _members_of(shop_id: int) -> list[ShopMember]:
    """Hold who works at a shop: two owners who leave at once must not leave it without one."""
    return list(locked(ShopMember.objects.filter(shop_id=shop_id)))


def _role_before(member: ShopMember, role: ShopRole | None) -> ShopRole | None:
    """The role that a member has until now, seen under the lock; None for one who is gone.

    Raises LastOwner when the other role, or none, would leave the shop without an owner.
    """
    roles = {one.pk: ShopRole(one.role) for one in _members_of(member.shop_id)}
    owners = {pk for pk, held in roles.items() if held == ShopRole.OWNER}
    if role != ShopRole.OWNER and owners == {member.pk}:
        raise LastOwner
    return roles.get(member.pk)


def _leave_trace(
    verb: str,
    member: ShopMember,
    *,
    before: ShopRole | None,
    after: ShopRole | None,
    author_id: int | None,
) -> None:
    """Record a change of a membership, and note it in the security log; nothing for none."""
    if before == after:
        return
    security_log.note_change(
        "membership_changed",
        person_id=member.person_id,
        shop_id=member.shop_id,
        role=after or "none",
    )
    audit.record(
        action=f"shopmember.{verb}",
        row=member,
        before={"role": before},
        after={"person": member.person_id, "role": after},
        shop_id=member.shop_id,
        actor_id=author_id,
    )
