"""The platform's own samples of its metrics: what alerts and charts are read from.

Each machine takes them of itself, under its id (`ops.services.machine`). They are thinned with age.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Any

from ops.models import ChartSample, MetricSample
from ops.monitoring import figures
from ops.monitoring.series import Series

TAKEN_EVERY = 10  # seconds
# A machine whose newest sample is older says nothing any more.
SPEAKS_FOR = timedelta(seconds=60)
KEPT_FOR = timedelta(days=90)
# From an age on, one sample is kept of each so many seconds.
THINNED = (
    (timedelta(hours=1), 60),
    (timedelta(days=1), 300),
    (timedelta(days=7), 3600),
)

# What charts are drawn from: a period of 90 days is shown beside the one before.
FIGURES_KEPT_FOR = timedelta(days=181)
FIGURES_THINNED = (*THINNED, (timedelta(days=30), 4 * 3600))

type Readings = Mapping[Series, float]


def keep(readings: Readings, *, host: str, now: datetime) -> None:
    """Keep what a machine reads of itself at this moment; of two for one moment the first stays."""
    said = {str(series): value for series, value in readings.items()}
    MetricSample.objects.bulk_create(
        [MetricSample(host=host, taken_at=now, readings=said)], ignore_conflicts=True
    )
    ChartSample.objects.bulk_create(
        [ChartSample(host=host, taken_at=now, figures=figures.of(readings))],
        ignore_conflicts=True,
    )


class Samples:
    """What the machines say now, and what they said a while ago."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self.before = cache(self._before)  # rules with one window ask for the same

    def newest(self) -> dict[str, Readings]:
        """The readings of every machine that speaks, by its name."""
        return self._newest

    @cached_property
    def _newest(self) -> dict[str, Readings]:
        return self._one_of_each(self._now - SPEAKS_FOR, self._now, order="taken_at")

    def _before(self, seconds: int) -> dict[str, Readings]:
        """What each machine read so many seconds ago, or first after that."""
        begun = self._now - timedelta(seconds=seconds)
        earlier = self._one_of_each(begun - SPEAKS_FOR, begun, order="taken_at")
        first_since = self._one_of_each(begun, self._now, order="-taken_at", but=earlier)
        return earlier | first_since

    def _one_of_each(
        self, begin: datetime, end: datetime, *, order: str, but: Collection[str] = ()
    ) -> dict[str, Readings]:
        """The sample of each machine that comes last in this order, of this span of time."""
        rows = MetricSample.objects.filter(taken_at__gt=begin, taken_at__lte=end)
        chosen = dict(rows.exclude(host__in=but).order_by(order).values_list("host", "pk"))
        found = MetricSample.objects.in_bulk(chosen.values())
        return {host: _read(found[pk]) for host, pk in chosen.items() if pk in found}


def _read(sample: MetricSample) -> Readings:
    return {Series.read(text): value for text, value in sample.readings.items()}


def thin(*, now: datetime) -> int:
    """Delete samples that are too old, and of older ones all but the first of each step.

    Returns how many were deleted.
    """
    return _thin(MetricSample, THINNED, kept_for=KEPT_FOR, now=now) + _thin(
        ChartSample, FIGURES_THINNED, kept_for=FIGURES_KEPT_FOR, now=now
    )


def spacing(age: timedelta) -> int:
    """How many seconds lie between two figures of a machine that are as old as this."""
    return max([TAKEN_EVERY, *(step for begin, step in FIGURES_THINNED if age >= begin)])


type Sampled = type[MetricSample | ChartSample]
type Steps = Sequence[tuple[timedelta, int]]


def _thin(model: Sampled, steps: Steps, *, kept_for: timedelta, now: datetime) -> int:
    deleted, _by_model = model.objects.filter(taken_at__lt=now - kept_for).delete()
    ends = [now - age for age, _step in steps[1:]] + [now - kept_for]
    for (age, step), end in zip(steps, ends, strict=True):
        deleted += _thin_between(model, end, now - age, step=step)
    return deleted


def _thin_between(model: Sampled, begin: datetime, end: datetime, *, step: int) -> int:
    """Keep the first sample of each machine in each `step` seconds of this span."""
    kept: set[tuple[Any, ...]] = set()
    too_many = []
    rows = model.objects.filter(taken_at__gte=begin, taken_at__lt=end).order_by("taken_at")
    for pk, host, taken_at in rows.values_list("pk", "host", "taken_at"):
        slot = (host, int(taken_at.timestamp()) // step)
        if slot in kept:
            too_many.append(pk)
        kept.add(slot)
    deleted, _by_model = model.objects.filter(pk__in=too_many).delete()
    return deleted
