"""Who works where, as what, and which shop is meant."""

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from catalog.errors import NotAMerchant
from catalog.models import Shop, ShopMember, ShopRole
from ops.errors import NotAllowed, ValidationFailed
from ops.identifiers import find


def shops_of(person: User, *roles: ShopRole) -> QuerySet[Shop]:
    """The shops where the person works, as any of `roles` when some are named."""
    memberships = ShopMember.objects.filter(person=person)
    if roles:
        memberships = memberships.filter(role__in=roles)
    return Shop.objects.filter(pk__in=memberships.values("shop"))


def is_merchant(person: User) -> bool:
    """Whether the person is a member of a shop."""
    return ShopMember.objects.filter(person=person).exists()


def require_merchant(person: User, *roles: ShopRole) -> QuerySet[Shop]:
    """The shops where the person may act as one of `roles` (as anything when none is named).

    Raises NotAMerchant (6001) for a member of no shop, and NotAllowed (1009) when no membership
    has one of the roles.
    """
    held = set(ShopMember.objects.filter(person=person).values_list("role", flat=True))
    if not held:
        raise NotAMerchant
    if roles and not held & set(roles):
        raise NotAllowed
    return shops_of(person, *roles)


def open_shop(shop_id: int | None) -> Shop:
    """The open shop with this id. Raises ValidationFailed (1011, `shop_id`) when there is none."""
    shop = find(Shop.objects.filter(is_open=True), shop_id)
    if shop is None:
        raise ValidationFailed({"shop_id": [_("There is no open shop with this id.")]})
    return shop


def only_open_shop() -> Shop:
    """The only open shop.

    Raises ValidationFailed (1011, `shop_id`) when several are open or none is.
    """
    shops = list(Shop.objects.filter(is_open=True)[:2])
    if not shops:
        raise ValidationFailed({"shop_id": [_("No shop is open.")]})
    if len(shops) > 1:
        raise ValidationFailed({"shop_id": [_("Several shops are open: say which one.")]})
    return shops[0]
