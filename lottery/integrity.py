"""What must always hold for draws and prizes: recomputed, not believed."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from uuid import UUID

from cryptography.fernet import InvalidToken
from django.db import connection
from django.db.models import Count, Exists, OuterRef, Subquery, prefetch_related_objects
from django.db.models.functions import Coalesce

from accounts.models import PointsEntry, PointsSource
from catalog.models import Order, OrderSource
from lottery import decision
from lottery.models import Draw, PityCounter, Prize, SeedPair, WheelVersion
from lottery.odds import PublishedPrize
from lottery.prize_kinds import PrizeKind
from lottery.services import seeds
from ops.append_only import missing_triggers
from ops.services import integrity
from ops.services.integrity import Finding

BATCH_SIZE = 2000
NO_KIND = PrizeKind()
LEDGER = (PointsSource.LOTTERY, PointsSource.PRIZE)


def register() -> None:
    """Register the integrity checks of draws and prizes."""
    integrity.checks.register("draws", draws_recompute)
    integrity.checks.register("prizes", prizes_are_counted)


# --- Draws ------------------------------------------------------------------------------------
def draws_recompute() -> Iterator[Finding]:
    """Decide every draw again, revealed or not; follow nonces, pity and the ledger beside it."""
    for table in missing_triggers(connection, Draw._meta.db_table, WheelVersion._meta.db_table):
        yield Finding("append-only", table, "its trigger is missing: rows could be altered")
    trail = _Trail()
    for draws in batched(_draws_in_order(), BATCH_SIZE):
        # Once for each version, not for each draw; versions never change.
        prefetch_related_objects(draws, "version")
        yield from _booked(draws)
        for draw in draws:
            yield from trail.follow(draw)
            if trail.server_seed is not None:
                yield from _decide_again(draw, trail.server_seed)
    yield from trail.end_person()
    yield from _without_draws()


def _draws_in_order() -> Iterator[Draw]:
    """All draws, each person's in the order they happened, with what the counters say now.

    One statement, and so one moment: a draw that happens meanwhile is seen whole or not at all.
    """
    counters = PityCounter.objects.filter(person=OuterRef("person"), wheel=OuterRef("wheel"))
    rows = (
        Draw.objects.select_related("seed_pair", "order")
        .annotate(pity_now=Subquery(counters.values("current")))
        .order_by("person_id", "seed_pair_id", "nonce")
    )
    return rows.iterator(chunk_size=BATCH_SIZE)


@dataclass(slots=True)
class _Trail:
    """Follows the draws of one person after another and knows what has to come next."""

    person_id: int | None = None
    pair: SeedPair | None = None
    server_seed: str | None = None
    nonce: int = 0
    pity: dict[int, int] = field(default_factory=dict)
    pity_told: dict[int, int | None] = field(default_factory=dict)

    def follow(self, draw: Draw) -> Iterator[Finding]:
        """Compare a draw with what the ones before it lead to."""
        if draw.person_id != self.person_id:
            yield from self.end_person()
            self.person_id = draw.person_id
        if self.pair is None or draw.seed_pair_id != self.pair.pk:
            yield from self._end_pair()
            yield from self._begin_pair(draw.seed_pair)
        if draw.nonce != self.nonce:
            yield Finding("nonces", _name(draw), f"has nonce {draw.nonce}, not {self.nonce}")
        self.nonce = draw.nonce + 1
        before = self.pity.get(draw.wheel_id, 0)
        if draw.pity_before != before:
            problem = f"says {draw.pity_before} without a pity prize before it, not {before}"
            yield Finding("pity", _name(draw), problem)
        given = _given(draw)
        is_pity_prize = given is not None and given.is_pity_prize
        self.pity[draw.wheel_id] = 0 if is_pity_prize else draw.pity_before + 1
        self.pity_told[draw.wheel_id] = draw.pity_now  # type: ignore[attr-defined]

    def end_person(self) -> Iterator[Finding]:
        """Compare the person's counters with their draws, and forget the person."""
        yield from self._end_pair()
        for wheel_id, current in self.pity.items():
            if self.pity_told[wheel_id] != current:
                name = f"pity counter of user {self.person_id}, wheel {wheel_id}"
                problem = f"says {self.pity_told[wheel_id]}, the draws say {current}"
                yield Finding("pity", name, problem)
        self.pity, self.pity_told = {}, {}

    def _begin_pair(self, pair: SeedPair) -> Iterator[Finding]:
        self.pair, self.nonce, self.server_seed = pair, 0, None
        try:
            self.server_seed = seeds.reveal(pair)
        except InvalidToken:
            yield Finding("seed", f"seed pair {pair.pk}", "its server seed cannot be decrypted")
            return
        if decision.hash_seed(self.server_seed) != pair.server_seed_hash:
            yield Finding("seed", f"seed pair {pair.pk}", "its hash is not that of its seed")
        if pair.person_id != self.person_id:
            yield Finding("seed", f"seed pair {pair.pk}", f"was used by user {self.person_id}")

    def _end_pair(self) -> Iterator[Finding]:
        if self.pair is not None and self.pair.next_nonce != self.nonce:
            problem = f"goes on with nonce {self.pair.next_nonce}, its draws with {self.nonce}"
            yield Finding("nonces", f"seed pair {self.pair.pk}", problem)
        self.pair = None


