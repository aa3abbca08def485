"""The way of an alert in one process: sample, comparison, channel, and who is told; time passes.

What is read, compared and sent is read, compared and sent as in production, by the beats and by the
job; a test says when. That time passes is that what is stored was earlier.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db.models import F, Model

from ops.metrics import STORAGE_UP
from ops.models import Alert, AlertChannel, MetricSample, OperationalEvent, Schedule
from ops.monitoring import delivery, kept_queue, standing_in, watch
from ops.monitoring.jobs import EVALUATION
from ops.services import machine, metric_files, metrics, schedules, storage_probe
from ops.services.scheduler import run_by_hand
from ops.tests.alerts import Catcher, catcher, make_channel

A_DAY = timedelta(days=1)


class Alerting:
    """The alerts of this process, and a catcher as their one channel."""

    def __init__(self, server: Catcher) -> None:
        self._server = server

    def look(self) -> None:
        """Sample, compare and send once; what was sent has arrived."""
        metrics.forget_gauges()
        kept_queue.forget()
        watch.sample()
        ended = run_by_hand(EVALUATION)
        assert ended is not None, "somebody else compares"
        assert not ended.error, ended.error
        for channel in AlertChannel.objects.all():
            # Here, and not in a thread, which would need a connection where a fault left none.
            delivery.deliver_to(channel.pk)

    def let_pass(self, seconds: float) -> None:
        """Let so many seconds pass for what was read, what happened, and what was raised."""
        earlier(MetricSample, seconds, "taken_at")
        earlier(OperationalEvent, seconds, "happened_at")
        earlier(Alert, seconds, "since", "raised_at", "told_at")

    def notices(self, rule: str) -> list[dict[str, Any]]:
        """What the catcher was told of a rule, in the order in which it arrived."""
        return [said for _path, said, _headers in self._server.taken if said["rule"] == rule]


def earlier(model: type[Model], seconds: float, *fields: str) -> None:
    """Let all rows of a table be as they would be if so many seconds had passed."""
    by = timedelta(seconds=seconds)
    model._default_manager.update(**{field: F(field) - by for field in fields})


@contextmanager
def alerting() -> Iterator[Alerting]:
    """A platform that nothing is told of yet; what this process knows of it is forgotten after."""
    schedules.add_missing(now=schedules.database_now())
    # Whoever is not due for a day is not late while minutes pass.
    Schedule.objects.update(next_due_at=schedules.database_now() + A_DAY)
    try:
        with catcher() as server:
            make_channel(server.address, takes_info=True)
            yield Alerting(server)
    finally:
        storage_probe.forget()
        STORAGE_UP.forget()
        machine.let_go()
        standing_in.forget()
        metric_files.let_go()
        metrics.forget_gauges()
