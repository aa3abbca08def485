"""The platform's own samples of its metrics: what alerts and charts are read from.

Each machine takes them of itself, under its id (`ops.services.machine`). They are thinned with age.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, cached_property, reduce
from operator import or_
from typing import Any, NamedTuple

from django.db.models import Q

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
type ByMetric = Mapping[str, Readings]  # the same by the metric of the series


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


# --- What was read --------------------------------------------------------------------------------
class Row(NamedTuple):
    """A sample, and what nothing else can be taken for it by: a row is never written again."""

    host: str
    pk: int
    taken_at: datetime
    updated_at: datetime


# What was looked at by the last one that looked. Two looks at one sample are the rule: rules are
# compared twice as often as samples are taken.
_looked_at: dict[Row, ByMetric] = {}


def _rows(condition: Q) -> Iterator[Row]:
    rows = MetricSample.objects.filter(condition).order_by("taken_at")
    return map(Row._make, rows.values_list(*Row._fields))


def _read(wanted: Collection[Row]) -> dict[Row, ByMetric]:
    """The readings of these samples, as far as they are still there."""
    global _looked_at
    looked_at = _looked_at
    found = {row: looked_at[row] for row in wanted if row in looked_at}
    unread = {row.pk: row for row in wanted if row not in found}
    if unread:
        read = MetricSample.objects.filter(pk__in=unread).values_list("pk", "readings")
        found |= {unread[pk]: _by_metric(readings) for pk, readings in read}
    _looked_at = found
    return found


def _by_metric(readings: Mapping[str, float]) -> ByMetric:
    by_metric: dict[str, dict[Series, float]] = {}
    for text, value in readings.items():
        series = Series.read(text)
        by_metric.setdefault(series.metric, {})[series] = value
    return by_metric


# --- What is asked for ----------------------------------------------------------------------------
class Samples:
    """What the machines say now, and what they said a while ago; each sample read once.

    `windows` are the spans of time, in seconds, that somebody will ask for: the samples of all of
    them are found by one statement.
    """

    def __init__(self, now: datetime, *, windows: Collection[int] = ()) -> None:
        self._now = now
        self._windows = frozenset(windows)
        self.before = cache(self._before)  # rules with one window ask for the same

    def newest(self) -> dict[str, ByMetric]:
        """The readings of every machine that speaks, by its name."""
        return self._found[0]

    @cached_property
    def _found(self) -> dict[int, dict[str, ByMetric]]:
        return self._of({0, *self._windows})

    def _before(self, seconds: int) -> dict[str, ByMetric]:
        found = self._found if seconds in self._windows else self._of({0, seconds})
        return found[seconds]

    def _of(self, ages: Collection[int]) -> dict[int, dict[str, ByMetric]]:
        """What each machine read so many seconds ago, or first after that; 0 is among the ages."""
        chosen = self._last_of_each(ages)
        for age in ages:
            if late := chosen[0].keys() - chosen[age].keys():
                chosen[age] |= self._first_since(age, late)
        read = _read({row for of_age in chosen.values() for row in of_age.values()})
        return {
            age: {host: read[row] for host, row in of_age.items() if row in read}
            for age, of_age in chosen.items()
        }

    def _last_of_each(self, ages: Collection[int]) -> dict[int, dict[str, Row]]:
        """Of each age the newest sample of every machine that spoke until then."""
        ends = {age: self._now - timedelta(seconds=age) for age in ages}
        chosen: dict[int, dict[str, Row]] = {age: {} for age in ages}
        spans = (Q(taken_at__gt=end - SPEAKS_FOR, taken_at__lte=end) for end in ends.values())
        for row in _rows(reduce(or_, spans)):
            for age, end in ends.items():
                if end - SPEAKS_FOR < row.taken_at <= end:
                    chosen[age][row.host] = row
        return chosen

    def _first_since(self, age: int, hosts: Collection[str]) -> dict[str, Row]:
        """The first sample of machines that said nothing before."""
        begun = self._now - timedelta(seconds=age)
        since = _rows(Q(host__in=hosts, taken_at__gt=begun, taken_at__lte=self._now))
        return {row.host: row for row in reversed(list(since))}


# --- Thinning -------------------------------------------------------------------------------------
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
