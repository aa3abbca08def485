"""What an app tells of itself, declared in its `metrics.py`: counters, histograms, gauges, events.

What is counted stands in the memory of the process; `ops.services.metrics` writes it down once a
second and sums up all processes of the machine. Names begin with `platform_`; seconds and bytes
are the units; a counter ends in `_total`.

A label names one of a few things, and says which: either all its values are declared, or how many
there may be at most. What comes on top of them is counted as "other". So no person, token or text
of somebody ever makes a series of its own.
"""

import os
import re
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, override

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from ops.registry import Registry

PREFIX = "platform_"
OTHER = "other"
WELL_NAMED = re.compile(r"\Aplatform_[a-z][a-z0-9_]*\Z")
MOST_LATE = 200_000  # observations that wait to be counted; a beat comes round every second
UP_TO_TEN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

type Key = tuple[str, ...]  # the values of the labels, in their order
type Late = tuple[float, *tuple[str, ...]]  # what waits to be counted: (value, *labels)
type Values = Mapping[Key, float]  # what a gauge reads


class Label:
    """What a series of a measure is told apart by.

    Either `values` are all there are, or at most `most` of them are told apart by a process.
    A function that returns them is asked each time: of a registry that others still fill.
    """

    def __init__(
        self,
        name: str,
        values: Iterable[str] | Callable[[], Iterable[str]] = (),
        *,
        most: int = 0,
    ) -> None:
        self.name = name
        self._values = values if callable(values) else frozenset(map(str, values))
        self.most = most
        if bool(self._values) == bool(most):
            raise ImproperlyConfigured(f"The label {name} says its values, or how many at most.")
        self._seen: set[str] = set()

    @property
    def values(self) -> frozenset[str]:
        """All values there are; none where `most` says how many are told apart."""
        return frozenset(self._values()) if callable(self._values) else self._values

    def bounded(self, value: str) -> str:
        """The value as it is counted."""
        if self._values:
            return value if value in self.values else OTHER
        if value not in self._seen:
            if len(self._seen) >= self.most:
                return OTHER
            self._seen.add(value)
        return value


class Measure:
    """Something that is measured, under a name of its own."""

    ending: ClassVar[str] = ""

    def __init__(self, name: str, meaning: str, *labels: Label) -> None:
        if not WELL_NAMED.match(name) or name.endswith("_total") != (self.ending == "_total"):
            raise ImproperlyConfigured(f"{name} is no name of a {type(self).__name__.lower()}.")
        self.name = name
        self.meaning = meaning
        self.labels = labels
        measures.register(name, self)

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class _Counted(Measure):
    """What is counted where it happens."""

    def __init__(self, name: str, meaning: str, *labels: Label) -> None:
        super().__init__(name, meaning, *labels)
        # Labels as they were said, and as they are counted: each is looked at once.
        self._keys: dict[Key, Key] = {}
        self.forget()

    def forget(self) -> None:
        """Begin at nothing."""
        self._lock = threading.Lock()
        self._series: dict[Key, Any] = {}

    def _key(self, labels: Key) -> Key:
        if len(labels) != len(self.labels):
            raise TypeError(f"{self.name} has the labels {[one.name for one in self.labels]}.")
        key = tuple(
            label.bounded(str(value)) for label, value in zip(self.labels, labels, strict=True)
        )
        if OTHER not in key:  # of what comes on top there may be any number
            self._keys[labels] = key
        return key

    def series(self) -> dict[Key, Any]:
        """What was counted so far: of a counter a number, of a histogram a list (`Histogram`)."""
        raise NotImplementedError


class Counter(_Counted):
    """How often, or how much, since the machine began to count. It only rises."""

    ending = "_total"

    def add(self, amount: float = 1, *labels: str) -> None:
        """Count something that has happened and stays so."""
        try:
            key = self._keys[labels]
        except KeyError:
            key = self._key(labels)
        with self._lock:
            self._series[key] = self._series.get(key, 0) + amount

    def add_on_commit(self, amount: float = 1, *labels: str) -> None:
        """Count something once the transaction at hand is committed, and never if it is not."""
        transaction.on_commit(partial(self.add, amount, *labels), robust=True)

    @override
    def series(self) -> dict[Key, float]:
        with self._lock:
            return dict(self._series)


