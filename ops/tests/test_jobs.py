"""What a periodic job is: when it is due, what it is called, what is none."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import translation

from ops.registry import Registry
from ops.services import jobs as jobs_service
from ops.services.jobs import Job, interval_in_words

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 26, 12, tzinfo=SHANGHAI)


def nothing(*, now):
    """A job that finds nothing to do."""


def job(**facts):
    return Job(**{"run": nothing, "label": "Nothing", **facts})


# --- When it is due -------------------------------------------------------------------------------
def test_every_so_often_is_counted_from_when_it_was_due():
    every = job(every=5 * MINUTE)
    assert every.first_due(NOON) == NOON
    assert every.next_after(NOON) == NOON + 5 * MINUTE
    assert every.next_after(NOON, now=NOON + 4 * MINUTE) == NOON + 5 * MINUTE


@pytest.mark.parametrize("late", [5 * MINUTE, 6 * MINUTE, 9 * MINUTE])
def test_of_what_was_missed_nothing_is_made_up_twice(late):
    assert job(every=5 * MINUTE).next_after(NOON, now=NOON + late) == NOON + 10 * MINUTE
    assert job(every=MINUTE).next_after(NOON, now=NOON + 3 * DAY) == NOON + 3 * DAY + MINUTE


def test_a_cron_line_is_read_in_the_time_zone_of_the_deployment(settings):
    settings.TIME_ZONE = "Asia/Shanghai"
    nightly = job(cron="0 3 * * *")
    at_three = datetime(2026, 11, 27, 3, tzinfo=SHANGHAI)
    assert nightly.first_due(NOON) == at_three
    assert nightly.next_after(at_three) == at_three + DAY
    assert nightly.next_after(at_three, now=at_three + 40 * DAY + HOUR) == at_three + 41 * DAY


def test_a_cron_line_follows_the_clock_on_the_wall(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    before = datetime(2026, 3, 28, 3, tzinfo=BERLIN)  # the night before summer time
    after = job(cron="0 3 * * *").next_after(before)
    assert after == datetime(2026, 3, 29, 3, tzinfo=BERLIN)
    assert after - before.astimezone(ZoneInfo("UTC")) == 23 * HOUR


# --- What is none ---------------------------------------------------------------------------------
@pytest.mark.parametrize("line", ["", "3 o'clock", "60 * * * *", "* * * *", "0 0 31 2 *"])
def test_a_bad_cron_line_stops_the_start(line):
    with pytest.raises(ImproperlyConfigured, match="is no cron line"):
        job(cron=line)


@pytest.mark.parametrize("facts", [{}, {"every": MINUTE, "cron": "0 3 * * *"}])
def test_a_job_has_one_timing(facts):
    with pytest.raises(ImproperlyConfigured, match="either"):
        job(**facts)


@pytest.mark.parametrize("limit", [timedelta(0), -MINUTE])
def test_a_run_may_take_some_time(limit):
    with pytest.raises(ImproperlyConfigured, match="limit"):
        job(every=MINUTE, limit=limit)


@pytest.mark.parametrize("every", [timedelta(0), -MINUTE, timedelta(milliseconds=999)])
def test_a_job_does_not_come_round_all_the_time(every):
    with pytest.raises(ImproperlyConfigured, match="every second at most"):
        job(every=every)


# --- What it does ---------------------------------------------------------------------------------
def test_batches_are_done_until_nothing_is_left():
    left = [1000, 1000, 7, 0, 5]
    batches = job(every=MINUTE, in_batches=True, run=lambda *, now: left.pop(0))
    assert batches.work(now=NOON) == 2007
    assert left == [5]


def test_batches_leave_the_rest_to_the_next_run(monkeypatch):
    monkeypatch.setattr(jobs_service, "BATCHES_SECONDS", -1)
    endless = job(every=MINUTE, in_batches=True, run=lambda *, now: 10)
    assert endless.work(now=NOON) == 10


def test_a_job_is_handed_its_moment():
    assert job(every=MINUTE, run=lambda *, now: now).work(now=NOON) == NOON


# --- In words -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"every": timedelta(seconds=1)}, "every second"),
        ({"every": timedelta(seconds=90)}, "every 90 seconds"),
        ({"every": MINUTE}, "every minute"),
        ({"every": 10 * MINUTE}, "every 10 minutes"),
        ({"every": HOUR}, "every hour"),
        ({"every": 36 * HOUR}, "every 36 hours"),
        ({"every": DAY}, "every day"),
        ({"every": 2 * DAY}, "every 2 days"),
        ({"cron": "0 3 * * *"}, "by the cron line 0 3 * * *"),
    ],
)
def test_an_interval_in_words(facts, words):
    with translation.override("en"):
        assert interval_in_words(job(**facts)) == words


# --- Reasons to pause -----------------------------------------------------------------------------
def test_one_reason_is_enough(monkeypatch):
    monkeypatch.setattr(jobs_service, "pauses", Registry())
    assert not jobs_service.are_paused()
    jobs_service.pauses.register("rain", lambda: False)
    assert not jobs_service.are_paused()
    jobs_service.pauses.register("maintenance", lambda: True)
    assert jobs_service.are_paused()
