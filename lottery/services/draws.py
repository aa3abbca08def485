"""The draw: the one place where a wheel costs and gives."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from accounts.models import PointsSource, User
from accounts.services.merged_accounts import account_ids
from accounts.services.points import Change, lock_open, write_entries
from catalog.models import Product
from catalog.services.orders import WonPrize, orders_for_prizes
from lottery import decision
from lottery.errors import DailyLimitReached, NotEnoughPointsToDraw, WheelNotOpen
from lottery.metrics import DRAWS, PRIZES
from lottery.models import Draw, PityCounter, SeedPair, WheelVersion
from lottery.models.draws import new_draw_id
from lottery.odds import OddsSheet, PublishedPrize
from lottery.services import availability, seeds, wheels
from lottery.services.availability import Availability
from lottery.today_sql import pity_and_draws_since
from ops.days import start_of_day
from ops.transactions import in_transaction


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


@in_transaction
def draw(
    *, person_id: int, wheel_id: int | None = None, default_wheel: bool = False, count: int
) -> Drawn:
    """Draw `count` times (1 to 10) on a wheel, or on the default one: all of them or none.

    Each draw starts from stock, caps and pity as the one before left them. Raises, in this order:
    NotFound, WheelNotOpen, DailyLimitReached, NotEnoughPointsToDraw; a refused draw uses no nonce.

    Locks the person's seed pair, which carries the daily limit and the pity counter; then at once
    every scarce prize and product within reach of these tickets; the person last.
    """
    version = wheels.version_in_force(wheel_id=wheel_id, default_wheel=default_wheel)
    if not version.wheel.is_open_at(timezone.now()):
        raise WheelNotOpen
    pair = seeds.lock_active(person_id)
    # After the seed pair is held, without which nobody moves either.
    pity, used = pity_and_used_today(person_id=person_id, wheel_id=version.wheel_id)
    remaining_today = _check_daily_limit(version, used=used, count=count)
    tickets = _tickets(pair, count)
    available = availability.lock(_within_reach(version.sheet, tickets=tickets, pity=pity))
    person = _lock_payer(person_id, cost=count * version.cost_points)

    draws: list[Draw] = []
    for nonce, ticket in enumerate(tickets, start=pair.next_nonce):
        drawn, pity = _decide(
            ticket=ticket, nonce=nonce, pair=pair, version=version, pity=pity, available=available
        )
        draws.append(drawn)
    _open_orders(draws, available.products)
    Draw.objects.bulk_create(draws)
    available.write_counts()
    SeedPair.objects.filter(pk=pair.pk).update(next_nonce=F("next_nonce") + count)
    PityCounter.objects.set_to(pity, person_id=person_id, wheel_id=version.wheel_id)
    write_entries([change for drawn in draws for change in _changes(drawn, person)])
    transaction.on_commit(partial(_count, draws), robust=True)
    return Drawn(
        draws=draws,
        version=version,
        cost_points=count * version.cost_points,
        total_points=person.total_points,
        points_version=person.points_version,
        remaining_today=remaining_today,
        pity_current=pity,
    )


def pity_and_used_today(*, person_id: int, wheel_id: int) -> tuple[int, int]:
    """A person's pity counter on a wheel, and how often they have drawn on it since midnight.

    With the draws of accounts that were merged into theirs: a merge gives nobody a second day.
    """
    since = start_of_day(timezone.now())
    return pity_and_draws_since(person_id=person_id, wheel_id=wheel_id, since=since)


# --- Before the first draw ----------------------------------------------------------------------
def _check_daily_limit(version: WheelVersion, *, used: int, count: int) -> int | None:
    """How many draws are left today after `count` more; None without a limit."""
    if version.daily_limit is None:
        return None
    if used + count > version.daily_limit:
        raise DailyLimitReached(
            limit=version.daily_limit,
            used=used,
            resets_at=start_of_day(timezone.now(), days_later=1).isoformat(),
        )
    return version.daily_limit - used - count


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
    person = lock_open(person_id)
    if person.total_points < cost:
        raise NotEnoughPointsToDraw(
            required=cost, current=person.total_points, shortage=cost - person.total_points
        )
    return person


# --- One draw -----------------------------------------------------------------------------------
def _decide(
    *,
    ticket: int,
    nonce: int,
    pair: SeedPair,
    version: WheelVersion,
    pity: int,
    available: Availability,
) -> tuple[Draw, int]:
    """Decide one draw, which is written later, and say what the pity counter is after it."""
    decided = decision.decide(
        version.sheet, ticket=ticket, pity_before=pity, is_gone=available.is_gone
    )
    given = decided.given
    available.count(given)
    drawn = Draw(
        id=new_draw_id(),
        person_id=pair.person_id,
        wheel_id=version.wheel_id,
        version=version,
        seed_pair=pair,
        nonce=nonce,
        ticket=ticket,
        landed_prize_id=decided.landed.prize_id,
        prize_id=given.prize_id,
        is_pity=decided.is_pity,
        pity_before=pity,
        stock_out=decided.stock_out,
        near_miss=decision.is_near_miss(version.sheet, given=given),
        cost_points=version.cost_points,
        value_given=given.value,
        created_at=available.moment,
    )
    return drawn, decision.pity_after(given=given, pity_before=pity)


def _count(draws: Sequence[Draw]) -> None:
    DRAWS.add(len(draws))
    for drawn in draws:
        PRIZES.add(1, drawn.version.sheet.prize(drawn.prize_id).type)


# --- What the draws came to -----------------------------------------------------------------------
def _open_orders(draws: Sequence[Draw], products: Mapping[int, Product]) -> None:
    """Open the orders of those draws whose prize somebody has to hand over."""
    won = [(drawn, prize) for drawn in draws if (prize := _won(drawn, products))]
    if not won:
        return
    prizes = [prize for _drawn, prize in won]
    orders = orders_for_prizes(person_id=draws[0].person_id, prizes=prizes)
    for (drawn, _prize), order in zip(won, orders, strict=True):
        drawn.order = order


def _won(drawn: Draw, products: Mapping[int, Product]) -> WonPrize | None:
    """What has to be handed over; None for a prize that nobody has to."""
    given = drawn.version.sheet.prize(drawn.prize_id)
    if given.kind.product_kind is None:
        return None
    return WonPrize(
        draw_id=str(drawn.pk),
        product=None if given.product_id is None else products[given.product_id],
        name=given.name,
        kind=given.kind.product_kind,
        shop_id=drawn.version.wheel.shop_id,
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


def counted_of(person: User) -> dict[str, int]:
    """How often a person drew, and how often they won something, as their statistics say it."""
    is_win = Q(order__isnull=False) | Q(value_given__gt=0)
    draws = Draw.objects.filter(person__in=account_ids(person))
    counted: dict[str, int] = draws.aggregate(draws=Count("pk"), wins=Count("pk", filter=is_win))
    return counted