class Histogram(_Counted):
    """How many took how long (or were how large), by bounds that each count what is not above.

    A series is a list: how many within each bound and not the one before it, how many above the
    last, and the sum of all.
    """

    def __init__(
        self, name: str, meaning: str, *labels: Label, bounds: Sequence[float] = UP_TO_TEN_SECONDS
    ) -> None:
        self.bounds = tuple(bounds)
        self._late: deque[Late] = deque(maxlen=MOST_LATE)
        super().__init__(name, meaning, *labels)
        # For what happens many times in every request: takes (value, *labels), to be counted when
        # somebody asks for the series. It is not even a function of ours.
        self.observe_late = self._late.append

    @override
    def forget(self) -> None:
        super().forget()
        self._late.clear()

    def observe(self, value: float, *labels: str) -> None:
        """Count one that took so long."""
        self._observe_all([(value, *labels)])

    def _observe_all(self, observed: Iterable[Late]) -> None:
        with self._lock:
            for value, *labels in observed:
                row = self._row(tuple(labels))
                row[bisect_left(self.bounds, value)] += 1
                row[-1] += value

    def _row(self, labels: Key) -> list[float]:
        try:
            return self._series[self._keys[labels]]  # type: ignore[no-any-return]
        except KeyError:
            row: list[float] = [0] * (len(self.bounds) + 1) + [0.0]
            return self._series.setdefault(self._key(labels), row)  # type: ignore[no-any-return]

    @override
    def series(self) -> dict[Key, list[float]]:
        self._observe_all(self._take_late())
        with self._lock:
            return {key: list(row) for key, row in self._series.items()}

    def _take_late(self) -> Iterator[Late]:
        """What waits to be counted, for the caller alone."""
        with suppress(IndexError):  # until none waits: another thread may take the last one
            while True:
                yield self._late.popleft()


class _Read(Measure):
    """What is read when somebody wants to know. `read` returns a number, or one for each key."""

    def __init__(
        self, name: str, meaning: str, *labels: Label, read: Callable[[], Values | float]
    ) -> None:
        super().__init__(name, meaning, *labels)
        self._read = read

    def values(self) -> dict[Key, float]:
        """What it is now; raises whatever reading it raises."""
        read = self._read()
        if not isinstance(read, Mapping):
            return {(): read}
        values: dict[Key, float] = {}
        for key, value in read.items():
            bounded = tuple(
                label.bounded(str(one)) for label, one in zip(self.labels, key, strict=True)
            )
            values[bounded] = values.get(bounded, 0) + value
        return values


class Gauge(_Read):
    """How much there is of something that all machines share, as rows of the database.

    Whoever is asked for the metrics reads it, at most once in `keep` seconds.
    """

    def __init__(
        self,
        name: str,
        meaning: str,
        *labels: Label,
        read: Callable[[], Values | float],
        keep: float = 10,
    ) -> None:
        super().__init__(name, meaning, *labels, read=read)
        self.keep = keep


class ProcessGauge(_Read):
    """How much there is of something in each process; `merge` brings the living ones together.

    Where nothing is `read`, it is what the process said last, by `set` and `move`.
    """

    def __init__(
        self,
        name: str,
        meaning: str,
        *labels: Label,
        read: Callable[[], Values | float] | None = None,
        merge: Callable[[Iterable[float]], float] = sum,
    ) -> None:
        super().__init__(name, meaning, *labels, read=read or self._said)
        self.merge = merge
        self.forget()

    def forget(self) -> None:
        """Know nothing of before."""
        self._lock = threading.Lock()
        self._said_last: dict[Key, float] = {}

    def set(self, value: float, *labels: str) -> None:
        """Say how much there is now."""
        with self._lock:
            self._said_last[labels] = value

    def move(self, by: float, *labels: str) -> None:
        """Say that there is so much more than before."""
        with self._lock:
            self._said_last[labels] = self._said_last.get(labels, 0) + by

    def _said(self) -> Values:
        with self._lock:
            return dict(self._said_last)


class UpGauge(ProcessGauge):
    """1 while something answers, 0 while it fails or keeps us waiting for `within` seconds.

    Of several processes the one that is worst off tells; a process that never asked tells nothing.
    """

    def __init__(
        self,
        name: str,
        meaning: str,
        *,
        within: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.within = within
        self._clock = clock
        super().__init__(name, meaning, read=self._answers, merge=min)

    @override
    def forget(self) -> None:
        super().forget()
        self._asked_at: float | None = None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask in this block: whatever it raises means that there is no answer."""
        self._asked_at = self._clock()
        try:
            yield
        except BaseException:
            self.set(0)
            raise
        else:
            self.set(1)
        finally:
            self._asked_at = None

    def _answers(self) -> Values:
        asked_at = self._asked_at
        if asked_at is not None and self._clock() - asked_at >= self.within:
            return {(): 0}
        return self._said()


@dataclass(frozen=True)
class EventKind:
    """A kind of what a command or a service did once, and the facts that are told of it.

    `ops.services.events.record` writes one down. Facts are numbers, truths and words of the
    platform, such as the name of a job; never of a person.
    """

    name: str
    meaning: Any
    facts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        event_kinds.register(self.name, self)


measures: Registry[Measure] = Registry()
event_kinds: Registry[EventKind] = Registry()


def forget_counted() -> None:
    """Begin at nothing: a forked process has the numbers of the one it came from."""
    for measure in measures.values():
        if isinstance(measure, _Counted | ProcessGauge):
            measure.forget()


def counted() -> dict[str, dict[Key, Any]]:
    """All that this process has counted, by the name of the measure."""
    return {
        name: series
        for name, measure in measures.items()
        if isinstance(measure, _Counted) and (series := measure.series())
    }


os.register_at_fork(after_in_child=forget_counted)
