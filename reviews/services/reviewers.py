"""Who may review: on whose receipts somebody decides, and who may give more than the estimate."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import QuerySet

from accounts.models import User
from catalog.models import Shop, ShopRole
from catalog.services.shops import require_merchant
from ops.access import is_platform_staff

MAY_REVIEW = (ShopRole.OWNER, ShopRole.MANAGER, ShopRole.REVIEWER)
MAY_EXCEED_ESTIMATE = (ShopRole.OWNER, ShopRole.MANAGER)


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Somebody who reviews receipts; `roles` by shop id, None for platform staff: everywhere."""

    person: User
    roles: Mapping[int, ShopRole] | None

    @property
    def shops(self) -> QuerySet[Shop]:
        """The shops whose receipts they may review."""
        shops = Shop.objects.all()
        return shops if self.roles is None else shops.filter(pk__in=self.roles)

    def reviews_at(self, shop_id: int) -> bool:
        """Whether they may review the receipts of this shop."""
        return self.roles is None or shop_id in self.roles

    def may_exceed_estimate(self, shop_id: int) -> bool:
        """Whether they may give more points than a receipt of this shop is worth."""
        return self.roles is None or self.roles.get(shop_id) in MAY_EXCEED_ESTIMATE


def reviewer_for(person: User) -> Reviewer:
    """What the person may review.

    Platform staff have a manager's rights on every shop's receipts. Raises NotAMerchant (6001) for
    somebody who works nowhere, NotAllowed (1009) for a cashier.
    """
    if is_platform_staff(person):
        return Reviewer(person, None)
    roles = require_merchant(person, *MAY_REVIEW)
    return Reviewer(person, {pk: role for pk, role in roles.items() if role in MAY_REVIEW})
