"""The draw: the one place where a wheel costs and gives."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import PointsSource, User
from accounts.services.points import Change, lock_person, write_entries
from catalog.models import Order
from catalog.services.orders import order_for_prize
from lottery import decision
from lottery.errors import DailyLimitReached, NotEnoughPointsToDraw, WheelNotOpen
from lottery.models import Draw, PityCounter, SeedPair, WheelVersion
from lottery.models.draws import new_draw_id
from lottery.odds import OddsSheet, PublishedPrize
from lottery.services import availability, seeds, wheels
from lottery.services.availability import Availability
from ops.days import start_of_day


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What a request for draws came to, after all of them; `cost_points` is what it cost."""

    draws: list[Draw]
    version: WheelVersion
    cost_points: int
    total_points: int
    points_version: int
    remaining_today: int | None
    pity_current: int


@transaction.atomic
def draw(
    *, person_id: int, wheel_id: int | None = None, default_wheel: bool = False, count: int
) -> Drawn:
    """Draw `count` times (1 to 10) on a wheel, or on the default one: all of them or none.

    Each draw starts from stock, caps and pity as the one before left them. Raises, in this order:
    NotFound, WheelNotOpen, DailyLimitReached, NotEnoughPointsToDraw; a refused draw uses no nonce.

    Locks the person's seed pair, which carries the daily limit, and their pity counter; then at
    once every scarce prize and product within reach of these tickets; the person last.
    """
    version = wheels.version_in_force(wheel_id=wheel_id, default_wheel=default_wheel)
    if not version.wheel.is_open_at(timezone.now()):
        raise WheelNotOpen
    pair = seeds.lock_active(person_id)
    remaining_today = _check_daily_limit(person_id=person_id, version=version, count=count)
    counter = _lock_pity_counter(person_id=person_id, wheel_id=version.wheel_id)
    tickets = _tickets(pair, count)
    within_reach = _within_reach(version.sheet, tickets=tickets, pity=counter.current)
    available = availability.lock(within_reach)
    person = _lock_payer(person_id, cost=count * version.cost_points)

    draws = []
    for nonce, ticket in enumerate(tickets, start=pair.next_nonce):
        drawn = _draw_once(
            ticket=ticket,
            nonce=nonce,
            pair=pair,
            version=version,
            counter=counter,
            available=available,
        )
        draws.append(drawn)
    Draw.objects.bulk_create(draws)
    available.write_counts()
    SeedPair.objects.filter(pk=pair.pk).update(next_nonce=F("next_nonce") + count)
    counter.save(update_fields=["current"] if counter.pk else None)
    write_entries([change for drawn in draws for change in _changes(drawn, person)])
    return Drawn(
        draws=draws,
        version=version,
        cost_points=count * version.cost_points,
        total_points=person.total_points,
        points_version=person.points_version,
        remaining_today=remaining_today,
        pity_current=counter.current,
    )


def used_today(*, person_id: int, wheel_id: int, moment: datetime) -> int:
    """How often a person has drawn on a wheel since midnight."""
    return Draw.objects.filter(
        person_id=person_id, wheel_id=wheel_id, created_at__gte=start_of_day(moment)
    ).count()


# --- Before the first draw ----------------------------------------------------------------------
def _check_daily_limit(*, person_id: int, version: WheelVersion, count: int) -> int | None:
    """How many draws are left today after `count` more; None without a limit."""
    if version.daily_limit is None:
        return None
    now = timezone.now()
    used = used_today(person_id=person_id, wheel_id=version.wheel_id, moment=now)
    if used + count > version.daily_limit:
        raise DailyLimitReached(
            limit=version.daily_limit,
            used=used,
            resets_at=start_of_day(now, days_later=1).isoformat(),
        )
    return version.daily_limit - used - count


