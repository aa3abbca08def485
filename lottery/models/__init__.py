"""Wheels, what is on them and what was published; draws, and the seeds that decided them."""

from lottery.models.draws import Draw
from lottery.models.pity_counters import PityCounter
from lottery.models.prizes import Prize
from lottery.models.seeds import SeedMaker, SeedPair, SeedState
from lottery.models.versions import WheelVersion
from lottery.models.wheels import Wheel, WheelStatus
from lottery.prize_kinds import PrizeType

__all__ = [
    "Draw",
    "PityCounter",
    "Prize",
    "PrizeType",
    "SeedMaker",
    "SeedPair",
    "SeedState",
    "Wheel",
    "WheelStatus",
    "WheelVersion",
]
