"""What charts show: what is kept for them, and how it is read over a period and the one before."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured

from ops import charts
from ops.charts import Chart, Group, Shows
from ops.measures import Counter, Gauge, Histogram, Label, ProcessGauge
from ops.models import ChartSample
from ops.monitoring import courses, figures, samples
from ops.monitoring.courses import PERIODS
from ops.monitoring.series import Series
from ops.registry import Registry

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 26, 4, 0, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def own_charts(declared, monkeypatch):
    """No charts but those that the test declares."""
    monkeypatch.setattr(charts, "charts", Registry())
    for module in (courses, figures):
        monkeypatch.setattr(module, "charts", charts.charts)


def chart(measure, shows, **facts):
    return Chart(
        name="probe", title="Probe", group=Group.SERVING, measure=measure, shows=shows, **facts
    )


def level(**facts):
    return chart(ProcessGauge("platform_level", "Much."), Shows.LEVEL, **facts)


def count(**facts):
    return chart(Counter("platform_things_total", "Things."), Shows.COUNT, **facts)


def says(at, value, *, metric="platform_things_total", host="one"):
    samples.keep({Series(metric): value}, host=host, now=at)


def read(name, *, now=NOW):
    return courses.read(PERIODS[name], now=now).courses["probe"]


def counts_up(begin, end, *, every, by, host="one", gap=None):
    """A machine whose counter rises evenly, and that says nothing in the gap."""
    moment, number = begin, 0
    while moment <= end:
        if gap is None or not gap[0] <= moment < gap[1]:
            says(moment, number * by, host=host)
        moment, number = moment + every, number + 1


# --- What is kept ---------------------------------------------------------------------------------
def test_a_figure_is_what_its_series_come_to():
    counter = Counter("platform_answers_total", "Answers.", Label("status", most=9))
    chart(counter, Shows.COUNT, labels={"status": "5*"})
    said = {
        Series.of("platform_answers_total", {"status": "500"}): 2,
        Series.of("platform_answers_total", {"status": "503"}): 3,
        Series.of("platform_answers_total", {"status": "200"}): 100,
        Series.of("platform_other_total", {"status": "500"}): 7,
    }
    assert figures.of(said) == {'platform_answers_total{status="5*"}': 5}


def test_what_was_never_counted_is_nothing_and_what_was_not_read_is_unknown():
    count()
    Chart(
        name="other",
        title="Other",
        group=Group.SERVING,
        measure=Gauge("platform_queue", "Waits.", read=lambda: 1),
        shows=Shows.LEVEL,
    )
    assert figures.of({}) == {"platform_things_total{}": 0}


def test_a_mean_needs_two_figures():
    chart(Histogram("platform_seconds", "Seconds."), Shows.MEAN)
    said = {Series("platform_seconds_sum"): 9, Series("platform_seconds_count"): 3}
    assert figures.of(said) == {"platform_seconds_sum{}": 9, "platform_seconds_count{}": 3}


def test_a_chart_of_what_its_measure_is_not_stops_the_start():
    with pytest.raises(ImproperlyConfigured, match="cannot show"):
        chart(Counter("platform_things_total", "Things."), Shows.LEVEL)


def test_groups_come_in_their_order():
    for name, group in (("a", Group.BUSINESS), ("b", Group.SERVING), ("c", Group.SERVING)):
        gauge = ProcessGauge(f"platform_{name}", "Much.")
        Chart(name=name, title=name, group=group, measure=gauge, shows=Shows.LEVEL)
    found = [(group, [one.name for one in of_group]) for group, of_group in charts.in_order()]
    assert found == [(Group.SERVING, ["b", "c"]), (Group.BUSINESS, ["a"])]


def test_a_sample_keeps_its_figures_once():
    count()
    says(NOW, 5)
    says(NOW, 6)
    (kept,) = ChartSample.objects.all()
    assert (kept.host, kept.taken_at) == ("one", NOW)
    assert kept.figures == {"platform_things_total{}": 5}


def test_figures_are_thinned_with_age_and_kept_as_long_as_two_periods():
    count()
    for second in range(0, 5 * 3600, 10):
        moment = NOW.replace(minute=0, second=0) + timedelta(seconds=second)
        ChartSample.objects.create(host="one", taken_at=moment, figures={})
    for age, left in (
        (timedelta(hours=6), 300),
        (timedelta(days=1, hours=6), 60),
        (timedelta(days=8), 5),
        (timedelta(days=31), 2),
        (timedelta(days=180), 2),
        (timedelta(days=182), 0),
    ):
        samples.thin(now=NOW.replace(minute=0, second=0) + age)
        assert ChartSample.objects.count() == left, age


@pytest.mark.parametrize(
    ("age", "seconds"),
    [(0, 10), (3599, 10), (3600, 60), (86400, 300), (7 * 86400, 3600), (30 * 86400, 14400)],
)
def test_what_is_usual_between_two_samples(age, seconds):
    assert samples.spacing(timedelta(seconds=age)) == seconds


# --- Each period ----------------------------------------------------------------------------------
EVERY = {"1h": 60, "1d": 300, "7d": 3600, "30d": 14400, "90d": 14400}


@pytest.mark.parametrize("name", PERIODS)
def test_a_period_is_shown_beside_the_one_before(name):
    """Twice as much in this one as in the one before, in some hundred steps at most."""
    level()
    period = PERIODS[name]
    assert 30 <= period.steps <= 200
    begins = courses.read(period, now=NOW).begins
    step = timedelta(seconds=EVERY[name])
    rows = []
    moment = begins - timedelta(seconds=period.seconds)
    while moment <= NOW:
        value = 2 if moment >= begins else 1
        rows.append(ChartSample(host="one", taken_at=moment, figures={"platform_level{}": value}))
        moment += step
    ChartSample.objects.bulk_create(rows)

    course = read(name)

    assert course.now == [2] * (period.steps - 1) + [None]  # the last step has only begun
    assert course.before == [1] * period.steps


@pytest.mark.parametrize("name", PERIODS)
def test_a_count_is_how_many_came_within_a_step(name):
    """Ten a minute, as samples of that age are left."""
    count()
    period = PERIODS[name]
    begins = courses.read(period, now=NOW).begins - timedelta(seconds=period.seconds)
    moment, rows = begins, []
    while moment <= NOW:
        counted = (moment - begins).total_seconds() / 6
        kept = {"platform_things_total{}": counted}
        rows.append(ChartSample(host="one", taken_at=moment, figures=kept))
        moment += timedelta(seconds=samples.spacing(NOW - moment))
    ChartSample.objects.bulk_create(rows)

    course = read(name)

    in_a_step = period.step / 6
    known = [value for value in course.now if value is not None]
    assert known == pytest.approx([in_a_step] * len(known))
    assert len(known) >= period.steps - 1  # the last step is under way
    assert course.before == pytest.approx([in_a_step] * period.steps)


def test_ninety_days_are_read_of_few_moments(django_assert_num_queries):
    """Whatever was not thinned yet: one sample of an hour is read."""
    level()
    ChartSample.objects.bulk_create(
        ChartSample(
            host="one",
            taken_at=NOW - timedelta(seconds=10 * number),
            figures={"platform_level{}": 7},
        )
        for number in range(1000)
    )
    with django_assert_num_queries(1):
        course = read("90d", now=NOW + DAY)
    steps = courses._Steps(begins=0, step=1, count=1, grain=3600, now=NOW)
    machines = courses._machines(PERIODS["90d"], steps)
    assert sum(map(len, machines.values())) == 4
    assert [value for value in course.now if value is not None] == [7]


def test_days_are_those_of_the_deployment(settings):
    """At noon in Shanghai the day under way ends at its midnight."""
    level()
    shown = courses.read(PERIODS["90d"], now=NOW)
    assert shown.ends == datetime(2026, 11, 26, 16, 0, tzinfo=UTC)
    assert shown.begins == shown.ends - timedelta(days=90)


# --- Gaps -----------------------------------------------------------------------------------------
def test_nothing_sampled_is_nothing_known():
    count()
    course = read("1h")
    assert course.now == course.before == [None] * 60


def test_a_gap_in_the_samples_is_a_gap_and_no_zero():
    count()
    gap = NOW - timedelta(minutes=30), NOW - timedelta(minutes=20)
    counts_up(NOW - HOUR, NOW, every=timedelta(seconds=10), by=1, gap=gap)

    values = read("1h").now

    empty = [place for place, value in enumerate(values) if value is None]
    # The first and the last of them are known for a third and a half; the newest has only begun.
    assert empty == [*range(29, 40), 59]
    assert {value for value in values if value is not None} == {6}


def test_a_gap_is_one_of_a_level_too():
    level()
    for minute in (5, 6, 20):
        at = NOW - timedelta(minutes=minute)
        samples.keep({Series("platform_level"): 3}, host="one", now=at)
    values = read("1h").now
    assert [place for place, value in enumerate(values) if value is not None] == [39, 53, 54]


def test_one_sample_says_nothing_of_growth():
    count()
    says(NOW - timedelta(minutes=5), 100)
    assert read("1h").now == [None] * 60


def test_a_counter_that_began_anew_counts_from_nothing():
    count()
    begin = NOW.replace(second=0) - timedelta(minutes=10)
    for minute, value in enumerate((100, 110, 5, 12)):
        says(begin + timedelta(minutes=minute), value)
    values = [value for value in read("1h").now if value is not None]
    assert values == [10, 5, 7]


def test_of_a_step_that_is_known_in_part_the_rest_is_like_it():
    count()
    begin = NOW.replace(second=0) - timedelta(minutes=10)
    for seconds, value in ((0, 0), (40, 4), (130, 13), (165, 16.5)):
        says(begin + timedelta(seconds=seconds), value)
    # The third step is known for three quarters of it.
    assert [value for value in read("1h").now if value is not None] == [6, 6, 6]


# --- Several machines -----------------------------------------------------------------------------
def test_what_machines_count_is_added_up():
    count()
    for host in ("one", "two"):
        counts_up(NOW - HOUR, NOW, every=timedelta(seconds=60), by=3, host=host)
    assert {value for value in read("1h").now if value is not None} == {6}


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        (lambda: ProcessGauge("platform_level", "Much."), 30),
        (lambda: ProcessGauge("platform_level", "Much.", merge=min), 10),
        (lambda: ProcessGauge("platform_level", "Much.", merge=max), 20),
        (lambda: Gauge("platform_level", "Rows of all.", read=lambda: 0), 15),
    ],
)
def test_levels_of_machines_come_together_as_their_measure_says(measure, value):
    chart(measure(), Shows.LEVEL)
    for host, said in (("one", 10), ("two", 20)):
        samples.keep({Series("platform_level"): said}, host=host, now=NOW)
    assert read("1h", now=NOW + timedelta(seconds=20)).now[-1] == value


# --- Machines that come and go -------------------------------------------------------------------
MIDNIGHT = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)  # of the deployment, before its last whole day
NOON = MIDNIGHT + 12 * HOUR


def lives(begin, end, *, host, every=HOUR, a_second=0.0):
    """A machine of the level 10 whose counter begins anew with it, and rises evenly."""
    moment = begin
    while moment <= end:
        counted = (moment - begin).total_seconds() * a_second
        told = {Series("platform_level"): 10, Series("platform_things_total"): counted}
        samples.keep(told, host=host, now=moment)
        moment += every


def last_days(name="30d"):
    """The last whole days, up to the one under way."""
    return read(name).now[-4:-1]


@pytest.mark.parametrize("until_the_next", [timedelta(seconds=3), timedelta(minutes=40), 4 * HOUR])
def test_a_machine_that_takes_the_place_of_another_has_its_level_and_no_more(until_the_next):
    level()
    lives(MIDNIGHT, NOON, host="one")
    lives(NOON + until_the_next, MIDNIGHT + DAY, host="two")
    assert last_days()[-1] == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize("until_the_next", [timedelta(seconds=3), timedelta(minutes=40), 4 * HOUR])
def test_what_a_machine_and_its_successor_counted_is_the_day_of_both(until_the_next):
    """Each is known for half the day. What lies between them is reckoned to be like the rest."""
    count()
    lives(MIDNIGHT, NOON, host="one", a_second=2)
    lives(NOON + until_the_next, MIDNIGHT + DAY, host="two", a_second=2)
    assert last_days()[-1] == pytest.approx(2 * 86400, rel=1e-3)


def test_a_machine_anew_every_three_hours_is_one_machine():
    level()
    for number in range(8):
        begin = MIDNIGHT + number * 3 * HOUR
        lives(begin, begin + 2.9 * HOUR, host=f"container-{number}")
    assert last_days()[-1] == pytest.approx(10)


def test_two_at_once_are_added_up_for_as_long_as_both_speak():
    level()
    lives(MIDNIGHT - DAY, MIDNIGHT + DAY, host="one")
    lives(MIDNIGHT - DAY, NOON, host="two")
    assert last_days()[-2:] == pytest.approx([20, 15], rel=1e-3)


def test_what_two_at_once_count_is_added_up_for_as_long_as_both_speak():
    count()
    lives(MIDNIGHT - DAY, MIDNIGHT + DAY, host="one", a_second=2)
    lives(MIDNIGHT - DAY, NOON, host="two", a_second=2)
    assert last_days()[-2:] == pytest.approx([4 * 86400, 3 * 86400])


def test_a_mean_of_machines_that_followed_one_another_is_of_all_that_came():
    chart(Histogram("platform_seconds", "Seconds."), Shows.MEAN)
    for host, begin, seconds in (("one", MIDNIGHT, 1), ("two", NOON + HOUR, 4)):
        for number in range(12):
            told = {
                Series("platform_seconds_sum"): number * seconds,
                Series("platform_seconds_count"): number,
            }
            samples.keep(told, host=host, now=begin + number * HOUR)
    assert last_days()[-1] == pytest.approx(2.5)


@pytest.mark.parametrize(("merge", "value"), [(min, 10), (max, 15)])
def test_the_least_or_most_is_that_of_each_moment(merge, value):
    """The second of two machines, at 20, is there for half the day."""
    chart(ProcessGauge("platform_level", "Much.", merge=merge), Shows.LEVEL)
    lives(MIDNIGHT, MIDNIGHT + DAY, host="one")
    for number in range(13):
        says(NOON + number * HOUR, 20, metric="platform_level", host="two")
    assert last_days()[-1] == pytest.approx(value)


def test_a_day_of_which_too_little_is_known_of_all_together_stays_a_gap():
    """Seventeen hours of two machines one after the other: three quarters would be eighteen."""
    count()
    lives(MIDNIGHT, NOON, host="one", a_second=2)
    lives(NOON + 7 * HOUR, MIDNIGHT + DAY, host="two", a_second=2)
    assert last_days() == [None, None, None]


def test_two_that_speak_at_once_make_half_a_day_no_whole_one():
    count()
    for host in ("one", "two"):
        lives(MIDNIGHT, NOON, host=host, a_second=2)
    assert last_days() == [None, None, None]


def test_days_when_no_machine_spoke_are_a_gap_of_a_level():
    level()
    lives(MIDNIGHT - DAY, MIDNIGHT - HOUR, host="one")
    lives(MIDNIGHT + DAY, MIDNIGHT + DAY + 12 * HOUR, host="two")
    assert last_days()[-2:] == [10, None]


def test_a_machine_that_said_one_thing_only_is_in_the_picture():
    level()
    says(NOON, 7, metric="platform_level")
    assert last_days()[-1] == 7


# --- What is shown --------------------------------------------------------------------------------
def test_a_rate_is_of_a_second_and_scaled():
    chart(Counter("platform_things_total", "Things."), Shows.PER_SECOND, scale=100)
    counts_up(NOW - HOUR, NOW, every=timedelta(seconds=60), by=30)
    assert {value for value in read("1h").now if value is not None} == {50}


def test_a_mean_is_of_what_came_and_of_nothing_there_is_none():
    chart(Histogram("platform_seconds", "Seconds."), Shows.MEAN, scale=1000)
    begin = NOW.replace(second=0) - timedelta(minutes=5)
    for minute, (total, times) in enumerate(((0, 0), (1, 2), (1, 2), (4, 3))):
        said = {
            Series("platform_seconds_sum"): total,
            Series("platform_seconds_count"): times,
        }
        samples.keep(said, host="one", now=begin + timedelta(minutes=minute))
    values = read("1h").now[-6:]
    assert values == [500, None, 3000, None, None, None]


def test_figures_of_a_version_with_other_charts_are_left_out():
    count()
    ChartSample.objects.create(host="one", taken_at=NOW, figures={"platform_gone{}": 1})
    assert read("1h").now == [None] * 60