def _lock_pity_counter(*, person_id: int, wheel_id: int) -> PityCounter:
    """Hold the counter until commit. A new one is not saved yet: the seed pair guards its place."""
    for counter in PityCounter.objects.filter(person_id=person_id, wheel_id=wheel_id).locked():
        return counter
    return PityCounter(person_id=person_id, wheel_id=wheel_id)


def _tickets(pair: SeedPair, count: int) -> list[int]:
    server_seed = seeds.reveal(pair)
    return [
        decision.draw_ticket(
            server_seed=server_seed, client_seed=pair.client_seed, nonce=pair.next_nonce + offset
        )
        for offset in range(count)
    ]


def _within_reach(sheet: OddsSheet, *, tickets: list[int], pity: int) -> Iterable[PublishedPrize]:
    """The prizes that these draws may give: each ticket's own, and pity prizes when pity is near.

    All of them are locked at once, in order, so that two rows of draws never wait for each other
    crosswise.
    """
    reachable = {decision.walk(sheet.prizes, ticket) for ticket in tickets}
    longest = pity + len(tickets) - 1  # before the last draw, if none of them gives a pity prize
    if decision.is_pity_draw(sheet, pity_before=longest):
        reachable.update(sheet.pity_prizes())
    return reachable


def _lock_payer(person_id: int, *, cost: int) -> User:
    """Hold the person's points until commit; they must cover the cost before the first draw."""
    person = lock_person(person_id)
    if person.total_points < cost:
        raise NotEnoughPointsToDraw(
            required=cost, current=person.total_points, shortage=cost - person.total_points
        )
    return person


# --- One draw -----------------------------------------------------------------------------------
def _draw_once(
    *,
    ticket: int,
    nonce: int,
    pair: SeedPair,
    version: WheelVersion,
    counter: PityCounter,
    available: Availability,
) -> Draw:
    """Decide one draw and open its order; moves the pity counter on, but writes no draw yet."""
    decided = decision.decide(
        version.sheet, ticket=ticket, pity_before=counter.current, is_gone=available.is_gone
    )
    given = decided.given
    available.count(given)
    draw_id = new_draw_id()
    order = _open_order(
        given,
        person_id=pair.person_id,
        draw_id=str(draw_id),
        shop_id=version.wheel.shop_id,
        available=available,
    )
    drawn = Draw(
        id=draw_id,
        person_id=pair.person_id,
        wheel_id=version.wheel_id,
        version=version,
        seed_pair=pair,
        nonce=nonce,
        ticket=ticket,
        landed_prize_id=decided.landed.prize_id,
        prize_id=given.prize_id,
        is_pity=decided.is_pity,
        pity_before=counter.current,
        stock_out=decided.stock_out,
        near_miss=decision.is_near_miss(version.sheet, given=given),
        cost_points=version.cost_points,
        value_given=given.value,
        order=order,
        created_at=available.moment,
    )
    counter.current = decision.pity_after(given=given, pity_before=counter.current)
    return drawn


def _open_order(
    given: PublishedPrize,
    *,
    person_id: int,
    draw_id: str,
    shop_id: int | None,
    available: Availability,
) -> Order | None:
    """Open the order of a prize; None for one that nobody has to hand over."""
    if given.kind.product_kind is None:
        return None
    product = None if given.product_id is None else available.products[given.product_id]
    return order_for_prize(
        person_id=person_id,
        draw_id=draw_id,
        product=product,
        name=given.name,
        kind=given.kind.product_kind,
        shop_id=shop_id,
    )


def _changes(drawn: Draw, person: User) -> Iterator[Change]:
    """What a draw cost, and what it gave, for the ledger of the person, who is held."""
    given = drawn.version.sheet.prize(drawn.prize_id)
    points = [(PointsSource.LOTTERY, -drawn.cost_points)]
    if given.kind.credits_points:
        points.append((PointsSource.PRIZE, int(drawn.value_given)))
    for source, amount in points:
        if amount:
            yield Change(person=person, points=amount, source=source, related_id=str(drawn.pk))
