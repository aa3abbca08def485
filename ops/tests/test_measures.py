"""What is counted: by labels that are bounded, on commit, and without what a parent had."""

import os
import threading
from contextlib import suppress

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from ops import measures
from ops.measures import OTHER, Counter, Gauge, Histogram, Label, ProcessGauge, UpGauge

pytestmark = pytest.mark.usefixtures("declared")


def test_a_counter_adds_up_by_its_labels():
    counter = Counter("platform_x_total", "X.", Label("kind", ("a", "b")))
    counter.add(1, "a")
    counter.add(2, "a")
    counter.add(5, "b")
    assert counter.series() == {("a",): 3, ("b",): 5}
    assert measures.counted() == {"platform_x_total": {("a",): 3, ("b",): 5}}


def test_a_histogram_counts_each_within_the_first_bound_that_holds_it():
    histogram = Histogram("platform_x_seconds", "X.", bounds=(0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7):
        histogram.observe(seconds)
    assert histogram.series() == {(): [2, 1, 1, pytest.approx(7.65)]}


def test_what_is_observed_late_is_counted_when_somebody_asks():
    histogram = Histogram("platform_x_seconds", "X.", Label("kind", ("a",)), bounds=(0.1,))
    histogram.observe(0.05, "a")
    histogram.observe_late((0.05, "a"))
    histogram.observe_late((5, "b"))
    assert histogram.series() == {("a",): [2, 0, 0.1], (OTHER,): [0, 1, 5]}
    assert histogram.series() == {("a",): [2, 0, 0.1], (OTHER,): [0, 1, 5]}, "once"
    histogram.observe_late((5, "a"))
    histogram.forget()
    assert histogram.series() == {}


def test_what_is_not_declared_is_other():
    counter = Counter("platform_x_total", "X.", Label("kind", ("a",)))
    counter.add(1, "13800138000")
    assert counter.series() == {(OTHER,): 1}


def test_what_comes_on_top_of_the_most_is_other():
    counter = Counter("platform_x_total", "X.", Label("route", most=2))
    for number in range(1000):
        counter.add(1, f"route {number}")
    assert counter.series() == {("route 0",): 1, ("route 1",): 1, (OTHER,): 998}
    assert len(counter._keys) == 2, "and nothing is kept of the others"


def test_as_many_labels_as_were_declared():
    counter = Counter("platform_x_total", "X.", Label("kind", ("a",)))
    for labels in ((), ("a", "b")):
        with pytest.raises(TypeError, match="kind"):
            counter.add(1, *labels)
    assert counter.series() == {}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Counter, "platform_x"),
        (Histogram, "platform_x_total"),
        (Counter, "x_total"),
        (Counter, "platform_X_total"),
    ],
)
def test_a_name_says_what_it_is(kind, name):
    with pytest.raises(ImproperlyConfigured):
        kind(name, "X.")
    assert not measures.measures.names()


def test_a_name_is_declared_once():
    Counter("platform_x_total", "X.")
    with pytest.raises(ImproperlyConfigured):
        Counter("platform_x_total", "Y.")


@pytest.mark.parametrize("said", [{}, {"values": ("a",), "most": 3}], ids=str)
def test_a_label_says_how_it_is_bounded(said):
    with pytest.raises(ImproperlyConfigured):
        Label("kind", **said)


def test_a_gauge_reads_a_number_or_one_for_each_key():
    one = Gauge("platform_x", "X.", read=lambda: 7)
    many = ProcessGauge(
        "platform_y",
        "Y.",
        Label("kind", ("a",)),
        read=lambda: {("a",): 1, ("x",): 2, ("y",): 3},
    )
    assert one.values() == {(): 7}
    assert many.values() == {("a",): 1, (OTHER,): 5}


def test_a_gauge_of_a_process_is_what_it_said_last():
    gauge = ProcessGauge("platform_x", "X.")
    assert gauge.values() == {}
    gauge.set(5)
    gauge.move(-2)
    assert gauge.values() == {(): 3}


def test_many_threads_count_nothing_twice_and_lose_nothing():
    counter = Counter("platform_x_total", "X.")
    histogram = Histogram("platform_x_seconds", "X.")

    def count():
        for _time in range(2000):
            counter.add()
            histogram.observe(0.01)

    threads = [threading.Thread(target=count) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.series() == {(): 16_000}
    assert sum(histogram.series()[()][:-1]) == 16_000


# --- On commit ------------------------------------------------------------------------------------
class TakenBack(Exception):
    pass


@pytest.mark.django_db(transaction=True)
def test_what_is_taken_back_does_not_count():
    counter = Counter("platform_x_total", "X.")
    with suppress(TakenBack), transaction.atomic():
        counter.add_on_commit(3)
        raise TakenBack
    assert counter.series() == {}

    with transaction.atomic():
        counter.add_on_commit(3)
        with suppress(TakenBack), transaction.atomic():
            counter.add_on_commit(100)
            raise TakenBack
        assert counter.series() == {}, "nor does what is not committed yet"
    assert counter.series() == {(): 3}


# --- Forks ----------------------------------------------------------------------------------------
def in_a_fork(act):
    """What a forked process says of `act`, in so many bytes."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:  # pragma: no cover  in the child
        os.write(theirs, str(act()).encode())
        os._exit(0)
    os.close(theirs)
    os.waitpid(pid, 0)
    with os.fdopen(ours) as said:
        return said.read()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_begins_at_nothing():
    counter = Counter("platform_x_total", "X.")
    counter.add(5)

    def count_there():
        counter.add(1)
        return counter.series()[()]

    assert in_a_fork(count_there) == "1"
    assert counter.series() == {(): 5}


# --- What is up -----------------------------------------------------------------------------------
def test_what_answers_is_up_and_what_fails_is_not():
    gauge = UpGauge("platform_x_up", "X.", within=10)
    assert gauge.values() == {}, "nobody asked"
    with gauge.asking():
        assert gauge.values() == {}
    assert gauge.values() == {(): 1}
    with pytest.raises(ZeroDivisionError), gauge.asking():
        raise ZeroDivisionError
    assert gauge.values() == {(): 0}
    gauge.forget()
    assert gauge.values() == {}


def test_what_hangs_is_up_no_more_after_its_time():
    now = [100.0]
    gauge = UpGauge("platform_x_up", "X.", within=10, clock=lambda: now[0])
    with gauge.asking():
        now[0] += 10
        assert gauge.values() == {(): 0}, "nor where it never answered"
    assert gauge.values() == {(): 1}
    with gauge.asking():
        now[0] += 9
        assert gauge.values() == {(): 1}
        now[0] += 1
        assert gauge.values() == {(): 0}
    assert gauge.values() == {(): 1}
