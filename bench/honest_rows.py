"""Honest people, draws, points and stock, written in bulk: what the services would have written.

Decided by `lottery.decision`, hashed by the models' own `computed_hash`.
"""

import random
import secrets
from collections import Counter
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import PointsEntry, PointsSource, RegistrationMark, User
from accounts.services.welcome import proofs_of
from catalog.models import (
    Order,
    OrderSource,
    OrderStatus,
    Product,
    ProductKind,
    ProductStatus,
    Shop,
    StockEntry,
    StockOperation,
)
from catalog.services.exchange_codes import new_exchange_code
from lottery import decision
from lottery.models import (
    Draw,
    PityCounter,
    Prize,
    PrizeType,
    SeedPair,
    SeedState,
    Wheel,
)
from lottery.models.draws import new_draw_id
from lottery.odds import ANGLES
from lottery.services import publishing
from ops.services.encryption import encrypt, keyed_hash

WELCOME, COST = 10_000, 10
BATCH_SIZE = 5_000
POINTS_HEAD = ("total_points", "points_version", "points_hash")
STOCK_HEAD = ("stock", "stock_version", "stock_hash")


def draft_wheel(prizes, **facts):
    """A wheel with these eight prizes; the last one is the fallback prize."""
    wheel = Wheel.objects.create(**facts)
    for angle, prize in zip(ANGLES, prizes, strict=True):
        wheel.fallback_prize = Prize.objects.create(
            wheel=wheel, name=f"At {angle}", angle=angle, color="#c8261b", **prize
        )
    wheel.save()
    return wheel


def welcome_mark(*, person_id, phone, points):
    """The mark of somebody's welcome points, with the proof that they are the platform's."""
    key_hash = keyed_hash("registered phone", phone)
    proof = proofs_of(key_hash=key_hash, person_id=person_id, points=points)[0]
    return RegistrationMark(key_hash=key_hash, person_id=person_id, points=points, proof=proof)


def fill(*, people, draws_each):
    """Write so many people, who draw so often each; every fifth one changes seeds half-way."""
    with transaction.atomic():
        _Filling(people=people, draws_each=draws_each).write()


