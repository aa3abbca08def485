"""The table of what each role may do, and the groups that migrate makes of it."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db.models import F

from config import roles
from ops.access import Access, Role
from tests.people import make_person

pytestmark = pytest.mark.django_db

TABLES = {role.value: grants for role, grants in roles.OF_SHOPS.items()}


def held_by(role):
    permissions = Permission.objects.filter(group__name=role)
    return {
        f"{app}.{codename}"
        for app, codename in permissions.values_list(F("content_type__app_label"), "codename")
    }


def all_of_ours():
    ours = Permission.objects.filter(content_type__app_label__in=roles.OUR_APPS)
    return {
        f"{app}.{codename}"
        for app, codename in ours.values_list(F("content_type__app_label"), "codename")
    }


@pytest.mark.parametrize("role", TABLES)
def test_every_right_of_the_table_is_a_permission(role):
    """A word that is misspelt would give nothing, and say nothing."""
    named = {
        f"{label.partition('.')[0]}.{action}_{label.partition('.')[2]}"
        for label, actions in TABLES[role].items()
        for action in actions
    }
    assert named - all_of_ours() == set()
    assert held_by(role) == named


def test_every_app_of_ours_has_its_permissions_in_the_table():
    """Platform staff would not have those of an app that is missing."""
    ours = {config.label for config in apps.get_app_configs() if "site-packages" not in config.path}
    with_models = {label for label in ours if list(apps.get_app_config(label).get_models())}
    assert with_models == set(roles.OUR_APPS)


def test_platform_staff_may_do_all_that_there_is_a_right_for():
    assert held_by(Role.PLATFORM_STAFF) == all_of_ours()


def test_platform_staff_covers_an_owner_of_every_shop():
    staff = Access(everywhere=frozenset(held_by(Role.PLATFORM_STAFF)))
    for role in TABLES:
        assert staff.covers(Access(at_shops={1: frozenset(held_by(role)), 2: frozenset()}))


def test_each_role_covers_those_below_it():
    owner, manager, reviewer, cashier = (
        held_by(role)
        for role in (Role.SHOP_OWNER, Role.SHOP_MANAGER, Role.SHOP_REVIEWER, Role.SHOP_CASHIER)
    )
    assert owner > manager > reviewer
    assert manager > cashier


def test_an_auditor_looks_at_all_and_changes_nothing():
    held = held_by(Role.AUDITOR)
    assert held == {name for name in all_of_ours() if ".view_" in name}
    assert {name.partition(".")[2].partition("_")[0] for name in held} == {"view"}


def test_no_role_of_a_shop_has_what_is_the_platforms():
    """Whatever concerns all shops, people's rights, and what services keep for themselves."""
    never = {
        "accounts.add_user", "accounts.change_user", "accounts.delete_user", "accounts.close_user",
        "accounts.password_user", "accounts.view_pointsentry", "accounts.view_signincode",
        "accounts.change_tier", "catalog.change_category", "catalog.add_shop",
        "lottery.default_wheel", "lottery.view_seedpair", "ops.view_storedfile",
        "ops.view_backup", "ops.change_alertrule",
    }  # fmt: skip
    assert never <= all_of_ours(), "a right has another name now"
    for role in TABLES:
        assert held_by(role) & never == set(), role


def test_migrate_brings_the_groups():
    Group.objects.all().delete()
    call_command("migrate", verbosity=0)
    assert set(Group.objects.values_list("name", flat=True)) == set(Role.values)
    assert all(held_by(role) for role in Role.values)


def test_migrate_mends_what_was_changed_by_hand():
    before = {role: held_by(role) for role in Role.values}
    cashier, owner = (Group.objects.get(name=one) for one in (Role.SHOP_CASHIER, Role.SHOP_OWNER))
    cashier.permissions.set(Permission.objects.all())
    owner.permissions.clear()

    call_command("migrate", verbosity=0)

    assert {role: held_by(role) for role in Role.values} == before


def test_migrate_leaves_people_and_other_groups_as_they_are():
    friends = Group.objects.create(name="friends")
    friends.permissions.set(Permission.objects.filter(codename="view_order"))
    person = make_person()
    person.groups.add(friends, Group.objects.get(name=Role.AUDITOR))

    call_command("migrate", verbosity=0)

    assert held_by("friends") == {"catalog.view_order"}
    assert set(person.groups.values_list("name", flat=True)) == {"friends", Role.AUDITOR.value}
