"""Wheels, what is on them and what was published; draws, and the seeds that decided them."""

from lottery.models.draws import Draw, PityCounter, SeedPair, SeedState
from lottery.models.wheels import (
    MAX_PRIZE_VALUE,
    Prize,
    PrizeType,
    Wheel,
    WheelStatus,
    WheelVersion,
)

__all__ = [
    "MAX_PRIZE_VALUE",
    "Draw",
    "PityCounter",
    "Prize",
    "PrizeType",
    "SeedPair",
    "SeedState",
    "Wheel",
    "WheelStatus",
    "WheelVersion",
]
