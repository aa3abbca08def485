"""What is done for the alerts beside the jobs: sample, tell, and watch database and workers.

Each machine samples and watches once, whatever its processes are there for: the one that speaks for
it does (`ops.services.machine`). Notices are sent where background work runs; where nobody compares
rules or sends notices any more, the speaker does (`ops.monitoring.standing_in`).
"""

import socket

from django.utils import timezone

from ops import life_signs
from ops.monitoring import delivery, samples, standing_in
from ops.monitoring.outage import Watch
from ops.monitoring.series import Series
from ops.services import machine, metrics
from ops.services.pulse import Beat, beats

HOST = socket.gethostname()

_watch = Watch(host=HOST)


def register() -> None:
    """Register the beats of monitoring."""
    beats.register("metric samples", Beat(sample, every=samples.TAKEN_EVERY))
    beats.register("alert notices", Beat(deliver, every=2))
    beats.register("database watch", Beat(watch_database, every=3))
    beats.register("standing in", Beat(stand_in, every=5))


def watch_database() -> None:
    """Look whether the database answers, for the machine; the others are ready to take over."""
    if _speaks():
        _watch.look()
    else:
        _watch.stand_by()


def sample() -> None:
    """Keep what this machine reads of itself now, unless another of its processes does.

    Without the buckets of histograms: there are many, and no rule or chart asks for them.
    """
    if not _speaks():
        return
    readings = {
        Series.of(one.name, one.labels): one.value
        for one in metrics.samples()
        if not one.name.endswith(("_bucket", "_created"))
    }
    samples.keep(readings, host=_machine_id(), now=timezone.now())


def deliver() -> None:
    """Send the notices whose time has come, where background work runs."""
    if _does_background_work():
        delivery.deliver(now=timezone.now())


def stand_in() -> None:
    """Compare rules and send notices for the machine, where nobody whose work it is does."""
    if not _speaks():
        return
    is_alone = standing_in.compare()
    if not _does_background_work():
        standing_in.send(now=timezone.now(), is_alone=is_alone)


def _speaks() -> bool:
    """Whether this process speaks for the machine.

    Each of them does where METRICS_DIR cannot be written: rather twice than not at all.
    """
    try:
        return machine.speaks()
    except OSError:
        return True


def _machine_id() -> str:
    """What the machine is called; the host, where no id can be kept."""
    try:
        return machine.machine_id()
    except OSError:
        return HOST


def _does_background_work() -> bool:
    return life_signs.kind() in {"worker", "serve"}
