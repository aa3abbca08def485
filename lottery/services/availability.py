"""What can run out on a wheel: held while draws are decided, counted when they are over."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Case, F, IntegerField, When
from django.utils import timezone

from catalog.models import Product
from catalog.services.stock import lock_products
from lottery.models import Prize
from lottery.odds import PublishedPrize
from ops.per_row import per_row


@dataclass(slots=True, kw_only=True)
class Availability:
    """Scarce prizes and their products as they stand for the holder of the locks.

    Of what the draws decided so far take, the rows know nothing yet.
    """

    moment: datetime
    prizes: dict[int, Prize]
    products: dict[int, Product]
    taken: Counter[int] = field(default_factory=Counter)
    sent_out: Counter[int] = field(default_factory=Counter)  # units by product

    def is_gone(self, prize: PublishedPrize) -> bool:
        """Whether it is sold out or its cap is reached."""
        # A row that was taken off the draft meanwhile has nothing left.
        if prize.is_counted:
            row = self.prizes.get(prize.prize_id)
            left = row.left_on(timezone.localdate(self.moment)) if row else 0
            if left is not None and left <= self.taken[prize.prize_id]:
                return True
        if prize.product_id is None:
            return False
        product = self.products.get(prize.product_id)
        return product is None or product.stock <= self.sent_out[prize.product_id]

    def count(self, prize: PublishedPrize) -> None:
        """Count one unit of a prize as given; `write_counts` and its order write it."""
        if prize.is_counted:
            self.taken[prize.prize_id] += 1
        if prize.product_id is not None:
            self.sent_out[prize.product_id] += 1

    def write_counts(self) -> None:
        """Bring the counts of the prizes up to date, in one statement, if any was taken."""
        if not self.taken:
            return
        day = timezone.localdate(self.moment)
        units = per_row(self.taken, output_field=IntegerField())
        # F(), not the values read above: should the lock ever go, the constraint still bites.
        that_day = Case(When(given_on=day, then=F("given_that_day") + units), default=units)
        Prize.objects.filter(pk__in=self.taken).update(
            given=F("given") + units, given_that_day=that_day, given_on=day
        )


def lock(prizes: Iterable[PublishedPrize]) -> Availability:
    """Hold the rows of these prizes and of their products until commit, each by pk.

    Prizes that cannot run out need no lock and are left alone. Needs a transaction around it.
    """
    scarce = [prize for prize in prizes if prize.is_scarce]
    counted = {prize.prize_id for prize in scarce if prize.is_counted}
    rows = list(Prize.objects.filter(pk__in=counted).locked()) if counted else []
    product_ids = {prize.product_id for prize in scarce if prize.product_id is not None}
    products = lock_products(product_ids) if product_ids else {}
    return Availability(
        # Not earlier: whoever held a row before us must not have counted it on a later day.
        moment=timezone.now(),
        prizes={row.pk: row for row in rows},
        products=products,
    )
