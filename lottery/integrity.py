"""What must always hold for draws and prizes: recomputed, not believed."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Any, override

from cryptography.fernet import InvalidToken
from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    Count,
    Exists,
    F,
    Func,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
    Window,
    prefetch_related_objects,
)
from django.db.models.functions import Cast, Coalesce, RowNumber, TruncDate
from django.utils.translation import gettext as _

from accounts.models import PointsSource
from catalog.models import Order, OrderSource
from lottery import decision
from lottery.models import Draw, PityCounter, Prize, SeedPair, WheelVersion
from lottery.odds import PublishedPrize
from lottery.services import seeds
from ops.services import integrity
from ops.services.integrity import Check, Finding, unguarded_tables
from ops.services.ledgers import check_causes, ledgers

BATCH_SIZE = 2000
# What reading a version, or deciding by it, comes to when its JSON is not what was published.
ALTERED = (ArithmeticError, LookupError, TypeError, ValueError)


def register() -> None:
    """Register the integrity checks of draws and prizes."""
    integrity.checks.register("draws", Check(draws_recompute, of=(Draw,)))
    integrity.checks.register("prizes", Check(prizes_are_counted, of=(Draw,)))


# --- Draws ------------------------------------------------------------------------------------
def draws_recompute() -> Iterator[Finding]:
    """Decide every draw again, revealed or not; follow nonces, pity and the ledger beside it."""
    yield from unguarded_tables(Draw, WheelVersion)
    for version in WheelVersion.objects.order_by("pk"):
        if not _prizes(version):
            yield Finding("proof", f"version {version.pk}", _("cannot be read: it was altered"))
    trail = _Trail()
    for draws in batched(_draws_in_order(), BATCH_SIZE):
        # Once for each version, not for each draw; versions never change.
        prefetch_related_objects(draws, "version")
        yield from _orders(draws)
        for draw in draws:
            yield from trail.follow(draw)
            if trail.server_seed is not None:
                yield from _decide_again(draw, trail.server_seed)
    yield from trail.end_person()
    yield from _points()
    yield from _without_draws()
    yield from _over_daily_limit()


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
            is_gone=lambda prize: prize.is_scarce and prize.prize_id in draw.stock_out,
        )
    except ALTERED:
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
def _orders(draws: Sequence[Draw]) -> Iterator[Finding]:
    """See that each draw opened the order that its prize opens, for its person, and no other."""
    for draw in draws:
        given, order = _given(draw), draw.order
        if (given is not None and given.kind.opens_order) != (order is not None):
            problem = _("gave prize %(prize)s with order %(order)s")
            said = {"prize": draw.prize_id, "order": draw.order_id}
            yield Finding("order", _name(draw), problem % said)
        elif order is not None and given is not None:
            told = (order.source, order.related_id, order.person_id, order.product_id)
            if told != (OrderSource.LOTTERY, str(draw.pk), draw.person_id, given.product_id):
                problem = _("order %(order)s is not what this draw gave")
                yield Finding("order", _name(draw), problem % {"order": order.pk})


class _Text(Func):
    """An id as text, as entries and orders name it. SQLite keeps it without its hyphens."""

    template = "%(expressions)s::text"
    output_field = CharField()

    @override
    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        template = " || '-' || ".join(f"substr(%(expressions)s, {at}, {n})" for at, n in parts)
        return self.as_sql(compiler, connection, template=f"({template})", **context)


def _points() -> Iterator[Finding]:
    """Compare what draws cost and gave with the ledger."""
    credited = Q(pk__in=[])
    for version in WheelVersion.objects.all():
        prizes = [one.prize_id for one in _prizes(version) if one.kind.credits_points]
        credited |= Q(version=version.pk, prize_id__in=prizes)
    paid = Draw.objects.filter(cost_points__gt=0).values_list(
        "person", Value(PointsSource.LOTTERY), _Text("pk"), F("cost_points") * -1
    )
    won = Draw.objects.filter(credited).values_list(
        "person", Value(PointsSource.PRIZE), _Text("pk"), Cast("value_given", BigIntegerField())
    )
    yield from check_causes(
        ledgers["points"],
        kinds=(PointsSource.LOTTERY, PointsSource.PRIZE),
        due=paid.union(won, all=True),
        name_cause=lambda kind, cause: f"draw {cause}",
    )


def _without_draws() -> Iterator[Finding]:
    """Nonces, pity and orders that no draw accounts for."""
    of_pair = Draw.objects.filter(seed_pair=OuterRef("pk"))
    for pair in SeedPair.objects.filter(~Exists(of_pair), next_nonce__gt=0):
        yield Finding("nonces", f"seed pair {pair.pk}", _("used nonces without a draw"))
    of_counter = Draw.objects.filter(person=OuterRef("person"), wheel=OuterRef("wheel"))
    for counter in PityCounter.objects.filter(~Exists(of_counter), current__gt=0):
        name = f"pity counter of user {counter.person_id}, wheel {counter.wheel_id}"
        yield Finding("pity", name, _("counts draws that do not exist"))
    for order in Order.objects.filter(source=OrderSource.LOTTERY, draw__isnull=True):
        problem = _("is of draw %(draw)s: there is none") % {"draw": order.related_id}
        yield Finding("order", f"order {order.pk}", problem)


def _over_daily_limit() -> Iterator[Finding]:
    """Draws above the daily limit of the version they were drawn on."""
    that_day = Window(
        RowNumber(),
        partition_by=[F("person"), F("wheel"), TruncDate("created_at")],
        order_by=[F("seed_pair").asc(), F("nonce").asc()],
    )
    over = Draw.objects.annotate(that_day=that_day).filter(that_day__gt=F("version__daily_limit"))
    fields = ("pk", "that_day", "version__daily_limit")
    for pk, number, limit in over.order_by("pk").values_list(*fields):
        problem = _("is number %(number)d of its day, the limit was %(limit)d") % {
            "number": number,
            "limit": limit,
        }
        yield Finding("limit", f"draw {pk}", problem)


def _given(draw: Draw) -> PublishedPrize | None:
    """The prize that a draw gave; None when its version has no such prize."""
    return next((one for one in _prizes(draw.version) if one.prize_id == draw.prize_id), None)


def _prizes(version: WheelVersion) -> Sequence[PublishedPrize]:
    """The prizes of a version; none when it was altered and cannot be read."""
    try:
        prizes = version.sheet.prizes
        return prizes if all(one.kind for one in prizes) else ()
    except ALTERED:
        return ()


def _name(draw: Draw) -> str:
    return f"draw {draw.pk}"


# --- Prizes -----------------------------------------------------------------------------------
def prizes_are_counted() -> Iterator[Finding]:
    """Compare the counts of prizes that can run out with the draws that gave them."""
    versions = list(WheelVersion.objects.order_by("published_at", "pk"))
    newest = {version.wheel_id: version for version in versions}
    in_force = {prize.prize_id: prize for version in newest.values() for prize in _prizes(version)}
    counted = [prize.prize_id for prize in in_force.values() if prize.is_counted]
    # One statement for count and draws: a draw that happens meanwhile is in both or in neither.
    draws = Draw.objects.filter(prize_id=OuterRef("pk")).order_by().values("prize_id")
    that_day = draws.filter(created_at__date=OuterRef("given_on"))
    number = Count("pk")
    rows = Prize.objects.filter(pk__in=counted).annotate(
        drawn=Coalesce(Subquery(draws.annotate(number=number).values("number")), 0),
        drawn_that_day=Coalesce(Subquery(that_day.annotate(number=number).values("number")), 0),
    )
    for told_and_drawn in (("given", "drawn"), ("given_that_day", "drawn_that_day")):
        wrong = rows.exclude(**{told_and_drawn[0]: F(told_and_drawn[1])}).order_by("pk")
        for pk, told, drawn in wrong.values_list("pk", *told_and_drawn):
            problem = _("says %(told)d, %(drawn)d draws gave it") % {"told": told, "drawn": drawn}
            yield Finding("given", f"prize {pk}", problem)
    for prize in Prize.objects.filter(pk__in=in_force).order_by("pk"):
        published = in_force[prize.pk]
        allowed = (prize.published_quantity, prize.published_daily_cap)
        if allowed != (published.quantity, published.daily_cap):
            problem = _("allows itself more or less than was published")
            yield Finding("quantity", f"prize {prize.pk}", problem)
    yield from _given_too_often(versions)


def _given_too_often(versions: Sequence[WheelVersion]) -> Iterator[Finding]:
    """Draws that gave a prize beyond its quantity or daily cap, by the version in force then."""
    in_order = [F("created_at").asc(), F("pk").asc()]
    in_all = Window(RowNumber(), partition_by=F("prize_id"), order_by=in_order)
    of_the_day = Window(
        RowNumber(), partition_by=[F("prize_id"), TruncDate("created_at")], order_by=in_order
    )
    for rule, numbered in (("quantity", in_all), ("daily_cap", of_the_day)):
        limits = _limits(versions, rule)
        least = {
            prize_id: min(limit for _version, limit in published if limit is not None)
            for prize_id, published in limits.items()
        }
        lowest = Case(*(When(prize_id=pk, then=Value(limit)) for pk, limit in least.items()))
        draws = Draw.objects.filter(prize_id__in=least).annotate(number=numbered)
        suspects = draws.filter(number__gt=lowest) if least else draws.none()
        for draw in suspects.order_by("pk").iterator():
            # A draw that waited for the prize may have met a version newer than its own.
            known = [
                limit
                for version, limit in limits[draw.prize_id]
                if version.pk == draw.version_id or version.published_at <= draw.created_at
            ]
            most = max((limit for limit in known if limit is not None), default=None)
            if None in known or most is None or draw.number <= most:
                continue
            problem = _("gave prize %(prize)d for the time %(number)d, the limit was %(limit)d")
            said = {"prize": draw.prize_id, "number": draw.number, "limit": most}
            yield Finding(rule, _name(draw), problem % said)


def _limits(
    versions: Sequence[WheelVersion], rule: str
) -> dict[int, list[tuple[WheelVersion, int | None]]]:
    """By prize: what each version of its wheel allowed, where one of them limited it at all."""
    limits: dict[int, list[tuple[WheelVersion, int | None]]] = defaultdict(list)
    for version in versions:
        for prize in _prizes(version):
            limits[prize.prize_id].append((version, getattr(prize, rule)))
    return {
        prize_id: published
        for prize_id, published in limits.items()
        if any(limit is not None for _version, limit in published)
    }
