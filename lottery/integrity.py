"""What must always hold for draws and prizes: recomputed, not believed."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Any, override

from django import db
from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    Count,
    Exists,
    F,
    Func,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
    Window,
)
from django.db.models.functions import Cast, RowNumber, TruncDate
from django.utils.translation import gettext as _

from accounts.models import PointsSource
from catalog.models import Order, OrderSource
from lottery import decision, draw_sql
from lottery.altered import (
    Published,
    Versions,
    readable_time,
    readable_versions,
    server_seed_of,
    stock_out_of,
)
from lottery.models import Draw, PityCounter, Prize, SeedPair, WheelVersion
from lottery.odds import PublishedPrize
from ops.services import integrity
from ops.services.integrity import Check, Finding, Subject, unguarded_tables
from ops.services.ledgers import check_causes, ledgers

BATCH_SIZE = 2000
_NO_VALUE = 10**7  # more than the column holds
# What a finding is about (`Subject.kind`).
DRAW, PITY, NONCES, GIVEN, PUBLISHED = (
    "draw", "pity counter", "next nonce", "times given", "published limits",
)  # fmt: skip


def register() -> None:
    """Register the integrity checks of draws and prizes."""
    integrity.checks.register("draws", Check(draws_recompute, of=(Draw,)))
    integrity.checks.register("prizes", Check(prizes_are_counted, of=(Draw,)))


# --- Draws ------------------------------------------------------------------------------------
def draws_recompute() -> Iterator[Finding]:
    """Decide every draw again, revealed or not; follow nonces, pity and the ledger beside it."""
    yield from unguarded_tables(Draw, WheelVersion)
    versions = readable_versions()
    altered = WheelVersion.objects.exclude(pk__in=versions).order_by("pk")
    for pk in altered.values_list("pk", flat=True):
        yield Finding("proof", f"version {pk}", _("cannot be read: it was altered"))
    yield from recompute_all(versions)
    yield from _points(versions)
    yield from _without_draws()
    yield from _over_daily_limit()


def recompute_all(versions: Versions) -> Iterator[Finding]:
    """Recompute everybody's draws; on PostgreSQL the database says with whom to begin at all."""
    if db.connection.vendor != "postgresql":
        yield from recompute(Draw.objects.all(), versions)
        return
    for people in draw_sql.suspects(versions):
        yield from recompute(Draw.objects.filter(person_id__in=people), versions)


def recompute(draws: QuerySet[Draw], versions: Versions) -> Iterator[Finding]:
    """Go through all draws of some people, or of everybody, as they happened.

    On SQLite the check itself, on PostgreSQL what `draw_sql` is measured by and has the last word.
    Nothing is joined: a row that another one names may be gone, and a join would hide both.
    """
    trail = _Trail()
    for batch in batched(_in_order(draws), BATCH_SIZE):
        pairs = SeedPair.objects.only(
            "person_id", "server_seed_encrypted", "server_seed_hash", "client_seed", "next_nonce"
        ).in_bulk({draw.seed_pair_id for draw in batch})
        orders = Order.objects.only("source", "related_id", "person_id", "product_id").in_bulk(
            {draw.order_id for draw in batch if draw.order_id is not None}
        )
        for draw in batch:
            published = versions.get(draw.version_id)
            given = published.prize(draw.prize_id) if published else None
            yield from trail.follow(draw, given, pairs.get(draw.seed_pair_id))
            if trail.pair is not None and trail.server_seed is not None:
                yield from _decide_again(
                    draw, published, pair=trail.pair, server_seed=trail.server_seed
                )
            if given is not None:
                order = orders.get(draw.order_id) if draw.order_id is not None else None
                yield from _compare_order(draw, given, order)
    yield from trail.end_person()


def _in_order(draws: QuerySet[Draw]) -> Iterator[Draw]:
    """Each person's draws in the order they happened, with what the counters say now."""
    counters = PityCounter.objects.filter(person=OuterRef("person"), wheel=OuterRef("wheel"))
    rows = (
        draws.annotate(
            pity_now=Subquery(counters.values("current")),
            gone=Cast("stock_out", TextField()),
        )
        .defer("stock_out", "created_at")  # neither may be such that Python cannot read it
        .order_by("person_id", "seed_pair_id", "nonce")
    )
    return rows.iterator(chunk_size=BATCH_SIZE)


