"""What somebody may do in the console, and at which shops.

A shop is a bare id here, as a person is: `ops` knows no business. The app that knows who works
where hands in how it is found out; everything that asks, asks here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """The groups of the console, by name; those of a shop follow its members."""

    SHOP_OWNER = "shop_owner", _("Shop: owner")
    SHOP_MANAGER = "shop_manager", _("Shop: manager")
    SHOP_REVIEWER = "shop_reviewer", _("Shop: reviewer")
    SHOP_CASHIER = "shop_cashier", _("Shop: cashier")
    PLATFORM_STAFF = "platform_staff", _("Platform staff")
    AUDITOR = "auditor", _("Auditor")


OF_PLATFORM = (Role.PLATFORM_STAFF, Role.AUDITOR)
OF_SHOPS = tuple(role for role in Role if role not in OF_PLATFORM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Permissions, as Django names them: those held everywhere, and those held at single shops."""

    is_unlimited: bool = False
    everywhere: frozenset[str] = frozenset()
    at_shops: Mapping[int, frozenset[str]] = field(default_factory=dict)

    @property
    def permissions(self) -> frozenset[str]:
        """All that is held anywhere."""
        return self.everywhere.union(*self.at_shops.values())

    @property
    def opens_console(self) -> bool:
        """Whether there is anything for them in the console."""
        return self.is_unlimited or bool(self.permissions)

    def may(self, permission: str) -> bool:
        """Whether they may do it anywhere at all."""
        return self.is_unlimited or permission in self.permissions

    def may_everywhere(self, permission: str) -> bool:
        """Whether they may do it for the whole platform: a right given at a shop is none there."""
        return self.shops(permission) is None

    def shops(self, *permissions: str) -> frozenset[int] | None:
        """The shops where one of these is held; None where it is held everywhere."""
        if self.is_unlimited or not self.everywhere.isdisjoint(permissions):
            return None
        return frozenset(
            shop for shop, held in self.at_shops.items() if not held.isdisjoint(permissions)
        )

    def covers(self, other: "Access") -> bool:
        """Whether they hold every right, at every place, that the other has."""
        if self.is_unlimited or other.is_unlimited:
            return self.is_unlimited
        return self.everywhere >= other.everywhere and all(
            self.everywhere | self.at_shops.get(shop, frozenset()) >= held
            for shop, held in other.at_shops.items()
        )


type Finder = Callable[[Any], Access]

_find: Finder | None = None


def set_finder(find: Finder) -> None:
    """Say how the access of a person is found out; from AppConfig.ready()."""
    global _find
    _find = find


def access_of(person: Any) -> Access:
    """What a person may do now; nothing for a stranger and for a closed account."""
    return rights_of(person) if person.is_active else Access()


def rights_of(person: Any) -> Access:
    """What a person may do as soon as their account is open.

    It is found out once for each time the person is read: a change of roles takes effect at the
    next request.
    """
    if person.is_superuser:
        return Access(is_unlimited=True)
    if _find is None or person.pk is None:
        return Access()
    known: Access | None = getattr(person, "_console_access", None)
    if known is None:
        known = person._console_access = _find(person)
    return known


def is_platform_staff(person: Any) -> bool:
    """Whether a person runs the platform, and so has its rights at every shop."""
    return _has_role_of_platform(person, Role.PLATFORM_STAFF)


def reads_everything(person: Any) -> bool:
    """Whether a person may look at what is at every shop: platform staff, and auditors."""
    return _has_role_of_platform(person, *OF_PLATFORM)


def _has_role_of_platform(person: Any, *roles: Role) -> bool:
    if not person.is_active:
        return False
    return bool(person.is_superuser or person.groups.filter(name__in=roles).exists())
