"""Joining a shop, another role there, leaving it: each counts from the next request."""

import threading
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.errors import OwnRole
from accounts.models import User, UserStatus
from accounts.services import sign_in, staff
from catalog.errors import LastOwner, RoleAboveOwn, WorksThere
from catalog.models import Shop, ShopMember, ShopRole
from catalog.services import members
from catalog.tests.factories import make_member, make_shop
from ops.access import OF_PLATFORM, Role, access_of
from tests.console import console_of, refused_unchanged
from tests.people import give_by_hand, make_person
from tests.races import Unlocked, kinds, race

pytestmark = pytest.mark.django_db

ORDERS = "catalog.view_order"
PRODUCTS = "catalog.change_product"


def read(person):
    """A person as the next request reads them."""
    return User.objects.get(pk=person.pk)


def membership(person, shop):
    return ShopMember.objects.get(person=person, shop=shop)


def make_owners(shop, number=1):
    return [make_member(shop=shop, role=ShopRole.OWNER) for _ in range(number)]


# --- Those whom tests begin with ------------------------------------------------------------------
# What belongs to each row alone.
OWN = {"id", "phone", "username", "nickname", "person", "date_joined", "created_at", "updated_at"}


def facts(row):
    return {
        field.name: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.name not in OWN
    }


@pytest.mark.parametrize("name", ["cashier", "reviewer", "manager", "owner", "other_owner"])
def test_a_member_of_the_cast_is_as_joining_leaves_them(cast, name):
    of_the_cast = read(getattr(cast, name))
    (there,) = ShopMember.objects.filter(person=of_the_cast)
    joined = make_person()
    member = members.join(shop_id=there.shop_id, person=joined, role=ShopRole(there.role))
    assert facts(there) == facts(member)
    assert facts(of_the_cast) == facts(read(joined))
    assert access_of(of_the_cast) == access_of(read(joined))


@pytest.mark.parametrize("name", OF_PLATFORM)
def test_staff_of_the_cast_are_as_choosing_a_role_leaves_them(cast, name):
    of_the_cast = read({Role.PLATFORM_STAFF: cast.staff, Role.AUDITOR: cast.auditor}[name])
    chosen, boss = make_person(), make_person()
    staff.choose_platform_role(person_id=chosen.pk, role=name, author_id=boss.pk)
    assert facts(of_the_cast) == facts(read(chosen))
    assert access_of(of_the_cast) == access_of(read(chosen))


# --- Joining --------------------------------------------------------------------------------------
def test_joining_opens_the_console_at_that_shop(cast):
    person = cast.customer
    assert not read(person).is_staff
    assert not access_of(read(person)).opens_console

    member = members.join(
        shop_id=cast.shop.pk, person=person, role=ShopRole.CASHIER, author_id=cast.owner.pk
    )

    assert (member.person, member.shop_id, member.role) == (person, cast.shop.pk, "cashier")
    assert read(person).is_staff
    assert access_of(read(person)).shops(ORDERS) == frozenset({cast.shop.pk})
    assert not access_of(read(person)).may(PRODUCTS)


def test_somebody_works_at_two_shops_in_two_roles(cast):
    members.join(shop_id=cast.other_shop.pk, person=cast.cashier, role=ShopRole.MANAGER)
    access = access_of(read(cast.cashier))
    assert access.shops(ORDERS) == frozenset({cast.shop.pk, cast.other_shop.pk})
    assert access.shops(PRODUCTS) == frozenset({cast.other_shop.pk})


@pytest.mark.parametrize("role", ShopRole.values)
def test_nobody_joins_a_second_time(cast, role):
    with refused_unchanged(), pytest.raises(WorksThere):
        members.join(shop_id=cast.shop.pk, person=cast.cashier, role=ShopRole(role))


def test_nobody_lets_themselves_join(cast):
    with refused_unchanged(), pytest.raises(OwnRole):
        members.join(
            shop_id=cast.other_shop.pk,
            person=cast.owner,
            role=ShopRole.CASHIER,
            author_id=cast.owner.pk,
        )


def test_a_closed_account_joins_and_enters_once_it_is_open():
    person = make_person(status=UserStatus.INACTIVE)
    make_member(shop=make_shop(), person=person)
    assert not read(person).is_staff
    assert not access_of(read(person)).opens_console

    sign_in.change_status(person=person, status=UserStatus.ACTIVE)

    assert read(person).is_staff
    assert access_of(read(person)).opens_console


