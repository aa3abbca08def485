"""Which version of a wheel is in force, and whether people may draw on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from lottery.models import Prize, PrizeType, Wheel, WheelStatus, WheelVersion
from lottery.odds import ANGLES
from ops.errors import NotFound
from ops.services import audit
from ops.services.audit import Change
from ops.services.kept import kept
from ops.transactions import in_transaction


def version_in_force(wheel_id: int | None = None, *, default_wheel: bool = False) -> WheelVersion:
    """The newest version of a wheel, or of the wheel marked default, with its wheel.

    Raises NotFound when it was never published, or there is no such wheel: None is the id of none.
    Everybody gets the same one, for reading alone, while no wheel changes (`ops.services.kept`).
    """
    key = ("version in force", wheel_id, default_wheel)
    read = partial(_newest_version, wheel_id, default_wheel=default_wheel)
    return kept("lottery", key, read, size=_size_of)


def _size_of(version: WheelVersion) -> int:
    """Roughly, in bytes: the prizes as they were stored and as they are read."""
    return 2_000 + 2_000 * len(version.prizes)


def _newest_version(wheel_id: int | None, *, default_wheel: bool) -> WheelVersion:
    wanted = {"wheel__is_default": True} if default_wheel else {"wheel_id": wheel_id}
    versions = WheelVersion.objects.select_related("wheel").filter(**wanted)
    newest = versions.order_by("-number").first()
    if newest is None:
        raise NotFound
    return newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Sector:
    """A prize of a new wheel; `value` is in points for a prize of points, else in yuan."""

    name: str
    type: PrizeType
    probability: Decimal
    color: str
    value: Decimal = Decimal(0)
    is_pity_prize: bool = False


@in_transaction
def make_draft(
    *,
    name: str,
    sectors: Sequence[Sector],
    cost_points: int,
    shop_id: int | None = None,
    organiser: str = "",
    daily_limit: int | None = None,
    pity_threshold: int | None = None,
    author_id: int | None = None,
) -> Wheel:
    """Make a wheel with a prize in each of its eight sectors; audited.

    Nobody draws on it before it is published. Its fallback is the first sector that gives nothing.
    Raises ValueError for another number of sectors.
    """
    placed = list(zip(ANGLES, sectors, strict=True))
    wheel = Wheel.objects.create(
        name=name,
        shop_id=shop_id,
        organiser=organiser,
        cost_points=cost_points,
        daily_limit=daily_limit,
        pity_threshold=pity_threshold,
    )
    prizes = Prize.objects.bulk_create(
        Prize(
            wheel=wheel,
            angle=angle,
            name=sector.name,
            type=sector.type,
            value=sector.value,
            probability=sector.probability,
            color=sector.color,
            is_pity_prize=sector.is_pity_prize,
        )
        for angle, sector in placed
    )
    wheel.fallback_prize = next((one for one in prizes if one.kind.is_nothing), None)
    wheel.save(update_fields=["fallback_prize"])
    audit.record(
        action="wheel.add",
        row=wheel,
        after={"name": name, "cost_points": cost_points, "prizes": len(prizes)},
        shop_id=shop_id,
        actor_id=author_id,
    )
    return wheel


@in_transaction
def change_status(*, wheel_id: int, status: WheelStatus, author_id: int | None = None) -> None:
    """Open, pause or close a wheel; it takes effect with the next draw, and is audited.

    Raises NotFound.
    """
    wheel = Wheel.objects.locked().filter(pk=wheel_id).first()
    if wheel is None:
        raise NotFound
    if wheel.status == status:
        return
    Wheel.objects.filter(pk=wheel_id).update(status=status)
    audit.record(
        action="wheel.change_status",
        row=wheel,
        before={"status": wheel.status},
        after={"status": status},
        shop_id=wheel.shop_id,
        actor_id=author_id,
    )


@in_transaction
def make_default(*, wheel_id: int, author_id: int | None = None) -> None:
    """Make this the wheel that a client gets that names none. Raises NotFound.

    Audited for this wheel and for the one that was it before.
    """
    concerned = Wheel.objects.filter(is_default=True) | Wheel.objects.filter(pk=wheel_id)
    rows = {wheel.pk: wheel for wheel in concerned.locked()}
    if wheel_id not in rows:
        raise NotFound
    # One default at any time: the old one steps down before the new one steps up.
    Wheel.objects.filter(pk__in=rows, is_default=True).update(is_default=False)
    Wheel.objects.filter(pk=wheel_id).update(is_default=True)
    audit.record_all(
        (
            Change(
                action="wheel.make_default",
                row=wheel,
                before={"is_default": wheel.is_default},
                after={"is_default": pk == wheel_id},
                shop_id=wheel.shop_id,
            )
            for pk, wheel in rows.items()
            if wheel.is_default != (pk == wheel_id)
        ),
        actor_id=author_id,
    )
