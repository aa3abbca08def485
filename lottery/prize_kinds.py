"""The kinds of prizes: one row for each, with all that giving one comes to."""

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _

from catalog.models import ProductKind


class PrizeType(models.TextChoices):
    POINTS = "points", _("Points")
    COUPON = "coupon", _("Coupon")
    PHYSICAL = "physical", _("Physical")
    VIRTUAL = "virtual", _("Virtual")
    EMPTY = "empty", _("Nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrizeKind:
    """What becomes of a prize of one type.

    `credits_points`: its value is a number of points that are credited. `product_kind`: of the
    order that it opens, and of the product that it may name; None opens no order and names none.
    `is_money`: its value is in yuan, and limited by law. `needs_product`: it cannot be handed over
    without one.
    """

    credits_points: bool = False
    product_kind: ProductKind | None = None
    is_money: bool = False
    needs_product: bool = False

    @property
    def opens_order(self) -> bool:
        """Whether somebody has to hand it over."""
        return self.product_kind is not None

    @property
    def is_nothing(self) -> bool:
        """Whether it gives nothing at all."""
        return not (self.credits_points or self.opens_order)


PRIZE_KINDS = {
    PrizeType.POINTS: PrizeKind(credits_points=True),
    PrizeType.COUPON: PrizeKind(product_kind=ProductKind.COUPON, is_money=True),
    PrizeType.PHYSICAL: PrizeKind(product_kind=ProductKind.PHYSICAL, is_money=True),
    PrizeType.VIRTUAL: PrizeKind(
        product_kind=ProductKind.VIRTUAL, is_money=True, needs_product=True
    ),
    PrizeType.EMPTY: PrizeKind(),
}

# For the constraints of a prize, which a new row of the table changes by a migration.
WITHOUT_ORDER = tuple(one for one in PrizeType if not PRIZE_KINDS[one].opens_order)
NOT_MONEY = tuple(one for one in PrizeType if not PRIZE_KINDS[one].is_money)
NOTHING = tuple(one for one in PrizeType if PRIZE_KINDS[one].is_nothing)