@dataclass(slots=True)
class _Trail:
    """Follows the draws of one person after another and knows what has to come next."""

    person_id: int | None = None
    pair_id: int | None = None
    pair: SeedPair | None = None
    server_seed: str | None = None
    nonce: int = 0
    pity: dict[int, int] = field(default_factory=dict)
    pity_told: dict[int, int | None] = field(default_factory=dict)

    def follow(
        self, draw: Draw, given: PublishedPrize | None, pair: SeedPair | None
    ) -> Iterator[Finding]:
        """Compare a draw with what the ones before it lead to."""
        if draw.person_id != self.person_id:
            yield from self.end_person()
            self.person_id = draw.person_id
        if draw.seed_pair_id != self.pair_id:
            yield from self._end_pair()
            self.pair_id, self.pair = draw.seed_pair_id, pair
            yield from self._begin_pair()
        if draw.nonce != self.nonce:
            problem = _("has nonce %(told)d, not %(due)d")
            said = {"told": draw.nonce, "due": self.nonce}
            yield Finding("nonces", _name(draw), problem % said, _of(draw.person_id))
        self.nonce = draw.nonce + 1
        before = self.pity.get(draw.wheel_id, 0)
        if draw.pity_before != before:
            problem = _("says %(told)d without a pity prize before it, not %(due)d")
            said = {"told": draw.pity_before, "due": before}
            yield Finding("pity", _name(draw), problem % said, _of(draw.person_id))
        is_pity_prize = given is not None and given.is_pity_prize
        self.pity[draw.wheel_id] = 0 if is_pity_prize else draw.pity_before + 1
        self.pity_told[draw.wheel_id] = draw.pity_now  # type: ignore[attr-defined]

    def end_person(self) -> Iterator[Finding]:
        """Compare the person's counters with their draws, and forget the person."""
        yield from self._end_pair()
        for wheel_id, current in self.pity.items():
            if self.pity_told[wheel_id] != current:
                problem = _("says %(told)s, the draws say %(due)d")
                said = {"told": self.pity_told[wheel_id], "due": current}
                subject = _of_counter(self.person_id, wheel_id, due=current)
                name = _name_counter(self.person_id, wheel_id)
                yield Finding("pity", name, problem % said, subject)
        self.pity, self.pity_told = {}, {}

    def _begin_pair(self) -> Iterator[Finding]:
        self.nonce, self.server_seed = 0, None
        name, person = f"seed pair {self.pair_id}", {"person": self.person_id}
        subject = _of(self.person_id)
        if self.pair is None:
            problem = _("is not there, and user %(person)d used it")
            yield Finding("seed", name, problem % person, subject)
            return
        self.server_seed = server_seed_of(self.pair.server_seed_encrypted)
        if self.server_seed is None:
            yield Finding("seed", name, _("its server seed cannot be decrypted"), subject)
            return
        if decision.hash_seed(self.server_seed) != self.pair.server_seed_hash:
            yield Finding("seed", name, _("its hash is not that of its seed"), subject)
        if self.pair.person_id != self.person_id:
            yield Finding("seed", name, _("was used by user %(person)d") % person, subject)

    def _end_pair(self) -> Iterator[Finding]:
        if self.pair is not None and self.pair.next_nonce != self.nonce:
            problem = _("goes on with nonce %(told)d, its draws with %(due)d")
            said = {"told": self.pair.next_nonce, "due": self.nonce}
            # Behind its draws it is a count alone; before them it tells of draws that are gone.
            subject = _of(self.person_id)
            if self.pair.next_nonce < self.nonce:
                facts = {"pair_id": self.pair.pk, "person_id": self.person_id, "due": self.nonce}
                subject = Subject(NONCES, facts=facts)
            yield Finding("nonces", f"seed pair {self.pair.pk}", problem % said, subject)
        self.pair_id = self.pair = None


