"""What every process does by itself for the platform (`ops.services.pulse`)."""

import time

import psutil
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from ops import life_signs, pools
from ops.logs import files as log_files
from ops.logs import lines
from ops.metrics import CPU_SECONDS, DATABASE_UP, POOL_CHANGES, REDIS_SECONDS, REDIS_UP
from ops.services import (
    connection_room,
    error_groups,
    live_settings,
    machine,
    maintenance,
    metric_files,
    metrics,
    processes,
    slow_requests,
    storage_probe,
)
from ops.services.pulse import Beat, beats

WRITE_EVERY = 1  # second
WRITE_ERRORS_EVERY = 5
COMPACT_EVERY = 60
ASK_REDIS_EVERY = 5
LOOK_AT_LOG_FILES_EVERY = 3600

_cpu_told = {"seconds": 0.0}
_connections_told: dict[str, int] = {}


def register() -> None:
    """Register the beats of the platform itself."""
    beats.register("live settings", Beat(live_settings.refresh, every=live_settings.REFRESH_EVERY))
    beats.register("maintenance", Beat(maintenance.keep_up, every=maintenance.READ_EVERY))
    beats.register("errors", Beat(error_groups.write_waiting, every=WRITE_ERRORS_EVERY))
    beats.register("lines of requests", Beat(lines.backlog.write, every=lines.WRITE_EVERY))
    beats.register(
        "slow requests", Beat(slow_requests.write_waiting, every=slow_requests.WRITE_EVERY)
    )
    beats.register("metrics", Beat(metrics.write_until_the_end, every=WRITE_EVERY))
    beats.register("metrics of the gone", Beat(metric_files.compact, every=COMPACT_EVERY))
    beats.register("heartbeat", Beat(live, every=processes.BEAT_EVERY))
    beats.register("storage", Beat(storage_probe.probe, every=storage_probe.PROBE_EVERY))
    beats.register("old files of the log", Beat(keep_log_files, every=LOOK_AT_LOG_FILES_EVERY))
    if settings.REDIS_URL:
        beats.register("redis", Beat(ask_redis, every=ASK_REDIS_EVERY))


def keep_log_files() -> None:
    """Delete and pack old files of the log, on each machine those of its own."""
    if machine.speaks():
        log_files.forget_old(now=timezone.now())


def live() -> None:
    """Say that this process lives, where all machines see it, and whether that could be said."""
    count_cpu_time()
    count_connections()
    with DATABASE_UP.asking():
        is_first = processes.beat()
    if is_first:
        connection_room.warn_without_room()


def count_cpu_time() -> None:
    """Count the CPU time that this process took since it was counted last."""
    times = psutil.Process().cpu_times()
    seconds = times.user + times.system
    # A forked process begins at nothing, and so do its times.
    CPU_SECONDS.add(max(0.0, seconds - _cpu_told["seconds"]), life_signs.kind())
    _cpu_told["seconds"] = seconds


def count_connections() -> None:
    """Count the connections that were made, not made and lost since they were counted last."""
    for what, times in pools.changes().items():
        # A pool that was closed takes its numbers along.
        POOL_CHANGES.add(max(0, times - _connections_told.get(what, 0)), what)
        _connections_told[what] = times


def ask_redis() -> None:
    """Ask the cache for something, and count how long the answer took."""
    begun = time.perf_counter()
    with REDIS_UP.asking():
        cache.get("pulse")
    REDIS_SECONDS.observe(time.perf_counter() - begun)
