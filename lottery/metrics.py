"""What is counted of draws."""

from lottery.prize_kinds import PrizeType
from ops.measures import Counter, Label

DRAWS = Counter("platform_draws_total", "Draws.")
PRIZES = Counter(
    "platform_prizes_total", "Prizes that draws gave.", Label("kind", PrizeType.values)
)
SEEDS_ROTATED = Counter("platform_seeds_rotated_total", "Seeds that people changed.")
