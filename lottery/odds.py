"""An odds sheet: a wheel as it was published, with the rules that decide its draws."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Self

from lottery.prize_kinds import PRIZE_KINDS, PrizeKind, PrizeType

TICKETS = 10_000  # the weights of a published wheel add up to this
SECTOR_DEGREES = 45
ANGLES = tuple(range(0, 360, SECTOR_DEGREES))


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPrize:
    """A prize as it stood when its version was published.

    `weight` is its probability × 10,000; `value` is in points for a prize of points, else in yuan.
    """

    prize_id: int
    angle: int
    weight: int
    is_activity: bool = False
    is_pity_prize: bool = False
    name: str
    type: str
    value: Decimal
    color: str
    special_effect: str = ""
    product_id: int | None = None
    quantity: int | None = None
    daily_cap: int | None = None

    @property
    def kind(self) -> PrizeKind:
        """What giving it comes to."""
        return PRIZE_KINDS[PrizeType(self.type)]

    @property
    def probability(self) -> Decimal:
        """Four decimals; the weights are what counts."""
        return Decimal(self.weight) / TICKETS

    @property
    def is_counted(self) -> bool:
        """Whether its row counts how often it was given; others share no row between draws."""
        return self.quantity is not None or self.daily_cap is not None

    @property
    def is_scarce(self) -> bool:
        """Whether it can run out: such a prize is neither the fallback nor a sure pity prize."""
        return self.is_counted or self.product_id is not None

    def as_json(self) -> dict[str, Any]:
        """What a version stores of it."""
        return {**asdict(self), "value": str(self.value)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `as_json` wrote."""
        return cls(**{**data, "value": Decimal(data["value"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class OddsSheet:
    """The prizes of a version by angle, and the rules that decide a draw."""

    prizes: tuple[PublishedPrize, ...]
    fallback_prize_id: int
    pity_threshold: int | None

    def prize(self, prize_id: int) -> PublishedPrize:
        """The prize with this id; raises KeyError when it is not on this sheet."""
        for prize in self.prizes:
            if prize.prize_id == prize_id:
                return prize
        raise KeyError(prize_id)

    def pity_prizes(self) -> Iterable[PublishedPrize]:
        """What a pity draw chooses from."""
        return (prize for prize in self.prizes if prize.is_pity_prize)
