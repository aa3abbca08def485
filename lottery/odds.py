"""An odds sheet: a wheel as it was published, read from a version once and then kept."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Self

from lottery.decision import TICKETS, Sector


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPrize(Sector):
    """A prize as it stood when its version was published."""

    name: str
    type: str
    value: Decimal
    color: str
    special_effect: str = ""
    product_id: int | None = None
    quantity: int | None = None
    daily_cap: int | None = None

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
        """What a version keeps."""
        return {**asdict(self), "value": str(self.value)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `as_json` wrote."""
        return cls(**{**data, "value": Decimal(data["value"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
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
