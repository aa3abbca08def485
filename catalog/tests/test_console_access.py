"""Who may do what in the console, found out from groups and memberships."""

import pytest
from django.contrib.auth.models import Group, Permission

from accounts.models import User
from catalog.models import ShopRole
from catalog.services.console_access import ROLE_AT_SHOP, access_of
from catalog.tests.factories import make_member
from ops.access import Access, Role
from tests.people import give_by_hand, make_person

pytestmark = pytest.mark.django_db

CANCEL, VIEW = "catalog.cancel_order", "catalog.view_order"


def of_group(role):
    """The permissions of a group, as they are stored."""
    permissions = Permission.objects.filter(group__name=role).select_related("content_type")
    return {f"{one.content_type.app_label}.{one.codename}" for one in permissions}


def found(person):
    return access_of(User.objects.get(pk=person.pk))


@pytest.mark.parametrize("role", ShopRole)
def test_a_member_has_the_rights_of_the_role_at_the_shop_alone(cast, role):
    access = found(getattr(cast, role.value))
    assert access == Access(at_shops={cast.shop.pk: frozenset(of_group(ROLE_AT_SHOP[role]))})
    assert access.permissions


@pytest.mark.parametrize(
    ("name", "role"), [("staff", Role.PLATFORM_STAFF), ("auditor", Role.AUDITOR)]
)
def test_who_works_for_the_platform_has_its_rights_everywhere(cast, name, role):
    assert found(getattr(cast, name)) == Access(everywhere=frozenset(of_group(role)))


def test_several_roles_add_up_and_do_not_mix(cast):
    make_member(shop=cast.other_shop, person=cast.cashier, role=ShopRole.MANAGER)
    make_member(shop=cast.shop, person=cast.auditor, role=ShopRole.CASHIER)

    both, audits = found(cast.cashier), found(cast.auditor)

    assert both.shops(VIEW) == frozenset({cast.shop.pk, cast.other_shop.pk})
    assert both.shops(CANCEL) == frozenset({cast.other_shop.pk})
    assert audits.shops(VIEW) is None
    assert audits.shops("catalog.redeem_order") == frozenset({cast.shop.pk})
    assert not audits.may(CANCEL)


def test_rights_given_by_hand_count_where_somebody_works(cast):
    access = found(give_by_hand(cast.cashier, "cancel_order"))
    assert access.shops(CANCEL) == frozenset({cast.shop.pk})
    assert access.everywhere == frozenset()


def test_rights_given_by_hand_open_nothing_to_somebody_who_works_nowhere(cast):
    person = make_person(is_staff=True)
    for one in (person, cast.customer):
        assert found(give_by_hand(one, "view_order", "cancel_order")) == Access()


@pytest.mark.parametrize("role", [role for role in Role if role.value.startswith("shop_")])
def test_the_group_of_a_role_at_a_shop_gives_nothing_by_itself(cast, role):
    for person in (cast.cashier, make_person(is_staff=True)):
        before = found(person)
        person.groups.add(Group.objects.get(name=role))
        assert found(person) == before


def test_a_group_of_no_role_gives_nothing(cast):
    group = Group.objects.create(name="friends")
    group.permissions.set(Permission.objects.all())
    cast.cashier.groups.add(group)
    assert not found(cast.cashier).may(CANCEL)


@pytest.mark.parametrize(
    ("name", "queries"), [("cashier", 4), ("staff", 3), ("auditor", 3), ("customer", 2)]
)
def test_it_takes_four_queries_at_most(cast, name, queries, django_assert_num_queries):
    person = User.objects.get(pk=getattr(cast, name).pk)
    with django_assert_num_queries(queries):
        access_of(person)


def test_it_takes_as_many_for_many_shops(cast, django_assert_num_queries):
    make_member(shop=cast.other_shop, person=cast.cashier, role=ShopRole.MANAGER)
    person = User.objects.get(pk=cast.cashier.pk)
    with django_assert_num_queries(4):
        access_of(person)
