"""What becomes of orders when two accounts are merged."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.services import merging
from accounts.services.merging import Fate, Part, Told
from catalog.models import Order, OrderStatus

FATES = {
    "catalog.Order.person": Fate.STAYS,
    "catalog.Order.redeemed_by": Fate.NAMES,
    "catalog.Order.returned_to": Fate.STAYS,
    "catalog.StockEntry.author": Fate.NAMES,
    "catalog.ShopInvitation.invited_by": Fate.NAMES,
    "catalog.ShopMember.person": Fate.REFUSES,
}


def register() -> None:
    """Register the part of the catalog."""
    merging.parts.register("catalog", Part(fates=FATES, counts=_counts))


def _counts(merged: User) -> Iterator[Told]:
    orders = Order.objects.filter(person=merged)
    waiting = orders.filter(status=OrderStatus.PENDING).count()
    yield _("Orders to be collected"), waiting, _("stay good: code, time and points that return")
    yield _("Other orders"), orders.count() - waiting, _("are shown as one's own, with their codes")
