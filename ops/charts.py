"""What the status page draws: an app declares its charts beside its measures, in `metrics.py`.

Of each sample of the metrics the few figures are kept that charts need (`ops.monitoring.figures`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.utils.translation import gettext_lazy as _

from ops.measures import Counter, Gauge, Histogram, Measure, ProcessGauge
from ops.registry import Registry


class Group(models.TextChoices):
    """What a chart is about; the page shows them in this order."""

    SERVING = "serving", _("Requests and sockets")
    WORKING = "working", _("Processes and queue")
    BUSINESS = "business", _("Business")


class Shows(Enum):
    """What a chart shows of its measure."""

    LEVEL = "level"  # how much there is
    COUNT = "count"  # how many came within a step
    PER_SECOND = "per second"  # how much came in a second
    MEAN = "mean"  # of what came within a step


class Figure(NamedTuple):
    """A number that is kept of each sample: what these series of a metric come to together."""

    name: str
    metric: str
    labels: tuple[tuple[str, str], ...]
    only_grows: bool


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart of the status page, under a name of its own.

    `scale` makes the drawn number of what the measure has: seconds become milliseconds by 1000.
    """

    name: str
    title: Any
    group: Group
    measure: Measure
    shows: Shows
    labels: Mapping[str, str] = field(default_factory=dict)  # a value that ends in * is a beginning
    unit: Any = ""
    scale: float = 1

    def __post_init__(self) -> None:
        fitting = {
            Shows.LEVEL: Gauge | ProcessGauge,
            Shows.COUNT: Counter,
            Shows.PER_SECOND: Counter,
            Shows.MEAN: Histogram,
        }
        if not isinstance(self.measure, fitting[self.shows]):
            raise ImproperlyConfigured(f"The chart {self.name} cannot show {self.measure!r} so.")
        charts.register(self.name, self)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What is kept for it: one figure; of a mean the sum, and of how many."""
        parts = ("_sum", "_count") if self.shows is Shows.MEAN else ("",)
        labels = tuple(sorted(self.labels.items()))
        said = ",".join(f'{name}="{value}"' for name, value in labels)
        return tuple(
            Figure(
                name=f"{self.measure.name}{part}{{{said}}}",
                metric=f"{self.measure.name}{part}",
                labels=labels,
                only_grows=self.shows is not Shows.LEVEL,
            )
            for part in parts
        )


charts: Registry[Chart] = Registry()


def in_order() -> Iterator[tuple[Group, list[Chart]]]:
    """The groups that have charts, with these in the order in which they were declared."""
    for group in Group:
        if found := [chart for chart in charts.values() if chart.group is group]:
            yield group, found
