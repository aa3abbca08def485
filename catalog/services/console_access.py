"""What people may do in the console: by the groups of the platform, and by where they work."""

from collections import defaultdict
from collections.abc import Iterable

from django.contrib.auth.models import Permission
from django.db.models import CharField, Value
from django.db.models.functions import Concat

from accounts.models import User
from catalog.models import ShopRole
from catalog.services.shops import roles_of
from ops.access import OF_PLATFORM, Access, Role

ROLE_AT_SHOP = {
    ShopRole.OWNER: Role.SHOP_OWNER,
    ShopRole.MANAGER: Role.SHOP_MANAGER,
    ShopRole.REVIEWER: Role.SHOP_REVIEWER,
    ShopRole.CASHIER: Role.SHOP_CASHIER,
}

NAME = Concat("content_type__app_label", Value("."), "codename", output_field=CharField())


def access_of(person: User) -> Access:
    """Find out what an active person may do, and where; four queries at most.

    A group of the platform gives its permissions everywhere. Whoever works at a shop has there what
    the group of their role has; nobody is ever put into that group, so that it ends with the
    membership. Permissions given by hand count where somebody works and open no other shop.
    """
    roles = {shop_id: ROLE_AT_SHOP[role] for shop_id, role in roles_of(person).items()}
    platforms = list(person.groups.filter(name__in=OF_PLATFORM).values_list("name", flat=True))
    held = _permissions_of({*platforms, *roles.values()})
    by_hand = person.user_permissions.order_by().values_list(NAME, flat=True) if roles else ()
    return Access(
        everywhere=frozenset().union(*(held[group] for group in platforms)),
        at_shops={shop_id: frozenset(held[role].union(by_hand)) for shop_id, role in roles.items()},
    )


def rights_of_role(role: ShopRole, *, shop_id: int) -> Access:
    """What somebody has by a role at a shop."""
    group = ROLE_AT_SHOP[role]
    return Access(at_shops={shop_id: frozenset(_permissions_of({group})[group])})


def _permissions_of(groups: Iterable[str]) -> dict[str, set[str]]:
    """The permissions of these groups, as Django names them."""
    permissions: dict[str, set[str]] = defaultdict(set)
    of_groups = Permission.objects.filter(group__name__in=groups).order_by()
    for group, permission in of_groups.values_list("group__name", NAME):
        permissions[group].add(permission)
    return permissions