# --- Another role ---------------------------------------------------------------------------------
def test_another_role_has_other_rights(cast):
    member = membership(cast.manager, cast.shop)
    assert access_of(read(cast.manager)).may(PRODUCTS)

    members.change_role(member=member, role=ShopRole.CASHIER, author_id=cast.owner.pk)

    member.refresh_from_db()
    assert member.role == ShopRole.CASHIER
    assert not access_of(read(cast.manager)).may(PRODUCTS)
    assert access_of(read(cast.manager)).may(ORDERS)
    assert read(cast.manager).is_staff


def test_another_role_counts_in_a_session_that_is_open(cast):
    console = console_of(cast.cashier)
    products = reverse("admin:catalog_product_changelist")
    assert console.get(products).status_code == 403
    members.change_role(member=membership(cast.cashier, cast.shop), role=ShopRole.MANAGER)
    assert console.get(products).status_code == 200


@pytest.mark.parametrize("role", ShopRole.values)
def test_nobody_changes_their_own_role(cast, role):
    make_owners(cast.shop)  # so that one is left
    member = membership(cast.owner, cast.shop)
    with refused_unchanged(), pytest.raises(OwnRole):
        members.change_role(member=member, role=ShopRole(role), author_id=cast.owner.pk)


@pytest.mark.parametrize("role", [ShopRole.MANAGER, ShopRole.REVIEWER, ShopRole.CASHIER])
def test_a_shop_keeps_an_owner(cast, role):
    member = membership(cast.owner, cast.shop)
    with refused_unchanged(), pytest.raises(LastOwner):
        members.change_role(member=member, role=role, author_id=cast.staff.pk)
    members.change_role(member=member, role=ShopRole.OWNER, author_id=cast.staff.pk)


def test_one_owner_of_two_gets_another_role(cast):
    (other,) = make_owners(cast.shop)
    members.change_role(
        member=membership(cast.owner, cast.shop), role=ShopRole.CASHIER, author_id=other.pk
    )
    assert membership(cast.owner, cast.shop).role == ShopRole.CASHIER


# --- Leaving --------------------------------------------------------------------------------------
def test_leaving_closes_the_console(cast):
    console = console_of(cast.manager)
    assert console.get(reverse("admin:index")).status_code == 200

    members.leave(member=membership(cast.manager, cast.shop), author_id=cast.owner.pk)

    assert not ShopMember.objects.filter(person=cast.manager).exists()
    assert not read(cast.manager).is_staff
    assert not access_of(read(cast.manager)).opens_console
    assert console.get(reverse("admin:index"))["Location"].startswith(reverse("admin:login"))


def test_who_works_elsewhere_stays_in_the_console(cast):
    make_member(shop=cast.other_shop, person=cast.manager)
    members.leave(member=membership(cast.manager, cast.shop))
    assert read(cast.manager).is_staff
    assert access_of(read(cast.manager)).shops(ORDERS) == frozenset({cast.other_shop.pk})


def test_who_works_for_the_platform_stays_in_the_console(cast):
    make_member(shop=cast.shop, person=cast.auditor)
    members.leave(member=membership(cast.auditor, cast.shop))
    assert read(cast.auditor).is_staff
    assert access_of(read(cast.auditor)).shops(ORDERS) is None


def test_rights_given_by_hand_end_with_the_membership(cast):
    cast.cashier.user_permissions.add(*cast.cashier.user_permissions.model.objects.all())
    assert access_of(read(cast.cashier)).may(PRODUCTS)
    members.leave(member=membership(cast.cashier, cast.shop))
    assert not access_of(read(cast.cashier)).opens_console


def test_the_last_owner_stays(cast):
    for member in (
        membership(cast.owner, cast.shop),
        membership(cast.other_owner, cast.other_shop),
    ):
        with refused_unchanged(), pytest.raises(LastOwner):
            members.leave(member=member)


def test_an_owner_leaves_by_themselves_when_another_is_left(cast):
    make_owners(cast.shop)
    members.leave(member=membership(cast.owner, cast.shop), author_id=cast.owner.pk)
    assert not ShopMember.objects.filter(person=cast.owner).exists()


# --- Races ----------------------------------------------------------------------------------------
def leaving(shop):
    """Both owners of a shop leave it at the same moment."""
    owners = ShopMember.objects.filter(shop=shop, role=ShopRole.OWNER)
    return [partial(members.leave, member=member) for member in owners]


