"""What each role may do in the console: the whole table, which `migrate` brings into the groups.

Rights at a shop hold at the shops where somebody has the role, those of the platform everywhere.
A right that is not here is a superuser's alone.
"""

from typing import Any

from django.apps import apps as django_apps
from django.db import DEFAULT_DB_ALIAS

from ops.access import Role

OUR_APPS = ("accounts", "catalog", "favorites", "lottery", "ops", "reviews")
EDIT = ("view", "add", "change", "delete")

type Grants = dict[str, tuple[str, ...]]  # what may be done, by the model's label

# Everybody who may enter the console: where they are signed in.
ONESELF: Grants = {"accounts.consoledevice": ("view", "end")}

CASHIER: Grants = {
    **ONESELF,
    "catalog.shop": ("view",),
    "catalog.order": ("view", "redeem"),
}
REVIEWER: Grants = {
    **ONESELF,
    "catalog.shop": ("view",),
    "reviews.receipt": ("view", "review"),
}
MANAGER: Grants = {
    **ONESELF,
    "accounts.tier": ("view",),
    "accounts.user": ("view", "search"),
    "catalog.category": ("view",),
    "catalog.order": ("view", "cancel", "redeem"),
    "catalog.product": (*EDIT, "stock"),
    "catalog.productimage": EDIT,
    "catalog.producttemplate": EDIT,
    "catalog.selection": EDIT,
    "catalog.shop": ("view", "change"),
    "catalog.shopmember": ("view",),
    "catalog.stockentry": ("view",),
    "catalog.virtualcode": ("view",),
    "lottery.draw": ("view",),
    "lottery.prize": EDIT,
    "lottery.wheel": ("view", "add", "change", "publish"),
    "lottery.wheelversion": ("view",),
    "reviews.processrecord": ("view",),
    "reviews.receipt": ("view", "review"),
}
OWNER: Grants = {
    **MANAGER,
    "catalog.shopinvitation": ("view", "add", "delete"),
    "catalog.shopmember": ("view", "change", "delete"),
    "ops.auditentry": ("view",),
}
OF_SHOPS: dict[Role, Grants] = {
    Role.SHOP_CASHIER: CASHIER,
    Role.SHOP_REVIEWER: REVIEWER,
    Role.SHOP_MANAGER: MANAGER,
    Role.SHOP_OWNER: OWNER,
}


def bring_groups(*, apps: Any = django_apps, using: str = DEFAULT_DB_ALIAS, **_signal: Any) -> None:
    """Make the groups, and give each exactly what this table says.

    It runs after every `migrate`, and so knows the permissions of models that are new. Platform
    staff may do all that there is a right for, an auditor look at all of it.
    """
    try:
        groups = apps.get_model("auth", "Group").objects.using(using)
        permissions = apps.get_model("auth", "Permission").objects.using(using)
    except LookupError:  # migrated back to before there were any
        return
    of_ours = permissions.filter(content_type__app_label__in=OUR_APPS)
    ours = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in of_ours.select_related("content_type")
    }
    held = {role: _names(grants) for role, grants in OF_SHOPS.items()}
    held[Role.PLATFORM_STAFF] = set(ours)
    held[Role.AUDITOR] = {name for name in ours if name.partition(".")[2].startswith("view_")}
    for role, names in held.items():
        group, _is_new = groups.get_or_create(name=role.value)
        group.permissions.set(ours[name] for name in names if name in ours)


def _names(grants: Grants) -> set[str]:
    """The permissions of a table, as Django names them."""
    return {
        f"{app}.{action}_{model}"
        for app, _dot, model in (label.partition(".") for label in grants)
        for action in grants[f"{app}.{model}"]
    }
