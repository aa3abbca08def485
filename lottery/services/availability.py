"""What can run out on a wheel: held while a row of draws is decided, counted when it is over."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Case, F, Value, When
from django.utils import timezone

from catalog.services.stock import lock_products
from lottery.models import Prize
from lottery.odds import PublishedPrize


@dataclass(slots=True, kw_only=True)
class Goods:
    """Scarce prizes as they stand for the holder of the locks, and what was taken of them."""

    moment: datetime
    left_by_prize: dict[int, int | None]
    left_by_product: dict[int, int]
    taken: Counter[int] = field(default_factory=Counter)

    def is_gone(self, prize: PublishedPrize) -> bool:
        """Whether it is sold out or its cap is reached."""
        return self._left(prize) == 0

    def take(self, prize: PublishedPrize) -> None:
        """Count one unit as given; it shows in the database after `write_counts`."""
        if prize.is_counted:
            self.taken[prize.prize_id] += 1
        if prize.product_id is not None:
            self.left_by_product[prize.product_id] -= 1

    def write_counts(self) -> None:
        """Bring the counts of the prizes up to date; stock is written with its orders."""
        day = timezone.localdate(self.moment)
        for prize_id, units in sorted(self.taken.items()):
            # F(), not the values read above: should the lock ever go, the constraint still bites.
            Prize.objects.filter(pk=prize_id).update(
                given=F("given") + units,
                given_that_day=Case(
                    When(given_on=day, then=F("given_that_day") + units), default=Value(units)
                ),
                given_on=day,
            )

    def _left(self, prize: PublishedPrize) -> int | None:
        limits: list[int] = []
        if prize.is_counted:
            # A prize or product that was taken off the draft meanwhile has nothing left.
            left = self.left_by_prize.get(prize.prize_id, 0)
            if left is not None:
                limits.append(left - self.taken[prize.prize_id])
        if prize.product_id is not None:
            limits.append(self.left_by_product.get(prize.product_id, 0))
        return max(0, min(limits)) if limits else None


def lock(prizes: Iterable[PublishedPrize]) -> Goods:
    """Hold the rows of these prizes and of their products until commit, each by pk.

    Prizes that cannot run out need no lock and are left alone. Needs a transaction around it.
    """
    scarce = [prize for prize in prizes if prize.is_scarce]
    counted = {prize.prize_id for prize in scarce if prize.is_counted}
    rows = list(Prize.objects.filter(pk__in=counted).locked()) if counted else []
    product_ids = {prize.product_id for prize in scarce if prize.product_id is not None}
    products = lock_products(product_ids) if product_ids else {}
    # Not earlier: whoever held a row before us must not have counted it on a later day.
    moment = timezone.now()
    day = timezone.localdate(moment)
    return Goods(
        moment=moment,
        left_by_prize={row.pk: row.left_on(day) for row in rows},
        left_by_product={pk: product.stock for pk, product in products.items()},
    )
