"""Who works where, as what, and which shop is meant."""

from django.utils.translation import gettext as _

from accounts.models import User
from catalog.errors import NotAMerchant
from catalog.models import Shop, ShopMember, ShopRole
from ops.errors import NotAllowed, ValidationFailed
from ops.identifiers import find


def roles_of(person: User) -> dict[int, ShopRole]:
    """As what the person works, by the id of the shop; one query."""
    memberships = ShopMember.objects.filter(person=person).values_list("shop_id", "role")
    return {shop_id: ShopRole(role) for shop_id, role in memberships}


def is_merchant(person: User) -> bool:
    """Whether the person is a member of a shop."""
    return ShopMember.objects.filter(person=person).exists()


def require_merchant(person: User, *roles: ShopRole) -> dict[int, ShopRole]:
    """See that the person has one of `roles` somewhere (any when none is named); their roles.

    Raises NotAMerchant (6001) for a member of no shop, and NotAllowed (1009) when no membership
    has one of the roles.
    """
    held = roles_of(person)
    if not held:
        raise NotAMerchant
    if roles and not set(held.values()) & set(roles):
        raise NotAllowed
    return held


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
