"""The draw: the one place where a wheel costs and gives."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import PointsSource, User
from accounts.services.points import change_points
from catalog.models import Order, ProductKind
from catalog.services.orders import order_for_prize
from lottery import decision
from lottery.errors import DailyLimitReached, NotEnoughPointsToDraw, WheelNotOpen
from lottery.models import Draw, PityCounter, PrizeType, SeedPair, WheelVersion
from lottery.models.draws import new_draw_id
from lottery.models.prizes import WITHOUT_ORDER
from lottery.odds import PublishedPrize, Sheet
from lottery.services import availability, seeds, wheels
from ops.days import start_of_day

MAX_COUNT = 10


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
def draw(*, person_id: int, wheel_id: int | None, count: int) -> Drawn:
    """Draw `count` times (1 to 10) on a wheel, None for the default one: all of them or none.

    Each draw starts from stock, caps and pity as the one before left them. Raises, in this order:
    NotFound, WheelNotOpen, DailyLimitReached, NotEnoughPointsToDraw; a refused draw uses no nonce.

    Locks the person's seed pair, which carries the daily limit, and their pity counter; then at
    once every scarce prize and product within reach of these tickets; the person last.
    """
    version = wheels.version_in_force(wheel_id)
    if not version.wheel.is_open_at(timezone.now()):
        raise WheelNotOpen
    sheet = wheels.sheet_of(version)
    pair = seeds.lock_active(person_id)
    remaining_today = _check_daily_limit(person_id=person_id, version=version, count=count)
    counter = _lock_pity_counter(person_id=person_id, wheel_id=version.wheel_id)
    pity = counter.current
    tickets = _tickets(pair, count)
    goods = availability.lock(_within_reach(sheet, tickets=tickets, pity=pity))
    person = _lock_payer(person_id, cost=count * version.cost_points)

    draws = []
    for nonce, ticket in enumerate(tickets, start=pair.next_nonce):
        decided = decision.decide(
            sectors=sheet.prizes,
            fallback_prize_id=sheet.fallback_prize_id,
            threshold=sheet.pity_threshold,
            pity_before=pity,
            ticket=ticket,
            is_gone=goods.is_gone,
        )
        given = decided.given
        goods.take(given)
        draw_id = new_draw_id()
        draws.append(
            Draw(
                id=draw_id,
                person_id=person_id,
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
                near_miss=decision.is_near_miss(sectors=sheet.prizes, given=given),
                cost_points=version.cost_points,
                value_given=given.value,
                order=_open_order(person_id, str(draw_id), given, version.wheel.shop_id),
                created_at=goods.moment,
            )
        )
        pity = decision.pity_after(given=given, pity_before=pity)
    Draw.objects.bulk_create(draws)
    goods.write_counts()
    SeedPair.objects.filter(pk=pair.pk).update(next_nonce=F("next_nonce") + count)
    counter.current = pity
    counter.save()
    total_points, points_version = _book(person, draws, sheet)
    return Drawn(
        draws=draws,
        version=version,
        cost_points=count * version.cost_points,
        total_points=total_points,
        points_version=points_version,
        remaining_today=remaining_today,
        pity_current=pity,
    )


def used_today(*, person_id: int, wheel_id: int, moment: datetime) -> int:
    """How often a person has drawn on a wheel since midnight."""
    return Draw.objects.filter(
        person_id=person_id, wheel_id=wheel_id, created_at__gte=start_of_day(moment)
    ).count()


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


def _within_reach(sheet: Sheet, *, tickets: list[int], pity: int) -> Iterable[PublishedPrize]:
    """The prizes that these draws may give: each ticket's own, and pity prizes when pity is near.

    All of them are locked at once, in order, so that two rows of draws never wait for each other
    crosswise.
    """
    reachable = {decision.walk(sheet.prizes, ticket) for ticket in tickets}
    longest = pity + len(tickets) - 1  # before the last draw, if none of them gives a pity prize
    if decision.is_pity_draw(threshold=sheet.pity_threshold, pity_before=longest):
        reachable.update(sheet.pity_prizes())
    return reachable


def _lock_payer(person_id: int, *, cost: int) -> User:
    """Hold the person's points until commit; they must cover the cost before the first draw."""
    person: User = User.objects.locked().get(pk=person_id)
    if person.total_points < cost:
        raise NotEnoughPointsToDraw(
            required=cost, current=person.total_points, shortage=cost - person.total_points
        )
    return person


def _open_order(
    person_id: int, draw_id: str, prize: PublishedPrize, shop_id: int | None
) -> Order | None:
    if prize.type in WITHOUT_ORDER:
        return None
    return order_for_prize(
        person_id=person_id,
        draw_id=draw_id,
        product_id=prize.product_id,
        name=prize.name,
        kind=ProductKind(prize.type),
        shop_id=shop_id,
    )


def _book(person: User, draws: list[Draw], sheet: Sheet) -> tuple[int, int]:
    """Write the ledger, draw by draw; returns the balance and the newest entry's number."""
    balance = person.total_points, person.points_version
    for draw in draws:
        changes = [(PointsSource.LOTTERY, -draw.cost_points)]
        if sheet.prize(draw.prize_id).type == PrizeType.POINTS:
            changes.append((PointsSource.PRIZE, int(draw.value_given)))
        for source, points in changes:
            if points:
                entry = change_points(
                    person_id=person.pk, points=points, source=source, related_id=str(draw.id)
                )
                balance = entry.balance_after, entry.sequence
    return balance
