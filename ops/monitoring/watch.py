"""What every machine does that runs background work: sample, tell, and watch the database."""

import socket
from collections.abc import Callable

from django.utils import timezone

from ops import life_signs
from ops.monitoring import delivery, samples
from ops.monitoring.outage import Watch
from ops.monitoring.series import Series
from ops.services import metrics
from ops.services.pulse import Beat, beats

HOST = socket.gethostname()

_watch = Watch(host=HOST)


def register() -> None:
    """Register the beats of monitoring; they do something where background work runs."""
    beats.register("metric samples", Beat(_in_background(sample), every=samples.TAKEN_EVERY))
    beats.register("alert notices", Beat(_in_background(deliver), every=1))
    beats.register("database watch", Beat(_in_background(_watch.look), every=3))


def _in_background(act: Callable[[], object]) -> Callable[[], object]:
    def act_there() -> None:
        if life_signs.kind() in {"worker", "serve"}:
            act()

    return act_there


def sample() -> None:
    """Keep what this machine reads of itself now.

    Without the buckets of histograms: there are many, and no rule or chart asks for them.
    """
    readings = {
        Series.of(one.name, one.labels): one.value
        for one in metrics.samples()
        if not one.name.endswith(("_bucket", "_created"))
    }
    samples.keep(readings, host=HOST, now=timezone.now())


def deliver() -> None:
    """Send the notices whose time has come."""
    delivery.deliver(now=timezone.now())
