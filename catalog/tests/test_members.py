"""Joining a shop, another role there, leaving it: each counts from the next request."""

import threading
from functools import partial

import pytest
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from accounts.errors import OwnRole
from accounts.models import User, UserStatus
from accounts.services import sign_in, staff
from catalog.errors import LastOwner, RoleAboveOwn, WorksThere
from catalog.models import Shop, ShopMember, ShopRole
from catalog.services import members
from catalog.tests.factories import make_member, make_shop
from ops.access import OF_PLATFORM, Role, access_of
from ops.locking import locked
from ops.models import OperationalEvent
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


# --- Owners whose account is closed -----------------------------------------------------------
def test_an_owner_whose_account_is_closed_is_none_that_is_left(cast):
    (other,) = make_owners(cast.shop)
    sign_in.change_status(person=other, status=UserStatus.BANNED)
    own = membership(cast.owner, cast.shop)
    with refused_unchanged(), pytest.raises(LastOwner):
        members.leave(member=own, author_id=cast.owner.pk)
    with refused_unchanged(), pytest.raises(LastOwner):
        members.change_role(member=own, role=ShopRole.CASHIER, author_id=cast.staff.pk)
    members.leave(member=membership(other, cast.shop), author_id=cast.owner.pk)
    assert owners_of(cast.shop) == 1


@pytest.mark.parametrize("status", [UserStatus.BANNED, UserStatus.INACTIVE])
def test_a_shop_whose_last_owner_is_closed_is_told_of(
    cast, status, caplog, django_capture_on_commit_callbacks
):
    """A ban protects, and so it is never refused; the shop keeps its owner for when it ends."""
    with translation.override("en"), django_capture_on_commit_callbacks(execute=True):
        told = sign_in.change_status(person=cast.owner, status=status)
    assert told == ["Shop has no owner now: invite another one."]
    assert read(cast.owner).status == status
    assert owners_of(cast.shop) == 1
    assert '"event": "shop_without_owner"' in caplog.text
    event = OperationalEvent.objects.get(kind="shop_without_owner")
    assert event.facts == {"shop": cast.shop.pk}
    # Closed already: there is nothing new to tell.
    assert sign_in.change_status(person=cast.owner, status=status) == []


def test_nothing_is_told_where_another_owner_is_left(cast):
    make_owners(cast.shop)
    for person in (cast.owner, cast.manager, cast.customer):
        assert sign_in.change_status(person=person, status=UserStatus.BANNED) == []
    assert not OperationalEvent.objects.filter(kind="shop_without_owner").exists()


def test_whoever_bans_the_last_owner_reads_of_it(cast):
    console = console_of(cast.staff)
    sent = {"action": "ban", "_selected_action": [cast.owner.pk]}
    answer = console.post(
        reverse("admin:accounts_user_changelist"), sent, headers={"Accept-Language": "en"}
    )
    assert read(cast.owner).status == UserStatus.BANNED
    said = [str(message) for message in get_messages(answer.wsgi_request)]
    assert "Shop has no owner now: invite another one." in said


def leaving_while_the_other_is_banned(shop):
    first, second = User.objects.filter(memberships__shop=shop).order_by("pk")
    leave = partial(members.leave, member=membership(first, shop), author_id=first.pk)
    return [leave, partial(sign_in.change_status, person=second, status=UserStatus.BANNED)]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_who_leaves_while_the_other_owner_is_banned_is_refused_or_it_is_told():
    shop = make_shop()
    make_owners(shop, 2)
    left, banned = race(leaving_while_the_other_is_banned(shop))
    is_told = OperationalEvent.objects.filter(kind="shop_without_owner").exists()
    assert isinstance(left, LastOwner) or (left is None and len(banned) == 1 and is_told)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_holding_the_people_it_is_neither_refused_nor_told(monkeypatch):
    shop = make_shop()
    make_owners(shop, 2)
    together = threading.Barrier(2)
    leave, ban = leaving_while_the_other_is_banned(shop)
    hold = locked

    def read_people(rows):
        return Unlocked(rows, together) if rows.model is User else hold(rows)

    def ban_meanwhile():
        with transaction.atomic():
            told = ban()
            together.wait(30)  # the other has read that this account is open
            return told

    monkeypatch.setattr(members, "locked", read_people)
    left, told = race([leave, ban_meanwhile])
    assert (left, told) == (None, [])
    assert not User.objects.filter(memberships__shop=shop, status=UserStatus.ACTIVE).exists()


def test_who_is_gone_meanwhile_gets_no_other_role(cast):
    member = membership(cast.cashier, cast.shop)
    members.leave(member=member)
    with refused_unchanged():
        members.change_role(member=member, role=ShopRole.MANAGER, author_id=cast.owner.pk)
