"""Who works at a shop: joining, another role, leaving. Each takes effect at the next request."""

from django.db import transaction

from accounts.errors import OwnRole
from accounts.models import User
from accounts.services.staff import follow_access
from catalog.errors import LastOwner, WorksThere
from catalog.models import ShopMember, ShopRole
from ops import security_log
from ops.locking import locked


@transaction.atomic
def join(*, shop_id: int, person: User, role: ShopRole, author_id: int | None = None) -> ShopMember:
    """Let a person work at a shop, which opens the console to them.

    Raises OwnRole for oneself, and WorksThere for somebody who has a role there already.
    """
    _check_not_own(person.pk, author_id)
    members = _members_of(shop_id)
    if any(member.person_id == person.pk for member in members):
        raise WorksThere(name=str(person))
    member = ShopMember.objects.create(shop_id=shop_id, person=person, role=role)
    follow_access(person.pk)
    _note(member, role)
    return member


@transaction.atomic
def change_role(*, member: ShopMember, role: ShopRole, author_id: int | None = None) -> None:
    """Give a member another role.

    Raises OwnRole for oneself: nobody raises their own rights. Raises LastOwner when no
    owner would be left.
    """
    _check_not_own(member.person_id, author_id)
    _check_owner_is_left(member, role)
    ShopMember.objects.filter(pk=member.pk).update(role=role)
    member.role = role
    _note(member, role)


@transaction.atomic
def leave(*, member: ShopMember) -> None:
    """End a membership; with the last one the console closes. Raises LastOwner."""
    _check_owner_is_left(member, None)
    ShopMember.objects.filter(pk=member.pk).delete()
    follow_access(member.person_id)
    _note(member, None)


def _check_not_own(person_id: int, author_id: int | None) -> None:
    if person_id == author_id:
        raise OwnRole


def _members_of(shop_id: int) -> list[ShopMember]:
    """Hold who works at a shop: two owners who leave at once must not leave it without one."""
    return list(locked(ShopMember.objects.filter(shop_id=shop_id)))


def _check_owner_is_left(member: ShopMember, role: ShopRole | None) -> None:
    owners = {one.pk for one in _members_of(member.shop_id) if one.role == ShopRole.OWNER}
    if role != ShopRole.OWNER and owners == {member.pk}:
        raise LastOwner


def _note(member: ShopMember, role: ShopRole | None) -> None:
    security_log.note_change(
        "membership_changed",
        person_id=member.person_id,
        shop_id=member.shop_id,
        role=role or "none",
    )
