"""The people of every test: one factory, and a cast whose roles mean the same everywhere."""

from dataclasses import dataclass
from itertools import count

from django.contrib.auth.models import Group, Permission

from accounts.models import PointsEntry, PointsSource, User
from accounts.services.points import change_points
from accounts.services.welcome import welcome
from catalog.models import Shop, ShopRole
from catalog.services.members import join
from ops.access import Role

_numbers = count(1)


def make_person(*, points: int = 0, **fields) -> User:
    """A person with a phone of their own, and so many welcome points."""
    number = next(_numbers)
    person = User.objects.create(
        **{"phone": f"137{number:08d}", "nickname": f"Guest {number}", **fields}
    )
    if points:
        welcome(person=person, phone=person.phone or f"guest {number}", points=points)
        person.refresh_from_db()
    return person


def give(person: User, points: int, **fields) -> PointsEntry:
    """One entry of the person's ledger, an adjustment unless it is said otherwise."""
    entry = change_points(
        person_id=person.pk, points=points, **{"source": PointsSource.ADJUST, **fields}
    )
    person.refresh_from_db()
    return entry


def give_by_hand(person: User, *permissions: str) -> User:
    """Give a member of a shop these permissions, by codename, beside those of their role."""
    person.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    return User.objects.get(pk=person.pk)  # permissions are remembered for as long as a row is


@dataclass(frozen=True)
class Cast:
    """Who stands in the tests of rights. The members work at `shop`, the other owner elsewhere."""

    shop: Shop
    other_shop: Shop
    customer: User
    other_customer: User
    cashier: User
    reviewer: User
    manager: User
    owner: User
    other_owner: User
    staff: User
    auditor: User


def make_cast() -> Cast:
    """Two shops, and one person for each role."""
    shop, other_shop = (Shop.objects.create(name=name) for name in ("Shop", "Other shop"))

    def member(where: Shop, role: ShopRole) -> User:
        person = make_person(nickname=f"{role.value} of {where.name}")
        join(shop_id=where.pk, person=person, role=role)
        person.refresh_from_db()
        return person

    def employee(name: str, role: Role) -> User:
        person = make_person(nickname=name, username=name, is_staff=True)
        person.groups.set(Group.objects.filter(name=role))
        return person

    return Cast(
        shop=shop,
        other_shop=other_shop,
        customer=make_person(nickname="customer"),
        other_customer=make_person(nickname="other customer"),
        cashier=member(shop, ShopRole.CASHIER),
        reviewer=member(shop, ShopRole.REVIEWER),
        manager=member(shop, ShopRole.MANAGER),
        owner=member(shop, ShopRole.OWNER),
        other_owner=member(other_shop, ShopRole.OWNER),
        staff=employee("staff", Role.PLATFORM_STAFF),
        auditor=employee("auditor", Role.AUDITOR),
    )
