"""How what charts show went, over a period and over the one before it.

A step in which nothing was sampled has no value: a gap, and no zero. All charts of a page are read
by one query, of so many moments as their steps need.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf
from operator import attrgetter
from typing import Any, NamedTuple

from django.db.models import Min
from django.db.models.functions import TruncHour, TruncMinute
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.charts import Chart, Figure, Shows, charts
from ops.measures import ProcessGauge
from ops.models import ChartSample
from ops.monitoring import samples

# Two samples that lie further apart than so many times what is usual have a gap between them.
USUAL_TIMES = 2.5
LEAST_GAP = 90  # seconds
# A step of which a smaller part is known has no value, rather than one that is reckoned up from it.
LEAST_KNOWN = 0.75
# For so long a level stands that nothing was said after.
A_MOMENT = 1  # second


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A length of time that charts show, in steps."""

    name: str  # as addresses say it
    label: Any
    seconds: int
    step: int  # seconds
    of_a_step: Any  # what a count of a step is called
    reads: type[TruncMinute | TruncHour] | None = None  # the first sample of each; None: all

    @property
    def steps(self) -> int:
        """How many values a chart has of it."""
        return self.seconds // self.step

    @property
    def grain(self) -> int:
        """How many seconds lie at least between two samples that are read of a machine."""
        return {None: 0, TruncMinute: MINUTE, TruncHour: HOUR}[self.reads]


MINUTE, HOUR, DAY = 60, 3600, 86400
PERIODS = {
    one.name: one
    for one in (
        Period(
            name="1h",
            label=_("1 hour"),
            seconds=HOUR,
            step=MINUTE,
            of_a_step=_("in a minute"),
        ),
        Period(
            name="1d",
            label=_("1 day"),
            seconds=DAY,
            step=10 * MINUTE,
            of_a_step=_("in 10 minutes"),
            reads=TruncMinute,
        ),
        Period(
            name="7d",
            label=_("7 days"),
            seconds=7 * DAY,
            step=HOUR,
            of_a_step=_("in an hour"),
            reads=TruncHour,
        ),
        Period(
            name="30d",
            label=_("30 days"),
            seconds=30 * DAY,
            step=DAY,
            of_a_step=_("in a day"),
            reads=TruncHour,
        ),
        Period(
            name="90d",
            label=_("90 days"),
            seconds=90 * DAY,
            step=DAY,
            of_a_step=_("in a day"),
            reads=TruncHour,
        ),
    )
}
USUAL = PERIODS["1d"]