def _decide_again(
    draw: Draw, published: Published | None, *, pair: SeedPair, server_seed: str
) -> Iterator[Finding]:
    """Recompute one draw from its seeds and compare everything it says."""
    ticket = decision.draw_ticket(
        server_seed=server_seed, client_seed=pair.client_seed, nonce=draw.nonce
    )
    stock_out = stock_out_of(draw.gone)  # type: ignore[attr-defined]
    if published is None or not (
        decided := published.decide(
            ticket=ticket, pity_before=draw.pity_before, gone=stock_out or ()
        )
    ):
        problem = _("leads to no prize: it or its version was altered")
        yield Finding("proof", _name(draw), problem, _of(draw.person_id))
        return
    given, version = decided.given, published.version
    compared = {
        "ticket": (draw.ticket, ticket),
        "landed_prize_id": (draw.landed_prize_id, decided.landed.prize_id),
        "prize_id": (draw.prize_id, given.prize_id),
        "is_pity": (draw.is_pity, decided.is_pity),
        "stock_out": (stock_out, decided.stock_out),
        "near_miss": (draw.near_miss, decision.is_near_miss(published.sheet, given=given)),
        "value_given": (draw.value_given, given.value),
        "cost_points": (draw.cost_points, version.cost_points),
        "wheel_id": (draw.wheel_id, version.wheel_id),
    }
    for name, (told, due) in compared.items():
        if told != due:
            problem = _("says %(name)s %(told)s, recomputes to %(due)s")
            said = {"name": name, "told": told, "due": due}
            yield Finding("proof", _name(draw), problem % said, _of(draw.person_id))


# --- What belongs to draws --------------------------------------------------------------------
def _compare_order(draw: Draw, given: PublishedPrize, order: Order | None) -> Iterator[Finding]:
    """See that a draw opened the order that its prize opens, for its person, and no other."""
    if given.kind.opens_order != (draw.order_id is not None):
        problem = _("gave prize %(prize)s with order %(order)s")
        said = {"prize": draw.prize_id, "order": draw.order_id}
        yield Finding("order", _name(draw), problem % said, _of(draw.person_id))
    elif draw.order_id is not None:
        told = order and (
            order.source,
            order.related_id,
            order.person_id,
            order.product_id,
            order.quantity,
            order.product_name,
            # A product decides the kind itself, when the order is opened.
            order.kind if given.product_id is None else given.kind.product_kind,
        )
        due = (
            OrderSource.LOTTERY,
            str(draw.pk),
            draw.person_id,
            given.product_id,
            1,
            given.name,
            given.kind.product_kind,
        )
        if told != due:
            problem = _("order %(order)s is not what this draw gave")
            said = {"order": draw.order_id}
            yield Finding("order", _name(draw), problem % said, _of(draw.person_id))


class _Text(Func):
    """An id as text, as entries and orders name it. SQLite keeps it without its hyphens."""

    template = "%(expressions)s::text"
    output_field = CharField()

    @override
    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        template = " || '-' || ".join(f"substr(%(expressions)s, {at}, {n})" for at, n in parts)
        return self.as_sql(compiler, connection, template=f"({template})", **context)


def _points(versions: Versions) -> Iterator[Finding]:
    """Compare what draws cost and gave with the ledger."""
    paid = Draw.objects.filter(cost_points__gt=0).values_list(
        "person", Value(PointsSource.LOTTERY), _Text("pk"), F("cost_points") * -1
    )
    won = Draw.objects.filter(_credited(versions)).values_list(
        "person", Value(PointsSource.PRIZE), _Text("pk"), Cast("value_given", BigIntegerField())
    )
    yield from check_causes(
        ledgers["points"],
        kinds=(PointsSource.LOTTERY, PointsSource.PRIZE),
        due=paid.union(won, all=True),
        name_cause=lambda kind, cause: f"draw {cause}",
    )


def _credited(versions: Versions) -> Q:
    """Which draws gave points: asked once for all versions of a wheel that do it by one list."""
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for pk, published in versions.items():
        prizes = (one for one in published.sheet.prizes if one.kind.credits_points)
        alike[tuple(prize.prize_id for prize in prizes)].append(pk)
    credited = Q(pk__in=[])
    for prize_ids, pks in alike.items():
        credited |= Q(version__in=pks, prize_id__in=prize_ids)
    # NaN, which PostgreSQL takes for a value and puts above all numbers, cannot be cast.
    return credited & Q(value_given__lt=_NO_VALUE)


