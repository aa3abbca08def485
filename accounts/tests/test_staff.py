"""Who may act on whom, and who may enter the console."""

import pytest
from django.contrib.auth.models import Group, Permission

from accounts.errors import HoldsMoreRights, OwnRole
from accounts.models import User, UserStatus
from accounts.services import sign_in, staff
from catalog.models import ShopRole
from catalog.tests.factories import make_member
from ops.access import Role, access_of, is_platform_staff, reads_everything
from tests.console import refused_unchanged
from tests.people import give_by_hand, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def superuser():
    return make_person(username="root", is_staff=True, is_superuser=True)


def read(person):
    return User.objects.get(pk=person.pk)


def may(author, person):
    return staff.may_act_on(author=read(author), person=read(person))


# --- Who may act on whom --------------------------------------------------------------------------
def test_whoever_holds_every_right_of_somebody_may_act_on_them(cast, superuser):
    equal = make_person(username="equal", is_staff=True)
    equal.groups.set(Group.objects.filter(name=Role.PLATFORM_STAFF))
    for person in (cast.customer, cast.cashier, cast.owner, cast.other_owner, cast.auditor, equal):
        assert may(cast.staff, person), person
        assert may(superuser, person), person
    assert may(superuser, cast.staff)
    assert may(superuser, superuser)


def test_whoever_lacks_one_may_not(cast, superuser):
    for author, person in (
        (cast.staff, superuser),
        (cast.auditor, cast.staff),
        (cast.auditor, cast.cashier),
        (cast.owner, cast.staff),
        (cast.owner, cast.auditor),
        (cast.owner, cast.other_owner),
        (cast.manager, cast.owner),
        (cast.cashier, cast.reviewer),
        (cast.customer, cast.cashier),
    ):
        assert not may(author, person), (author, person)
        with pytest.raises(HoldsMoreRights):
            staff.check_may_act_on(author=read(author), person=read(person))


def test_a_right_at_another_shop_counts(cast):
    assert may(cast.owner, cast.manager)
    make_member(shop=cast.other_shop, person=cast.manager, role=ShopRole.CASHIER)
    assert not may(cast.owner, cast.manager)


def test_a_right_given_by_hand_counts(cast):
    """One that platform staff has not, such as those about Django's own groups."""
    cast.cashier.user_permissions.add(Permission.objects.get(codename="change_group"))
    assert not may(cast.staff, cast.cashier)
    assert may(cast.staff, give_by_hand(cast.reviewer, "cancel_order"))


@pytest.mark.parametrize("status", [UserStatus.INACTIVE, UserStatus.BANNED])
def test_the_rights_of_a_closed_account_count(cast, superuser, status):
    """It may be opened again, and whoever has its password would be in."""
    for person in (superuser, cast.auditor):
        User.objects.filter(pk=person.pk).update(status=status)
    assert not may(cast.staff, superuser)
    assert not may(cast.owner, cast.auditor)
    assert may(cast.staff, cast.auditor)


def test_a_closed_account_acts_on_nobody_who_has_a_right(cast):
    sign_in.change_status(person=cast.staff, status=UserStatus.BANNED)
    assert not may(cast.staff, cast.cashier)


# --- Who may enter --------------------------------------------------------------------------------
def test_is_staff_says_whether_there_is_anything_for_somebody(cast, superuser):
    for person, expected in (
        (cast.customer, False),
        (cast.cashier, True),
        (cast.staff, True),
        (cast.auditor, True),
        (superuser, True),
    ):
        User.objects.filter(pk=person.pk).update(is_staff=not expected)
        staff.follow_access(person.pk)
        assert read(person).is_staff is expected, person


def test_it_follows_when_a_closed_account_is_opened(cast):
    sign_in.change_status(person=cast.staff, status=UserStatus.BANNED)
    cast.staff.groups.clear()
    staff.follow_access(cast.staff.pk)
    assert read(cast.staff).is_staff

    sign_in.change_status(person=cast.staff, status=UserStatus.ACTIVE)

    assert not read(cast.staff).is_staff


# --- A role on the platform -----------------------------------------------------------------------
def groups_of(person):
    return set(person.groups.values_list("name", flat=True))


def test_a_role_on_the_platform_is_given_changed_and_taken(cast, superuser):
    person = cast.customer
    assert staff.platform_role(person) is None

    staff.choose_platform_role(person_id=person.pk, role=Role.AUDITOR, author_id=superuser.pk)
    assert staff.platform_role(read(person)) == Role.AUDITOR
    assert (read(person).is_staff, reads_everything(read(person))) == (True, True)
    assert not is_platform_staff(read(person))

    staff.choose_platform_role(
        person_id=person.pk, role=Role.PLATFORM_STAFF, author_id=superuser.pk
    )
    assert groups_of(person) == {Role.PLATFORM_STAFF}
    assert is_platform_staff(read(person))

    staff.choose_platform_role(person_id=person.pk, role=None, author_id=superuser.pk)
    assert groups_of(person) == set()
    assert not read(person).is_staff
    assert not access_of(read(person)).opens_console


def test_who_works_at_a_shop_stays_in_the_console_without_it(cast, superuser):
    staff.choose_platform_role(person_id=cast.cashier.pk, role=Role.AUDITOR, author_id=superuser.pk)
    staff.choose_platform_role(person_id=cast.cashier.pk, role=None, author_id=superuser.pk)
    assert read(cast.cashier).is_staff


def test_it_leaves_other_groups_alone(cast, superuser):
    friends = Group.objects.create(name="friends")
    cast.auditor.groups.add(friends)
    staff.choose_platform_role(person_id=cast.auditor.pk, role=None, author_id=superuser.pk)
    assert groups_of(cast.auditor) == {"friends"}


@pytest.mark.parametrize("role", [None, Role.AUDITOR, Role.PLATFORM_STAFF])
def test_nobody_chooses_their_own(cast, superuser, role):
    for person in (cast.staff, superuser):
        with refused_unchanged(), pytest.raises(OwnRole):
            staff.choose_platform_role(person_id=person.pk, role=role, author_id=person.pk)


def test_the_role_that_somebody_has_already_changes_nothing(cast):
    with refused_unchanged():
        staff.choose_platform_role(
            person_id=cast.auditor.pk, role=Role.AUDITOR, author_id=cast.staff.pk
        )