type Values = list[float | None]  # one of each step
type Moment = tuple[float, Mapping[str, float]]  # seconds since 1970, and figures
type Machines = Mapping[str, Sequence[Moment]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a chart shows: a value for each step of the period, and of the one before."""

    chart: Chart
    now: Values
    before: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """All charts over one period that began at `begins` and ends at `ends`."""

    period: Period
    begins: datetime
    ends: datetime
    courses: Mapping[str, Course] = field(default_factory=dict)  # by the name of the chart


def read(period: Period, *, now: datetime) -> Shown:
    """How everything went until now. The last step is the one under way.

    Steps of a day are the days of the deployment's time zone.
    """
    local = timezone.localtime(now, timezone.get_default_timezone())
    east = int((local.utcoffset() or timedelta()).total_seconds())
    ends = ((int(now.timestamp()) + east) // period.step + 1) * period.step - east
    steps = _Steps(
        begins=ends - 2 * period.seconds,
        step=period.step,
        count=2 * period.steps,
        grain=period.grain,
        now=now,
    )
    machines = _machines(period, steps)
    shown = {}
    for name, chart in charts.items():
        values = _values(chart, machines, steps)
        before, present = values[: period.steps], values[period.steps :]
        shown[name] = Course(
            chart=chart, now=_scaled(present, chart.scale), before=_scaled(before, chart.scale)
        )
    return Shown(
        period=period,
        begins=datetime.fromtimestamp(ends - period.seconds, UTC),
        ends=datetime.fromtimestamp(ends, UTC),
        courses=shown,
    )


def _scaled(values: Values, scale: float) -> Values:
    return [None if value is None else value * scale for value in values]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """The steps of both periods, one after the other."""

    begins: int  # seconds since 1970
    step: int
    count: int
    grain: int
    now: datetime

    def at(self, moment: float) -> int | None:
        """Which step a moment lies in."""
        place = int((moment - self.begins) // self.step)
        return place if 0 <= place < self.count else None

    def parts(self, begin: float, end: float) -> Iterator[tuple[int, float]]:
        """The steps that a span of time lies in, each with how many seconds of it."""
        moment = max(begin, float(self.begins))
        while moment < end and (place := self.at(moment)) is not None:
            next_one = min(end, self.begins + (place + 1) * self.step)
            yield place, next_one - moment
            moment = next_one

    def is_long_begun(self, place: int) -> bool:
        """Whether most of a step is over."""
        passed = self.now.timestamp() - (self.begins + place * self.step)
        return passed >= LEAST_KNOWN * self.step

    def have_gap(self, begin: float, end: float) -> bool:
        """Whether two samples lie too far apart to know what was between them."""
        if end - begin <= LEAST_GAP:
            return False
        age = timedelta(seconds=self.now.timestamp() - begin)
        usual = max(samples.spacing(age), self.grain)
        return end - begin > usual * USUAL_TIMES


# --- Reading ------------------------------------------------------------------------------------
def _machines(period: Period, steps: _Steps) -> Machines:
    """What the machines said in both periods, and shortly before, each from the oldest on."""
    first = datetime.fromtimestamp(steps.begins, UTC)
    widest = timedelta(seconds=samples.spacing(steps.now - first) * USUAL_TIMES)
    rows = ChartSample.objects.filter(taken_at__gte=first - widest, taken_at__lte=steps.now)
    if period.reads is not None:
        slots = rows.order_by().values("host", slot=period.reads("taken_at", tzinfo=UTC))
        rows = ChartSample.objects.filter(pk__in=slots.annotate(first=Min("pk")).values("first"))
    found: dict[str, list[Moment]] = {}
    for host, taken_at, kept in rows.order_by("taken_at").values_list(
        "host", "taken_at", "figures"
    ):
        found.setdefault(host, []).append((taken_at.timestamp(), kept))
    return found


# --- Reckoning ----------------------------------------------------------------------------------
# Machines come and go: a container that is started anew is another one. So what is averaged over a
# step is what all that speak at a moment say together, and a moment when none does counts for none.
class _Change(NamedTuple):
    """From this moment on a machine says this much; None: it is silent."""

    moment: float
    host: str
    value: float | None


class _Spoken(NamedTuple):
    """What all machines said in a step, on the average of the time that any of them spoke."""

    average: float
    seconds: float


def _values(chart: Chart, machines: Machines, steps: _Steps) -> Values:
    if chart.shows is Shows.LEVEL:
        return _levels(chart, machines, steps)
    rates = [_rates(figure, machines, steps) for figure in chart.figures]
    match chart.shows:
        case Shows.COUNT:
            return [None if value is None else value * steps.step for value in rates[0]]
        case Shows.PER_SECOND:
            return rates[0]
        case _:
            return [_share(whole, times) for whole, times in zip(*rates, strict=True)]


def _share(whole: float | None, times: float | None) -> float | None:
    """A mean; of nothing there is none."""
    return None if whole is None or not times else whole / times


def _levels(chart: Chart, machines: Machines, steps: _Steps) -> Values:
    """How much there was, on the average of each step, of all machines together.

    Of a step that has only begun there is no average: a night is no day.
    """
    (figure,) = chart.figures
    changes = [
        change
        for host, moments in machines.items()
        for change in _level(host, _said(figure, moments), steps)
    ]
    # What all machines share, such as rows of the database, each of them reads.
    merge = chart.measure.merge if isinstance(chart.measure, ProcessGauge) else _mean
    return [
        spoken.average if spoken.seconds and steps.is_long_begun(place) else None
        for place, spoken in enumerate(_together(changes, merge, steps))
    ]


def _rates(figure: Figure, machines: Machines, steps: _Steps) -> Values:
    """How much a figure grew in a second of each step, on all machines together.

    Of a step that is known in part, the rest is reckoned to be like it.
    """
    changes = [
        change
        for host, moments in machines.items()
        for change in _growth(host, _said(figure, moments), steps)
    ]
    return [
        spoken.average if spoken.seconds >= LEAST_KNOWN * steps.step else None
        for spoken in _together(changes, sum, steps)
    ]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _said(figure: Figure, moments: Sequence[Moment]) -> list[tuple[float, float]]:
    """When a machine said how much."""
    return [(moment, kept[figure.name]) for moment, kept in moments if figure.name in kept]


def _level(host: str, said: Sequence[tuple[float, float]], steps: _Steps) -> Iterator[_Change]:
    """A level stays as it was said until it is said anew; before a gap, for a moment."""
    for (begin, value), (end, _next) in pairwise([*said, (inf, 0.0)]):
        yield _Change(begin, host, value)
        if steps.have_gap(begin, end):
            yield _Change(begin + A_MOMENT, host, None)


def _growth(host: str, said: Sequence[tuple[float, float]], steps: _Steps) -> Iterator[_Change]:
    """Between two samples a figure is taken to have grown evenly; before a gap nothing is known."""
    for (begin, earlier), (end, later) in pairwise([*said, (inf, 0.0)]):
        if steps.have_gap(begin, end):
            yield _Change(begin, host, None)
        else:
            growth = later - earlier if later >= earlier else later  # it began anew
            yield _Change(begin, host, growth / (end - begin))


def _together(
    changes: Iterable[_Change], merge: Callable[[Iterable[float]], float], steps: _Steps
) -> list[_Spoken]:
    """What `merge` makes of what the machines said at each moment, averaged over each step."""
    amounts, known = [0.0] * steps.count, [0.0] * steps.count
    speaking: dict[str, float] = {}
    in_turn = sorted(changes, key=attrgetter("moment"))
    for (moment, host, value), after in pairwise([*in_turn, _Change(inf, "", None)]):
        if value is None:
            speaking.pop(host, None)
        else:
            speaking[host] = value
        if speaking and after.moment > moment:
            value_together = merge(speaking.values())
            for place, seconds in steps.parts(moment, after.moment):
                amounts[place] += value_together * seconds
                known[place] += seconds
    return [
        _Spoken(amount / seconds if seconds else 0.0, seconds)
        for amount, seconds in zip(amounts, known, strict=True)
    ]