def _without_draws() -> Iterator[Finding]:
    """Nonces, pity and orders that no draw accounts for."""
    of_pair = Draw.objects.filter(seed_pair=OuterRef("pk"))
    pairs = SeedPair.objects.filter(~Exists(of_pair), next_nonce__gt=0).order_by("pk")
    for pk, person_id in pairs.values_list("pk", "person"):
        problem = _("used nonces without a draw")
        yield Finding("nonces", f"seed pair {pk}", problem, _of(person_id))
    of_counter = Draw.objects.filter(person=OuterRef("person"), wheel=OuterRef("wheel"))
    counters = PityCounter.objects.filter(~Exists(of_counter), current__gt=0).order_by("pk")
    for person_id, wheel_id in counters.values_list("person", "wheel"):
        problem = _("counts draws that do not exist")
        subject = _of_counter(person_id, wheel_id, due=0)
        yield Finding("pity", _name_counter(person_id, wheel_id), problem, subject)
    orders = Order.objects.filter(source=OrderSource.LOTTERY, draw__isnull=True).order_by("pk")
    for pk, draw_id, person_id in orders.values_list("pk", "related_id", "person"):
        problem = _("is of draw %(draw)s: there is none") % {"draw": draw_id}
        yield Finding("order", f"order {pk}", problem, _of(person_id))


def _over_daily_limit() -> Iterator[Finding]:
    """Draws above the daily limit of the version they were drawn on."""
    day = TruncDate("created_at")
    # To count is cheaper than to sort; what is sorted are the draws of those who drew that often.
    busy = (
        Draw.objects.values("person", "wheel", day=day)
        .annotate(number=Count("pk"), least=Min("version__daily_limit"))
        .filter(number__gt=F("least"))
    )
    that_day = Window(
        RowNumber(),
        partition_by=[F("person"), F("wheel"), day],
        order_by=[F("seed_pair").asc(), F("nonce").asc()],
    )
    of_the_busy = Draw.objects.filter(person__in=busy.values("person"))
    over = of_the_busy.annotate(that_day=that_day).filter(that_day__gt=F("version__daily_limit"))
    fields = ("pk", "that_day", "version__daily_limit")
    for pk, number, limit in over.order_by("pk").values_list(*fields):
        problem = _("is number %(number)d of its day, the limit was %(limit)d") % {
            "number": number,
            "limit": limit,
        }
        yield Finding("limit", f"draw {pk}", problem)


def _name(draw: Draw) -> str:
    return f"draw {draw.pk}"


def name_draws(person_id: int | None) -> str:
    """How the draws of a person are called where they are in question."""
    return f"draws of user {person_id}"


def _of(person_id: int | None) -> Subject:
    return Subject(DRAW, name_draws(person_id))


def _of_counter(person_id: int | None, wheel_id: int, *, due: int) -> Subject:
    return Subject(PITY, facts={"person_id": person_id, "wheel_id": wheel_id, "due": due})


def _name_counter(person_id: int | None, wheel_id: int) -> str:
    return f"pity counter of user {person_id}, wheel {wheel_id}"


# --- Prizes -----------------------------------------------------------------------------------
def prizes_are_counted() -> Iterator[Finding]:
    """Compare the counts of prizes that can run out with the draws that gave them."""
    versions = list(readable_versions().values())
    in_force = prizes_in_force(versions)
    yield from _wrong_counts(in_force)
    prizes = Prize.objects.filter(pk__in=in_force).order_by("pk")
    for pk, *allowed in prizes.values_list("pk", "published_quantity", "published_daily_cap"):
        if allowed != [in_force[pk].quantity, in_force[pk].daily_cap]:
            problem = _("allows itself more or less than was published")
            subject = Subject(PUBLISHED, facts={"prize_id": pk})
            yield Finding("quantity", f"prize {pk}", problem, subject)
    yield from _given_too_often(versions)


