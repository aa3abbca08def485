"""What is read of the queue, of jobs and of the outside, beyond what services count."""

import logging
from collections.abc import Mapping
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from ops.measures import Gauge, Label
from ops.monitoring import certificate, kept_queue
from ops.services import processes, schedules
from ops.services.jobs import are_paused, jobs

logger = logging.getLogger(__name__)

AN_HOUR = 3600  # seconds


def _certificate() -> Mapping[tuple[str, ...], float]:
    try:
        days = certificate.days_left(settings.PUBLIC_URL)
    except OSError as error:
        # Not again for an hour: the other gauges wait for this one.
        logger.warning("The certificate of PUBLIC_URL cannot be read: %s", type(error).__name__)
        return {}
    return {} if days is None else {(): days}


def _silence() -> dict[tuple[str, ...], float]:
    now = timezone.now()
    seen: dict[str, datetime | None] = {
        "worker": processes.last_seen("worker"),
        "scheduler": processes.last_seen("scheduler"),
    }
    return {
        (part,): max(0.0, (now - moment).total_seconds())
        for part, moment in seen.items()
        if moment is not None
    }


CERTIFICATE = Gauge(
    "platform_certificate_days",
    "For how many days the certificate is good that PUBLIC_URL shows; nothing without TLS.",
    read=_certificate,
    keep=AN_HOUR,
)
SILENCE = Gauge(
    "platform_silent_seconds",
    "For how long no worker, or no scheduler, was heard of on any machine.",
    Label("part", ("worker", "scheduler")),
    read=_silence,
    keep=5,
)
QUEUE_TASKS = Gauge(
    "platform_queue_tasks",
    "Tasks that wait in the queue.",
    read=lambda: kept_queue.asked_once().waiting.length,
)
QUEUE_OLDEST = Gauge(
    "platform_queue_oldest_seconds",
    "For how long the oldest task has waited in the queue.",
    read=lambda: kept_queue.asked_once().waiting.oldest_seconds,
)


def _failures() -> dict[tuple[str, ...], float]:
    failures = kept_queue.asked_once().failures
    return {("failed",): failures.failed, ("lost",): failures.lost}


QUEUE_FAILURES = Gauge(
    "platform_queue_failures",
    "Tasks of the last hour that failed, and that lost their worker.",
    Label("how", ("failed", "lost")),
    read=_failures,
)


def _lateness() -> dict[tuple[str, ...], float]:
    is_paused = are_paused()  # what rests in maintenance is not late
    return {
        (one.job,): 0.0 if is_paused and jobs[one.job].rests else one.late_seconds
        for one in schedules.standings()
    }


JOB_FAILURES = Gauge(
    "platform_job_failures_in_a_row",
    "How often a periodic job has failed since it last went well.",
    Label("job", most=60),
    read=lambda: {(one.job,): one.failures for one in schedules.standings()},
)
JOB_LATE = Gauge(
    "platform_job_late_seconds",
    "For how long a periodic job has been due without anybody taking it.",
    Label("job", most=60),
    read=_lateness,
)
JOB_RUNNING = Gauge(
    "platform_job_running_seconds",
    "For how long the run of a periodic job has been under way; 0 while none is.",
    Label("job", most=60),
    read=lambda: {(one.job,): one.running_seconds for one in schedules.standings()},
)