def _decide_again(draw: Draw, server_seed: str) -> Iterator[Finding]:
    """Recompute one draw from its seeds and compare everything it says."""
    ticket = decision.draw_ticket(
        server_seed=server_seed, client_seed=draw.seed_pair.client_seed, nonce=draw.nonce
    )
    try:
        decided = decision.decide(
            draw.version.sheet,
            ticket=ticket,
            pity_before=draw.pity_before,
            is_gone=lambda prize: prize.prize_id in draw.stock_out,
        )
    except (IndexError, KeyError):
        yield Finding("proof", _name(draw), "leads to no prize: its version was altered")
        return
    expected = {
        "ticket": ticket,
        "landed_prize_id": decided.landed.prize_id,
        "prize_id": decided.given.prize_id,
        "is_pity": decided.is_pity,
        "stock_out": decided.stock_out,
        "near_miss": decision.is_near_miss(draw.version.sheet, given=decided.given),
        "value_given": decided.given.value,
        "cost_points": draw.version.cost_points,
        "wheel_id": draw.version.wheel_id,
    }
    for name, value in expected.items():
        if getattr(draw, name) != value:
            problem = f"says {name} {getattr(draw, name)}, recomputes to {value}"
            yield Finding("proof", _name(draw), problem)


# --- What belongs to draws --------------------------------------------------------------------
def _booked(draws: Sequence[Draw]) -> Iterator[Finding]:
    """Compare some draws with their ledger entries and orders; one query for all."""
    booked: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    ids = [str(draw.pk) for draw in draws]
    for entry in PointsEntry.objects.filter(source__in=LEDGER, related_id__in=ids):
        booked[entry.related_id].append((entry.source, entry.user_id, entry.points))
    for draw in draws:
        expected: list[tuple[str, int, int]] = []
        if draw.cost_points:
            expected.append((PointsSource.LOTTERY, draw.person_id, -draw.cost_points))
        given = _given(draw)
        try:
            kind = given.kind if given else NO_KIND
        except ValueError:
            yield Finding("proof", _name(draw), "gave an unknown kind: its version was altered")
            continue
        if given and kind.credits_points:
            expected.append((PointsSource.PRIZE, draw.person_id, int(given.value)))
        if sorted(booked[str(draw.pk)]) != sorted(expected):
            yield Finding("ledger", _name(draw), f"booked {booked[str(draw.pk)]}, not {expected}")
        opens_order = kind.opens_order
        order = draw.order
        belongs = order is None or (order.person_id, order.related_id) == (
            draw.person_id,
            str(draw.pk),
        )
        if opens_order != (order is not None) or not belongs:
            yield Finding("order", _name(draw), f"gave prize {draw.prize_id} with order {order}")


def _without_draws() -> Iterator[Finding]:
    """Nonces, pity, points and orders that no draw accounts for."""
    of_pair = Draw.objects.filter(seed_pair=OuterRef("pk"))
    for pair in SeedPair.objects.filter(~Exists(of_pair), next_nonce__gt=0):
        yield Finding("nonces", f"seed pair {pair.pk}", "used nonces without a draw")
    of_counter = Draw.objects.filter(person=OuterRef("person"), wheel=OuterRef("wheel"))
    for counter in PityCounter.objects.filter(~Exists(of_counter), current__gt=0):
        yield Finding("pity", f"pity counter {counter.pk}", "counts draws that do not exist")
    for order in Order.objects.filter(source=OrderSource.LOTTERY, draw__isnull=True):
        yield Finding("order", f"order {order.pk}", f"is of draw {order.related_id}: there is none")
    entries = PointsEntry.objects.filter(source__in=LEDGER).order_by("pk")
    for chunk in batched(entries.iterator(chunk_size=BATCH_SIZE), BATCH_SIZE):
        ids = {draw_id for entry in chunk if (draw_id := _draw_id(entry.related_id))}
        known = {str(pk) for pk in Draw.objects.filter(pk__in=ids).values_list("pk", flat=True)}
        for entry in chunk:
            if entry.related_id not in known:
                name = f"entry {entry.user_id}/{entry.sequence}"
                yield Finding("ledger", name, f"is of draw {entry.related_id}: there is none")


def _draw_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _given(draw: Draw) -> PublishedPrize | None:
    """The prize that a draw gave; None when its version has no such prize."""
    try:
        return draw.version.sheet.prize(draw.prize_id)
    except KeyError:
        return None


def _name(draw: Draw) -> str:
    return f"draw {draw.pk}"


# --- Prizes -----------------------------------------------------------------------------------
def prizes_are_counted() -> Iterator[Finding]:
    """Compare the counts of prizes that can run out with the draws that gave them."""
    newest = WheelVersion.objects.filter(wheel=OuterRef("wheel")).order_by("-number")
    in_force = WheelVersion.objects.filter(pk=Subquery(newest.values("pk")[:1]))
    counted = {
        prize.prize_id for version in in_force for prize in version.sheet.prizes if prize.is_counted
    }
    # One statement for count and draws: a draw that happens meanwhile is in both or in neither.
    draws = Draw.objects.filter(prize_id=OuterRef("pk")).order_by().values("prize_id")
    drawn = Coalesce(Subquery(draws.annotate(number=Count("pk")).values("number")), 0)
    rows = Prize.objects.filter(pk__in=counted).values_list("pk", "given", "published_quantity")
    for pk, given, quantity, number in rows.annotate(drawn=drawn):
        if given != number:
            yield Finding("given", f"prize {pk}", f"says {given}, {number} draws gave it")
        if quantity is not None and number > quantity:
            yield Finding("quantity", f"prize {pk}", f"was given {number} times of {quantity}")
