"""The metrics of this machine: written down by each process, summed up for whoever asks.

To count costs a process a look into a dictionary: what was counted is written down by a beat once
a second (`ops.beats`), so that a kill -9 loses what was counted in the last second, and the sum of
the other processes is as old as that. What gauges read of the database is read for whoever asks,
beside the answer: a database that hangs leaves these gauges out and hangs nothing.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import Any, override

from django.db import connections
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from ops import measures
from ops.logs.lines import backlog
from ops.measures import Counter, Gauge, Histogram, Key, Measure, ProcessGauge
from ops.services import metric_files
from ops.services.metric_files import Sum

logger = logging.getLogger(__name__)

READ_GAUGES_EVERY = 5  # seconds between two looks of a process at itself
TIME_LIMIT = 4.0  # seconds for all gauges together; Prometheus waits for ten
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
UNREAD = "platform_unread_gauges"


# --- What this process writes ---------------------------------------------------------------------
@dataclass(slots=True)
class _Itself:
    """What this process last read of itself."""

    read_at: float = 0.0
    gauges: dict[str, dict[Key, float]] = field(default_factory=dict)


_itself = _Itself()


def write() -> None:
    """Write down what this process has counted, and every few seconds how it is."""
    now = time.monotonic()
    if not _itself.gauges or now - _itself.read_at >= READ_GAUGES_EVERY:
        _itself.gauges, _itself.read_at = _gauges_of_this_process(), now
    metric_files.write(_counted(), _itself.gauges)


def write_until_the_end() -> None:
    """Write as `write` does, and once more when the process ends in good order: for a beat."""
    metric_files.write_at_the_end(write_last)
    write()


def write_last() -> None:
    """Write down what this process has counted before it ends.

    Nothing if it has not, or if there is no folder of data: some commands need none.
    """
    counted = _counted()
    if counted and metric_files.folder().parent.is_dir():
        try:
            metric_files.write(counted, {})
        except OSError:
            logger.warning("What this process has counted could not be written", exc_info=True)


def _counted() -> dict[str, dict[Key, Any]]:
    """What this process has counted, the requests whose lines are not written yet among it."""
    backlog.write()
    return measures.counted()


def _gauges_of_this_process() -> dict[str, dict[Key, float]]:
    gauges: dict[str, dict[Key, float]] = {}
    for measure in measures.measures.values():
        if isinstance(measure, ProcessGauge):
            try:
                gauges[measure.name] = measure.values()
            except Exception:  # whatever it is that it looks at
                logger.exception("%s could not be read", measure.name)
    return gauges


# --- What everybody reads -------------------------------------------------------------------------
def render() -> bytes:
    """All metrics of this machine, as Prometheus reads them."""
    return generate_latest(_Everything())


def samples() -> Iterator[Sample]:
    """The same as samples with name, labels and value: for rules and charts."""
    for family in _Everything().collect():
        yield from family.samples


class _Everything(Collector):
    """What all measures that are declared come to, on this machine."""

    @override
    def collect(self) -> Iterator[Metric]:
        try:
            write()  # what this process counted until now is among it
        except OSError as error:  # a full disk must not hide what the others wrote
            why = error.strerror
            logger.warning("What this process has counted could not be written: %s", why)
        everything = metric_files.read()
        shared = _shared.read()
        for name, measure in sorted(measures.measures.items()):
            family = _family(measure)
            match measure:
                case Counter():
                    series = everything.counted.get(name, {})
                    for key, value in _fitting(measure, series):
                        family.add_metric(key, value)
                case Histogram():
                    series = everything.counted.get(name, {})
                    for key, row in _fitting(measure, series):
                        _add_histogram(family, measure, key=key, row=row)
                case ProcessGauge():
                    for key, value in _merged(measure, everything).items():
                        family.add_metric(key, value)
                case _:
                    for key, value in shared.get(name, {}).items():
                        family.add_metric(key, value)
            yield family
        unread = GaugeMetricFamily(UNREAD, "Gauges that could not be read in time.")
        unread.add_metric(
            [],
            sum(
                isinstance(one, Gauge) and one.name not in shared
                for one in measures.measures.values()
            ),
        )
        yield unread


def _family(measure: Measure) -> Any:
    labels = [label.name for label in measure.labels]
    match measure:
        case Counter():
            return CounterMetricFamily(measure.name, measure.meaning, labels=labels)
        case Histogram():
            return HistogramMetricFamily(measure.name, measure.meaning, labels=labels)
        case _:
            return GaugeMetricFamily(measure.name, measure.meaning, labels=labels)


def _fitting(measure: Measure, series: dict[Key, Any]) -> Iterable[tuple[Key, Any]]:
    """Those series that have the labels of today: an earlier version may have had others."""
    width = len(measure.labels)
    fitting = {key: value for key, value in series.items() if len(key) == width}
    return sorted((_from_the_start(measure) | fitting).items())


def _from_the_start(measure: Measure) -> dict[Key, Any]:
    """The series that are there before anything was counted.

    Prometheus sees a rise from nothing to one only where it has seen the nothing. So they are all
    there of a counter whose labels name all their values, and of what has no label.
    """
    if isinstance(measure, Histogram):
        row = [0] * (len(measure.bounds) + 1) + [0.0]
        return {} if measure.labels else {(): row}
    return dict.fromkeys(product(*(label.values for label in measure.labels)), 0)


def _add_histogram(family: Any, measure: Histogram, *, key: Key, row: list[float]) -> None:
    *counts, total = row
    if len(counts) != len(measure.bounds) + 1:
        return  # of a version with other bounds
    bounds = [*map(str, measure.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(counts), strict=True))
    family.add_metric(key, buckets=buckets, sum_value=total)


def _merged(measure: ProcessGauge, everything: Sum) -> dict[Key, float]:
    read: dict[Key, list[float]] = {}
    for gauges in everything.gauges:
        for key, value in gauges.get(measure.name, {}).items():
            if len(key) == len(measure.labels):
                read.setdefault(key, []).append(value)
    return {key: measure.merge(values) for key, values in sorted(read.items())}


# --- What all machines share ----------------------------------------------------------------------
@dataclass(slots=True)
class _Shared:
    """The gauges that read the database, each kept for a while."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    reading: threading.Thread | None = None
    kept: dict[str, tuple[float, dict[Key, float]]] = field(default_factory=dict)

    def read(self) -> dict[str, dict[Key, float]]:
        """What is known and not too old, after at most TIME_LIMIT seconds."""
        with self.lock:
            # One at a time: a database that hangs must not gather a thread for each who asks.
            if self.reading is None or not self.reading.is_alive():
                self.reading = threading.Thread(target=self._read_anew, name="gauges", daemon=True)
                self.reading.start()
            reading = self.reading
        reading.join(TIME_LIMIT)
        now = time.monotonic()
        return {
            measure.name: kept[1]
            for measure in _gauges()
            if (kept := self.kept.get(measure.name)) and now - kept[0] < measure.keep + TIME_LIMIT
        }

    def _read_anew(self) -> None:
        try:
            for measure in _gauges():
                kept = self.kept.get(measure.name)
                if kept is not None and time.monotonic() - kept[0] < measure.keep:
                    continue
                try:
                    values = measure.values()
                except Exception as error:  # noqa: BLE001  a database that is away leaves it out
                    logger.warning("%s could not be read: %s", measure.name, type(error).__name__)
                else:
                    self.kept[measure.name] = (time.monotonic(), values)
        finally:
            connections.close_all()


_shared = _Shared()


def forget_gauges() -> None:
    """Read everything anew the next time."""
    _shared.kept.clear()
    _itself.gauges.clear()


def _gauges() -> list[Gauge]:
    return [one for one in measures.measures.values() if isinstance(one, Gauge)]