class _Filling:
    """All rows in memory until they are written; people and the product carry their heads."""

    def __init__(self, *, people, draws_each):
        self.chance = random.Random(1)
        self.now = timezone.now()
        self.draws, self.points, self.stock = [], [], []
        self.pity: Counter = Counter()
        self.given: Counter = Counter()
        self.product = self._product(stock=people * draws_each)
        self.versions = [one for threshold in (5, None) for one in self._wheel(threshold)]
        self.people = User.objects.bulk_create(
            (User(phone=f"1{number:010d}") for number in range(people)), batch_size=BATCH_SIZE
        )
        self.marks = [self._welcome(person) for person in self.people]
        self.pairs = {person.pk: self._pairs(person, draws_each) for person in self.people}
        # Everybody in turn, as in a shop: the rows of one person do not lie beside each other.
        for turn in range(draws_each):
            for person in self.people:
                self._draw(person, turn)

    # --- What people draw on --------------------------------------------------------------------
    def _product(self, *, stock):
        product = Product.objects.create(
            shop=Shop.objects.create(name="Shop"),
            name="Umbrella",
            kind=ProductKind.PHYSICAL,
            points_price=100,
            market_price=Decimal("12.50"),
            status=ProductStatus.ACTIVE,
        )
        self._book_stock(product, stock, StockOperation.RESTOCK)
        return product

    def _wheel(self, pity_threshold):
        """Publish a wheel twice; some of its prizes run out soon."""
        points = {"type": PrizeType.POINTS}
        prizes: tuple[dict[str, Any], ...] = (
            {**points, "value": 50, "probability": "0.10", "is_activity": True},
            {**points, "value": 5, "probability": "0.20"},
            {**points, "value": 500, "probability": "0.05", "quantity": 100},
            {"type": PrizeType.PHYSICAL, "probability": "0.05", "product": self.product},
            {"type": PrizeType.COUPON, "value": 3, "probability": "0.05"},
            {**points, "value": 20, "probability": "0.05", "is_pity_prize": True},
            {**points, "value": 200, "probability": "0.01", "is_pity_prize": True, "quantity": 50},
            {"type": PrizeType.EMPTY, "probability": "0.49"},
        )
        wheel = draft_wheel(
            prizes,
            name="Wheel",
            cost_points=COST,
            daily_limit=1_000,
            pity_threshold=pity_threshold,
        )
        return [publishing.publish(wheel_id=wheel.pk) for _number in range(2)]

    # --- People, their seeds and their draws ----------------------------------------------------
    def _welcome(self, person):
        self._book_points(person, WELCOME, PointsSource.REGISTER, related_id=str(person.pk))
        return welcome_mark(person_id=person.pk, phone=person.phone, points=WELCOME)

    def _pairs(self, person, draws):
        """The pairs that a person's draws use, each with its seed, and the turn it begins with."""
        pairs: list = []
        for first in (0, draws // 2) if self.chance.random() < 0.2 else (0,):
            if pairs:
                pairs[-1][0].state, pairs[-1][0].revealed_at = SeedState.REVEALED, self.now
            server_seed = secrets.token_hex(32)
            pair = SeedPair(
                person=person,
                server_seed_encrypted=encrypt(server_seed),
                server_seed_hash=decision.hash_seed(server_seed),
                client_seed=secrets.token_hex(16),
                state=SeedState.ACTIVE,
                activated_at=self.now,
            )
            pairs.append((pair, server_seed, first))
        return pairs

    def _draw(self, person, turn):
        pair, server_seed, _first = next(
            one for one in reversed(self.pairs[person.pk]) if one[2] <= turn
        )
        version = self.chance.choice(self.versions)
        pity_before = self.pity[person.pk, version.wheel_id]
        ticket = decision.draw_ticket(
            server_seed=server_seed, client_seed=pair.client_seed, nonce=pair.next_nonce
        )
        decided = decision.decide(
            version.sheet, ticket=ticket, pity_before=pity_before, is_gone=self._is_gone
        )
        given = decided.given
        drawn = Draw(
            id=new_draw_id(),
            person=person,
            wheel_id=version.wheel_id,
            version=version,
            seed_pair=pair,
            nonce=pair.next_nonce,
            ticket=ticket,
            landed_prize_id=decided.landed.prize_id,
            prize_id=given.prize_id,
            is_pity=decided.is_pity,
            pity_before=pity_before,
            stock_out=decided.stock_out,
            near_miss=decision.is_near_miss(version.sheet, given=given),
            cost_points=version.cost_points,
            value_given=given.value,
            created_at=self.now,
        )
        self.draws.append(drawn)
        pair.next_nonce += 1
        self.given[given.prize_id] += 1
        self.pity[person.pk, version.wheel_id] = decision.pity_after(
            given=given, pity_before=pity_before
        )
        cause = str(drawn.pk)
        self._book_points(person, -version.cost_points, PointsSource.LOTTERY, related_id=cause)
        if given.kind.credits_points:
            self._book_points(person, int(given.value), PointsSource.PRIZE, related_id=cause)
        if given.kind.opens_order:
            drawn.order = self._order(drawn, given)

    def _is_gone(self, prize):
        return prize.quantity is not None and self.given[prize.prize_id] >= prize.quantity

    def _order(self, drawn, given):
        product = self.product if given.product_id else None
        if product:
            self._book_stock(product, -1, StockOperation.PRIZE, related_id=str(drawn.pk))
        return Order(
            person=drawn.person,
            shop=product and product.shop,
            product=product,
            product_name=given.name,
            kind=given.kind.product_kind,
            unit_points=0,
            total_points=0,
            source=OrderSource.LOTTERY,
            related_id=str(drawn.pk),
            exchange_code=new_exchange_code(),
            status=OrderStatus.PENDING,
            created_at=self.now,
            expires_at=self.now + settings.ORDER_LIFETIME,
        )

    # --- The ledgers ----------------------------------------------------------------------------
    def _book_points(self, person, points, source, *, related_id):
        entry = PointsEntry(
            user=person,
            sequence=person.points_version + 1,
            points=points,
            source=source,
            related_id=related_id,
            balance_after=person.total_points + points,
            previous_hash=person.points_hash,
            created_at=self.now,
        )
        entry.entry_hash = entry.computed_hash()
        self.points.append(entry)
        person.total_points, person.points_version = entry.balance_after, entry.sequence
        person.points_hash = entry.entry_hash

    def _book_stock(self, product, quantity, operation, *, related_id=""):
        entry = StockEntry(
            product=product,
            sequence=product.stock_version + 1,
            quantity=quantity,
            operation=operation,
            stock_after=product.stock + quantity,
            related_id=related_id,
            previous_hash=product.stock_hash,
            created_at=self.now,
        )
        entry.entry_hash = entry.computed_hash()
        self.stock.append(entry)
        product.stock, product.stock_version = entry.stock_after, entry.sequence
        product.stock_hash = entry.entry_hash

    # --- Into the database ----------------------------------------------------------------------
    def write(self):
        """Write all of it, each table after those that it names."""
        _write(RegistrationMark, self.marks)
        _write(SeedPair, (pair for used in self.pairs.values() for pair, _seed, _first in used))
        _write(Order, (drawn.order for drawn in self.draws if drawn.order))
        for drawn in self.draws:
            # Neither had an id when the draw was made.
            drawn.seed_pair, drawn.order = drawn.seed_pair, drawn.order
        _write(Draw, self.draws)
        counters = self.pity.items()
        _write(
            PityCounter,
            (PityCounter(person_id=one, wheel_id=on, current=now) for (one, on), now in counters),
        )
        _write(PointsEntry, self.points)
        _write(StockEntry, self.stock)
        User.objects.bulk_update(self.people, POINTS_HEAD, batch_size=500)
        head = {name: getattr(self.product, name) for name in STOCK_HEAD}
        Product.objects.filter(pk=self.product.pk).update(**head)
        today = timezone.localdate(self.now)
        for prize in Prize.objects.filter(quantity__isnull=False):
            given = self.given[prize.pk]
            Prize.objects.filter(pk=prize.pk).update(
                given=given, given_on=today, given_that_day=given
            )


def _write(model, rows):
    model.objects.bulk_create(rows, batch_size=BATCH_SIZE)