def prizes_in_force(versions: Sequence[Published]) -> dict[int, PublishedPrize]:
    """The prizes of the newest version of each wheel, by id."""
    newest = dict(WheelVersion.objects.order_by().values_list("wheel").annotate(Max("number")))
    return {
        prize.prize_id: prize
        for one in versions
        if one.version.number == newest[one.version.wheel_id]
        for prize in one.sheet.prizes
    }


def _wrong_counts(in_force: dict[int, PublishedPrize]) -> Iterator[Finding]:
    counted = [prize.prize_id for prize in in_force.values() if prize.is_counted]
    drawn = times_drawn(counted)
    prizes = (
        Prize.objects.filter(pk__in=counted)
        .order_by("pk")
        .values_list("pk", "given", "given_that_day", Cast("given_on", TextField()))
    )
    for pk, given, given_that_day, given_on in prizes:
        told_and_due = ((given, drawn[pk].total()), (given_that_day, drawn[pk][given_on]))
        for told, due in told_and_due:
            if told != due:
                problem = _("says %(told)d, %(drawn)d draws gave it")
                subject = Subject(GIVEN, facts={"prize_id": pk, "told": told, "due": due})
                said = {"told": told, "drawn": due}
                yield Finding("given", f"prize {pk}", problem % said, subject)


def times_drawn(prize_ids: Collection[int]) -> dict[int, Counter[str]]:
    """How often each of these prizes was drawn on each day, which is written as text.

    All draws are read once, not once for each prize.
    """
    drawn: dict[int, Counter[str]] = defaultdict(Counter)
    of_days = (
        Draw.objects.filter(prize_id__in=prize_ids)
        .order_by()
        .values_list("prize_id", TruncDate(readable_time("created_at")))
    )
    for prize_id, day, number in of_days.annotate(Count("pk")):
        drawn[prize_id][str(day)] = number
    return drawn


def _given_too_often(versions: Sequence[Published]) -> Iterator[Finding]:
    """Draws that gave a prize beyond its quantity or daily cap, by the version in force then."""
    in_order = [F("created_at").asc(), F("pk").asc()]
    in_all = Window(RowNumber(), partition_by=F("prize_id"), order_by=in_order)
    of_the_day = Window(
        RowNumber(), partition_by=[F("prize_id"), TruncDate("created_at")], order_by=in_order
    )
    for rule, numbered in (("quantity", in_all), ("daily_cap", of_the_day)):
        limits = _limits(versions, rule)
        least = {
            prize_id: min(limit for _one, limit in allowed if limit is not None)
            for prize_id, allowed in limits.items()
        }
        lowest = Case(*(When(prize_id=pk, then=Value(limit)) for pk, limit in least.items()))
        draws = Draw.objects.filter(prize_id__in=least).annotate(
            number=numbered, moment=readable_time("created_at")
        )
        suspects = draws.filter(number__gt=lowest) if least else draws.none()
        fields = ("pk", "prize_id", "version_id", "moment", "number")
        for pk, prize_id, version_id, moment, number in suspects.order_by("pk").values_list(
            *fields
        ):
            # A draw that waited for the prize may have met a version newer than its own.
            known = [
                limit
                for one, limit in limits[prize_id]
                if one.version.pk == version_id or one.moment <= moment
            ]
            most = max((limit for limit in known if limit is not None), default=None)
            if None in known or most is None or number <= most:
                continue
            problem = _("gave prize %(prize)d for the time %(number)d, the limit was %(limit)d")
            said = {"prize": prize_id, "number": number, "limit": most}
            yield Finding(rule, f"draw {pk}", problem % said)


def _limits(
    versions: Sequence[Published], rule: str
) -> dict[int, list[tuple[Published, int | None]]]:
    """By prize: what each version of its wheel allowed, where one of them limited it at all."""
    limits: dict[int, list[tuple[Published, int | None]]] = defaultdict(list)
    for one in versions:
        for prize in one.sheet.prizes:
            limits[prize.prize_id].append((one, getattr(prize, rule)))
    return {
        prize_id: allowed
        for prize_id, allowed in limits.items()
        if any(limit is not None for _one, limit in allowed)
    }
