"""The people of every test: one factory, and a cast whose roles mean the same everywhere."""

from dataclasses import dataclass
from itertools import count
from typing import Any

from django.contrib.auth.models import Group, Permission

from accounts.models import PointsEntry, PointsSource, User
from accounts.services.points import change_points
from accounts.services.welcome import welcome
from catalog.models import Shop, ShopMember, ShopRole
from ops.access import Role

_numbers = count(1)


def make_person(*, points: int = 0, **fields) -> User:
    """A person with a phone of their own, and so many welcome points."""
    person = _person(**fields)
    person.save(force_insert=True)
    if points:
        welcome(person=person, phone=person.phone or f"guest {person.pk}", points=points)
        person.refresh_from_db()
    return person


def _person(**fields: Any) -> User:
    """A person who is not saved yet."""
    number = next(_numbers)
    return User(**{"phone": f"137{number:08d}", "nickname": f"Guest {number}", **fields})


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
    """Two shops, and one person for each role.

    Many tests begin with it, so its rows are written as the services leave them, and not by them:
    that takes a tenth of the time. `catalog/tests/test_members.py` says that both are the same.
    """
    shop, other_shop = Shop.objects.bulk_create([Shop(name="Shop"), Shop(name="Other shop")])
    members = {
        "cashier": (shop, ShopRole.CASHIER),
        "reviewer": (shop, ShopRole.REVIEWER),
        "manager": (shop, ShopRole.MANAGER),
        "owner": (shop, ShopRole.OWNER),
        "other_owner": (other_shop, ShopRole.OWNER),
    }
    employees = {"staff": Role.PLATFORM_STAFF, "auditor": Role.AUDITOR}
    people = {
        "customer": _person(nickname="customer"),
        "other_customer": _person(nickname="other customer"),
        **{
            name: _person(nickname=f"{role.value} of {where.name}", is_staff=True)
            for name, (where, role) in members.items()
        },
        **{name: _person(nickname=name, username=name, is_staff=True) for name in employees},
    }
    User.objects.bulk_create(people.values())
    ShopMember.objects.bulk_create(
        ShopMember(shop=where, person=people[name], role=role)
        for name, (where, role) in members.items()
    )
    groups = {group.name: group for group in Group.objects.filter(name__in=employees.values())}
    User.groups.through.objects.bulk_create(
        User.groups.through(user=people[name], group=groups[role])
        for name, role in employees.items()
    )
    return Cast(shop=shop, other_shop=other_shop, **people)
