"""Publishing a wheel: its draft, when nothing is wrong with it, becomes a version for ever."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from django.db.models import F
from django.utils.translation import gettext as _

from catalog.models import Product
from lottery.errors import NotPublishable
from lottery.limits import MAX_PRIZE_VALUE
from lottery.models import Prize, Wheel, WheelVersion
from lottery.odds import ANGLES, TICKETS, OddsSheet, PublishedPrize
from ops.errors import NotFound
from ops.services import audit
from ops.transactions import in_transaction


@in_transaction
def publish(*, wheel_id: int, author_id: int | None = None) -> WheelVersion:
    """Make the draft of a wheel the version in force; audited.

    Raises NotFound, and NotPublishable (3006) with everything that is wrong with the draft.
    Locks the wheel, then its prizes.
    """
    wheel = Wheel.objects.locked().filter(pk=wheel_id).first()
    if wheel is None:
        raise NotFound
    drafts = list(Prize.objects.filter(wheel=wheel).select_related("product").locked())
    drafts.sort(key=lambda prize: prize.angle)
    latest = WheelVersion.objects.filter(wheel=wheel).order_by("-number").first()
    earlier = latest.sheet if latest else None
    reasons = [*_wheel_reasons(wheel, drafts), *_prize_reasons(drafts, earlier)]
    if reasons or wheel.fallback_prize_id is None:
        raise NotPublishable(reasons)
    version = WheelVersion.objects.create(
        wheel=wheel,
        number=latest.number + 1 if latest else 1,
        name=wheel.name,
        organiser=wheel.organiser,
        cost_points=wheel.cost_points,
        daily_limit=wheel.daily_limit,
        pity_threshold=wheel.pity_threshold,
        fallback_prize_id=wheel.fallback_prize_id,
        prizes=[_published(prize).as_json() for prize in drafts],
        published_by_id=author_id,
    )
    Prize.objects.filter(wheel=wheel).update(
        published_quantity=F("quantity"), published_daily_cap=F("daily_cap")
    )
    audit.record(
        action="wheel.publish",
        row=wheel,
        before={"version": latest and latest.number},
        after={"version": version.number},
        shop_id=wheel.shop_id,
        actor_id=author_id,
    )
    return version


def _published(prize: Prize) -> PublishedPrize:
    return PublishedPrize(
        prize_id=prize.pk,
        angle=prize.angle,
        weight=prize.weight,
        is_activity=prize.is_activity,
        is_pity_prize=prize.is_pity_prize,
        name=prize.name,
        type=prize.type,
        value=prize.value,
        color=prize.color,
        special_effect=prize.special_effect,
        product_id=prize.product_id,
        quantity=prize.quantity,
        daily_cap=prize.daily_cap,
    )


def _wheel_reasons(wheel: Wheel, drafts: Sequence[Prize]) -> Iterator[str]:
    """What is wrong with the wheel as a whole."""
    if [prize.angle for prize in drafts] != list(ANGLES):
        yield _("A wheel has eight prizes, at 0, 45, … 315 degrees; this one has %(count)d.") % {
            "count": len(drafts)
        }
    total = sum(prize.weight for prize in drafts)
    if total != TICKETS:
        yield _("The probabilities add up to %(total)s instead of 1.0000: %(missed)s.") % {
            "total": f"{Decimal(total) / TICKETS:.4f}",
            "missed": f"{Decimal(total - TICKETS) / TICKETS:+.4f}",
        }
    fallback = next((prize for prize in drafts if prize.pk == wheel.fallback_prize_id), None)
    if fallback is None:
        yield _("The fallback prize has to be one of the prizes of this wheel.")
    elif _published(fallback).is_scarce or fallback.is_pity_prize:
        yield _(
            "The fallback prize has no product, no quantity and no daily cap, and is no pity prize."
        )
    # One of weight 0 would not do: when all others are gone, a pity draw has to hit something.
    sure = [
        prize
        for prize in drafts
        if prize.is_pity_prize and prize.weight and not _published(prize).is_scarce
    ]
    if wheel.pity_threshold is not None and not sure:
        yield _(
            "A wheel with pity has a pity prize that can be drawn and never runs out: no product, "
            "no quantity and no daily cap."
        )


def _prize_reasons(drafts: Sequence[Prize], earlier: OddsSheet | None) -> Iterator[str]:
    """What is wrong with single prizes."""
    published = {prize.prize_id: prize for prize in earlier.prizes} if earlier else {}
    for prize in drafts:
        named = {"name": prize.name}
        if _worth(prize) > MAX_PRIZE_VALUE:
            yield _("%(name)s: a prize may be worth at most %(limit)s yuan.") % {
                **named,
                "limit": f"{MAX_PRIZE_VALUE:,}",
            }
        kind = prize.kind
        if kind.credits_points and (prize.value < 1 or prize.value % 1):
            yield _("%(name)s: the value is a whole number of points from 1 on.") % named
        if kind.needs_product and prize.product is None:
            yield _("%(name)s: a virtual prize names the product whose codes it gives.") % named
        if prize.product is not None and prize.product.kind != kind.product_kind:
            yield _("%(name)s: its product is of another kind.") % named
        if prize.quantity is not None and prize.quantity < prize.given:
            yield _("%(name)s: it was given %(given)d times already, more than its quantity.") % {
                **named,
                "given": prize.given,
            }
        before = published.get(prize.pk)
        if before and _published(prize).is_counted and not before.is_counted:
            yield (
                _(
                    "%(name)s was given without being counted. To limit it, take it off the wheel "
                    "and put it there as a new prize."
                )
                % named
            )


def _worth(prize: Prize) -> Decimal:
    """In yuan; points are no money. A product is worth its market price at least."""
    if not prize.kind.is_money:
        return Decimal(0)
    product: Product | None = prize.product
    return max(prize.value, product.market_price if product else Decimal(0))
