"""The heartbeat of every process, and whether worker and scheduler are alive."""

import os
import secrets
import socket
from datetime import UTC, datetime, timedelta

import psutil
from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from ops import life_signs
from ops.life_signs import Part
from ops.models import ProcessBeat
from ops.services.purge import purge

BEAT_EVERY = 5  # seconds
# A part that is alive comes round many times in this; the longest task does not take half of it.
SILENT_AFTER = timedelta(seconds=120)
KEPT_FOR = timedelta(days=1)  # after the last beat
BATCH_SIZE = 1000  # rows of processes gone that one round of the job deletes

_name: dict[int, str] = {}  # by the number of the process: a fork has a name of its own


def _own_name() -> str:
    pid = os.getpid()
    if pid not in _name:
        _name[pid] = f"{pid}-{secrets.token_hex(8)}"
    return _name[pid]


def beat() -> bool:
    """Say that this process lives, what it takes, and when its parts were last at work.

    Returns whether it is said for the first time.
    """
    process = psutil.Process()
    with process.oneshot():
        memory = process.memory_info().rss
        times = process.cpu_times()
    moving = {
        "beat_at": timezone.now(),
        "memory": memory,
        "cpu_seconds": times.user + times.system,
        "worker_seen_at": life_signs.seen_at("worker"),
        "scheduler_seen_at": life_signs.seen_at("scheduler"),
    }
    if ProcessBeat.objects.filter(name=_own_name()).update(**moving):
        return False
    ProcessBeat.objects.create(
        name=_own_name(),
        kind=life_signs.kind(),
        host=socket.gethostname()[:255],
        pid=os.getpid(),
        version=settings.VERSION[:64],
        started_at=life_signs.started_at,
        **moving,
    )
    return True


def last_seen(part: Part) -> datetime | None:
    """When a worker, or a scheduler, was last at work on any machine; None if never lately."""
    newest = ProcessBeat.objects.aggregate(newest=Max(f"{part}_seen_at"))["newest"]
    return newest if newest is None else newest.astimezone(UTC)


class PartSilent(Exception):
    """No machine has a worker, or a scheduler, that is at work."""


def check_alive(part: Part, *, now: datetime) -> None:
    """Raise PartSilent where a worker, or a scheduler, was heard of nowhere for two minutes.

    Not in the first two minutes of this process: they may start after it. While DEBUG is on there
    need be none.
    """
    newest = last_seen(part)
    if newest is not None and now - newest < SILENT_AFTER:
        return
    if life_signs.uptime() < SILENT_AFTER.total_seconds():
        return
    if newest is not None:
        raise PartSilent(f"the {part} was last at work at {newest:%Y-%m-%d %H:%M:%S} UTC")
    if not settings.DEBUG:
        raise PartSilent(f"there is no {part}: start `manage.py worker`")


def forget_old(*, now: datetime) -> int:
    """Delete processes not heard of for a day, BATCH_SIZE at most; returns how many."""
    gone = ProcessBeat.objects.filter(beat_at__lte=now - KEPT_FOR)
    return purge(gone.order_by("beat_at"), batch_size=BATCH_SIZE)
