"""How often something was done lately, by one process and by several."""

import logging
import time
from typing import Any

import pytest
from django.core.cache import cache

from ops.services import rates as module
from ops.services.rates import Rates

LIMIT = 600
MINUTE = 60


@pytest.fixture
def clock(monkeypatch):
    """The time, which passes when a test says so; it begins with a window."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])

    def passes(seconds):
        now[0] += seconds

    return passes


def ask(rates, times=1, *, limit=LIMIT, subject="person:1"):
    """Ask so often; how many of them were counted."""
    waits = [rates.seconds_to_wait(subject, limit=limit, seconds=MINUTE) for _time in range(times)]
    return waits.count(0)


def wait(rates, *, limit=LIMIT):
    return rates.seconds_to_wait("person:1", limit=limit, seconds=MINUTE)


def away(settings):
    """Redis at an address where nobody listens."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": settings.REDIS_URL,
        }
    }


# --- One process --------------------------------------------------------------------------------
def test_the_limit_is_the_limit(clock, settings):
    settings.REDIS_URL = ""
    rates = Rates()
    assert ask(rates, LIMIT + 50) == LIMIT
    assert ask(rates, subject="person:2") == 1


def test_it_is_said_when_one_more_may_come(clock, settings):
    settings.REDIS_URL = ""
    rates = Rates()
    clock(30)
    ask(rates, LIMIT)
    seconds = wait(rates)
    assert 0 < seconds <= MINUTE
    clock(seconds + 0.2)
    assert wait(rates) == 0


def test_a_burst_on_the_border_of_two_windows_is_one_burst(clock, settings):
    settings.REDIS_URL = ""
    rates = Rates()
    clock(59)
    assert ask(rates, LIMIT) == LIMIT
    clock(2)
    assert ask(rates, LIMIT) <= LIMIT // 30  # as much as a second and a bit set free
    seconds = wait(rates)
    assert 0 < seconds < 1
    clock(58)
    assert ask(rates, LIMIT) > LIMIT * 0.9
    clock(3 * MINUTE)
    assert ask(rates, LIMIT) == LIMIT


def test_no_rate_at_all_lets_nothing_through(clock, settings):
    settings.REDIS_URL = ""
    assert 0 < wait(Rates(), limit=0) <= 2 * MINUTE


@pytest.fixture
def few(monkeypatch):
    """A process that sweeps from ten counts on."""
    monkeypatch.setattr(module, "FORGET_FROM", 10)
    return Rates(forget_from=10)


def test_counts_that_are_over_are_dropped(clock, settings, few):
    settings.REDIS_URL = ""
    for number in range(10):
        ask(few, subject=f"person:{number}")
    clock(2 * MINUTE)
    ask(few)
    assert list(few.counts) == ["person:1"]


def test_a_count_of_a_day_outlives_those_of_minutes(clock, settings, few):
    settings.REDIS_URL = ""
    few.seconds_to_wait("upload:1", limit=1, seconds=86_400)
    for number in range(10):
        ask(few, subject=f"person:{number}")
    clock(3 * MINUTE)
    ask(few)
    assert few.seconds_to_wait("upload:1", limit=1, seconds=86_400) > 0


def test_many_at_once_are_not_looked_through_for_each_new_one(clock, settings, few):
    settings.REDIS_URL = ""
    looked = []
    for number in range(100):
        before = few.forget_from
        ask(few, subject=f"person:{number}")
        looked.append(few.forget_from != before)
    assert sum(looked) == 4  # at 10, 20, 40 and 80
    assert len(few.counts) == 100


# --- Several ------------------------------------------------------------------------------------
def test_most_requests_cost_no_round_trip(clock, settings, caplog):
    away(settings)
    rates = Rates()
    assert ask(rates, LIMIT // module.LUMPS - 1) == LIMIT // module.LUMPS - 1
    assert caplog.messages == []
    ask(rates)
    assert len(caplog.messages) == 1


def test_without_redis_each_process_counts_on(clock, settings, caplog):
    caplog.set_level(logging.WARNING)
    away(settings)
    rates = Rates()
    assert ask(rates, LIMIT + 50) == LIMIT
    assert "Requests are counted by each process alone" in caplog.text


@pytest.mark.postgresql
def test_several_processes_let_through_what_one_would_and_a_lump_each(clock):
    processes = [Rates() for _number in range(4)]
    counted = sum(ask(rates) for _round in range(LIMIT) for rates in processes)
    lump = LIMIT // module.LUMPS
    assert LIMIT <= counted <= LIMIT + len(processes) * lump  # within one window
    # One that knows nothing yet, and the window before.
    late = Rates()
    assert ask(late, LIMIT) <= lump
    clock(MINUTE)
    assert ask(Rates(), LIMIT) <= lump + LIMIT // 10


@pytest.mark.postgresql
def test_what_is_told_does_not_stay(clock):
    ask(Rates(), LIMIT)
    window = int(1_800_000_000 // MINUTE)
    assert cache.get(f"rate:person:1:{window}") == LIMIT
    redis: Any = cache
    ttl = redis._cache.get_client().ttl(cache.make_key(f"rate:person:1:{window}"))
    assert 0 < ttl <= 2 * MINUTE
