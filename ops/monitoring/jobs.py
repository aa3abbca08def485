"""The periodic jobs of monitoring."""

from datetime import datetime, timedelta

from django.utils.translation import gettext_lazy as _

from ops.models import Schedule
from ops.monitoring import delivery, first_channels, heartbeat, samples
from ops.monitoring.evaluation import evaluate
from ops.services.jobs import Job, jobs

# Twice as often as samples are taken: what is wrong is told within 30 seconds, however the looks of
# beat, sample and evaluation fall.
EVALUATED_EVERY = timedelta(seconds=5)
EVALUATION = "evaluate alert rules"
COMPARED_WITHIN = timedelta(minutes=1)


def register() -> None:
    """Register what rules, notices and samples need of the scheduler."""
    jobs.register(
        EVALUATION,
        Job(
            run=evaluate,
            every=EVALUATED_EVERY,
            label=_("Compare alert rules with metrics"),
            rests=False,
            limit=timedelta(minutes=1),
            own_slot=True,  # four other jobs that hang must not silence the alerts
        ),
    )
    jobs.register(
        "first alert channels",
        Job(
            run=make_first_channels,
            every=timedelta(minutes=1),
            label=_("Make the alert channels of the environment"),
        ),
    )
    jobs.register(
        "outside heartbeat",
        Job(
            run=beat_outside,
            every=timedelta(minutes=1),
            label=_("Tell somebody outside that the alerts are alive"),
            rests=False,
        ),
    )
    jobs.register(
        "thin metric samples",
        Job(run=samples.thin, every=timedelta(minutes=10), label=_("Thin old metric samples")),
    )
    jobs.register(
        "old alert notices",
        Job(run=delivery.forget_old, every=timedelta(hours=1), label=_("Forget old alert notices")),
    )


def make_first_channels(*, now: datetime) -> int:
    """Make the channels of the environment where there is none; returns how many were made."""
    return first_channels.make_first()


def beat_outside(*, now: datetime) -> None:
    """Give the outside heartbeat, as long as rules are compared.

    Raises NotCompared where none was for a minute: then the heartbeat has to stay away.
    """
    lately = Schedule.objects.filter(
        job=EVALUATION, failures=0, last_started_at__gt=now - COMPARED_WITHIN
    )
    if not lately.exists():
        raise NotCompared
    heartbeat.beat()


class NotCompared(Exception):
    """No alert rule was compared for a minute, or the last comparison failed."""
