"""What is counted of draws."""

from django.utils.translation import pgettext_lazy

from lottery.prize_kinds import PrizeType
from ops.charts import Chart, Group, Shows
from ops.measures import Counter, Label

DRAWS = Counter("platform_draws_total", "Draws.")
PRIZES = Counter(
    "platform_prizes_total", "Prizes that draws gave.", Label("kind", PrizeType.values)
)
SEEDS_ROTATED = Counter("platform_seeds_rotated_total", "Seeds that people changed.")

DRAWS_CHART = Chart(
    name="draws",
    title=pgettext_lazy("how many", "Draws"),
    group=Group.BUSINESS,
    measure=DRAWS,
    shows=Shows.COUNT,
)
