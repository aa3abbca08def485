"""What every process does by itself goes on, whatever fails or hangs."""

import logging
import threading

import pytest

from ops.registry import Registry
from ops.services import pulse
from ops.services.pulse import Beat, Pulse

pytestmark = pytest.mark.django_db(transaction=True)  # a beat closes its thread's connection

SOON = 0.001
IN_TIME = 10  # seconds; nothing here takes as long


class Counted:
    """An act that fails as often as it is told, and says when it was done so many times."""

    def __init__(self, *, until, failures=0):
        self.until = until
        self.failures = failures
        self.times = 0
        self.is_done = threading.Event()

    def __call__(self):
        self.times += 1
        if self.times >= self.until:
            self.is_done.set()
        if self.times <= self.failures:
            raise RuntimeError("away")


@pytest.fixture
def beats(monkeypatch):
    registry: Registry[Beat] = Registry()
    monkeypatch.setattr(pulse, "beats", registry)
    return registry


def run_until(*acts):
    running = Pulse()
    running.start()
    try:
        return [act.is_done.wait(IN_TIME) for act in acts]
    finally:
        running.stop()


def test_each_beat_is_done_again_and_again(beats):
    quick, other = Counted(until=3), Counted(until=2)
    beats.register("quick", Beat(quick, every=SOON))
    beats.register("other", Beat(other, every=SOON))

    assert run_until(quick, other) == [True, True]


def test_a_beat_that_hangs_holds_up_no_other(beats):
    released = threading.Event()
    quick = Counted(until=3)
    beats.register("hanging", Beat(lambda: released.wait(IN_TIME), every=SOON))
    beats.register("quick", Beat(quick, every=SOON))
    running = Pulse()
    running.start()

    assert quick.is_done.wait(IN_TIME)
    assert not released.is_set()

    released.set()
    running.stop()


def test_a_beat_that_fails_goes_on_and_tells_it_once(beats, caplog):
    failing = Counted(until=5, failures=3)
    beats.register("failing", Beat(failing, every=SOON))

    with caplog.at_level(logging.WARNING, logger=pulse.__name__):
        assert run_until(failing) == [True]

    assert [record.getMessage() for record in caplog.records] == [
        "The beat failing failed; it goes on trying",
        "The beat failing works again",
    ]


def test_nothing_begins_after_the_stop(beats):
    act = Counted(until=1)
    beats.register("counted", Beat(act, every=SOON))
    run_until(act)
    times = act.times

    assert [thread for thread in threading.enumerate() if thread.name.startswith("beat ")] == []
    assert act.times == times