def owners_of(shop):
    return ShopMember.objects.filter(shop=shop, role=ShopRole.OWNER).count()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_leave_at_once_one_stays():
    shop = make_shop()
    make_owners(shop, 2)

    outcomes = race(leaving(shop))

    assert kinds(outcomes) == {type(None): 1, LastOwner: 1}
    assert owners_of(shop) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_both_leave(monkeypatch):
    shop = make_shop()
    make_owners(shop, 2)
    together = threading.Barrier(2)
    monkeypatch.setattr(members, "locked", lambda rows: Unlocked(rows, together))

    outcomes = race(leaving(shop))

    assert kinds(outcomes) == {type(None): 2}
    assert owners_of(shop) == 0


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_lower_each_other_at_once_one_stays():
    shop = make_shop()
    first, second = make_owners(shop, 2)

    def lower(person, author):
        members.change_role(
            member=membership(person, shop), role=ShopRole.CASHIER, author_id=author.pk
        )

    outcomes = race([partial(lower, first, second), partial(lower, second, first)])

    # Whoever was lowered first has not the rights any more to lower an owner.
    assert kinds(outcomes) == {type(None): 1, RoleAboveOwn: 1}
    assert owners_of(shop) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_who_is_let_in_twice_at_once_joins_once():
    shop, person = make_shop(), make_person()
    Shop.objects.exclude(pk=shop.pk).delete()
    joining = partial(members.join, shop_id=shop.pk, person=person)

    outcomes = race([partial(joining, role=role) for role in ShopRole])

    assert kinds(outcomes) == {ShopMember: 1, WorksThere: len(ShopRole) - 1}
    assert ShopMember.objects.filter(person=person).count() == 1


# --- Whose rights reach how far -------------------------------------------------------------------
@pytest.fixture
def keeper(cast):
    """A manager who was given the memberships by hand, without an owner's other rights."""
    rights = ("add_shopmember", "change_shopmember", "delete_shopmember")
    return give_by_hand(cast.manager, *rights)


def test_nobody_gives_a_role_above_their_own(cast, keeper):
    joining = partial(members.join, shop_id=cast.shop.pk, author_id=keeper.pk)
    with refused_unchanged(), pytest.raises(RoleAboveOwn):
        joining(person=cast.customer, role=ShopRole.OWNER)
    with refused_unchanged(), pytest.raises(RoleAboveOwn):
        members.change_role(
            member=membership(cast.cashier, cast.shop), role=ShopRole.OWNER, author_id=keeper.pk
        )
    joining(person=cast.customer, role=ShopRole.CASHIER)


def test_nobody_takes_a_role_above_their_own(cast, keeper):
    make_owners(cast.shop)  # so that one is left
    member = membership(cast.owner, cast.shop)
    for act in (
        partial(members.leave, member=member),
        partial(members.change_role, member=member, role=ShopRole.CASHIER),
    ):
        with refused_unchanged(), pytest.raises(RoleAboveOwn):
            act(author_id=keeper.pk)
    members.leave(member=membership(cast.cashier, cast.shop), author_id=keeper.pk)


def test_several_leave_together_or_not_at_all(cast):
    gone = [membership(one, cast.shop) for one in (cast.cashier, cast.reviewer, cast.owner)]
    with refused_unchanged(), pytest.raises(LastOwner):
        members.leave_all(gone, author_id=cast.staff.pk)

    with CaptureQueriesContext(connection) as queries:
        members.leave_all(gone[:2], author_id=cast.staff.pk)

    assert not ShopMember.objects.filter(pk__in=[one.pk for one in gone[:2]]).exists()
    statements = [query["sql"] for query in queries]
    (recorded,) = [n for n, sql in enumerate(statements) if 'INTO "ops_auditentry"' in sql]
    acting = min(n for n, sql in enumerate(statements) if '"ops_auditactor"' in sql)
    assert max(n for n, sql in enumerate(statements) if 'UPDATE "accounts_user"' in sql) < acting
    assert acting < recorded


# --- Whom an owner may look up --------------------------------------------------------------------
def adding(client, cast, **fields):
    sent = {"shop": cast.shop.pk, "phone": cast.customer.phone, "role": "cashier", **fields}
    return client.post(reverse("admin:catalog_shopmember_add"), sent)


def test_a_phone_is_looked_up_when_all_else_is_right_alone(cast):
    console = console_of(cast.owner)
    known = adding(console, cast, role="x")
    unknown = adding(console, cast, role="x", phone="13700000000")
    assert known.context["errors"] == unknown.context["errors"]
    assert adding(console, cast).status_code == 302


def test_phones_are_not_tried_one_after_the_other(cast, monkeypatch, caplog):
    monkeypatch.setattr(members, "PHONES_AN_HOUR", 2)
    console = console_of(cast.owner)
    assert adding(console, cast, phone="13700000000").status_code == 200
    assert '"event": "phone_unknown"' in caplog.text
    adding(console, cast, phone="13700000001")
    with refused_unchanged():
        assert adding(console, cast).status_code == 200


def test_who_is_gone_meanwhile_gets_no_other_role(cast):
    member = membership(cast.cashier, cast.shop)
    members.leave(member=member)
    with refused_unchanged():
        members.change_role(member=member, role=ShopRole.MANAGER, author_id=cast.owner.pk)
