"""What the platform tells of itself, whatever its business: requests, database, sockets, files."""

import shutil
from typing import Any

import psutil
from django.conf import settings
from django.db import connections
from django.db.models import Count, Sum
from django.utils.translation import gettext_lazy as _

from ops import life_signs
from ops.measures import (
    Counter,
    EventKind,
    Gauge,
    Histogram,
    Key,
    Label,
    ProcessGauge,
    event_kinds,
)
from ops.models import FilePurpose, StoredFile

# --- Requests -------------------------------------------------------------------------------------
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_ROUTE = Label("route", most=600)  # patterns of addresses, of which the console has the most
_METHOD = Label("method", METHODS)

REQUESTS = Counter(
    "platform_requests_total",
    "Requests by route, method, status and the code of the envelope (empty: no envelope).",
    _ROUTE,
    _METHOD,
    Label("status", most=60),
    Label("code", most=120),
)
REQUEST_SECONDS = Histogram(
    "platform_request_seconds",
    "Seconds from the first middleware to the answer, by route and method.",
    _ROUTE,
    _METHOD,
)

# --- Database, Redis, storage ---------------------------------------------------------------------


def _pools() -> list[dict[str, Any]]:
    """What the pools of this process say; none where no connection was ever wanted."""
    pools = getattr(connections["default"], "_connection_pools", {})
    return [pool.get_stats() for pool in list(pools.values())]


def _pool_connections() -> dict[Key, float]:
    found: dict[Key, float] = {}
    for stats in _pools():
        idle = stats.get("pool_available", 0)
        found["idle",] = found.get(("idle",), 0) + idle
        found["used",] = found.get(("used",), 0) + stats.get("pool_size", 0) - idle
    return found


def _pool_waiting() -> float:
    return float(sum(stats.get("requests_waiting", 0) for stats in _pools()))


POOL_CONNECTIONS = ProcessGauge(
    "platform_database_connections",
    "Connections of the pools, used and idle.",
    Label("state", ("used", "idle")),
    read=_pool_connections,
)
POOL_WAITING = ProcessGauge(
    "platform_database_waiting", "Who waits for a connection of the pools.", read=_pool_waiting
)
DATABASE_UP = ProcessGauge(
    "platform_database_up", "1 while every process reaches the database.", merge=min
)
REDIS_UP = ProcessGauge(
    "platform_redis_up",
    "1 while every process reaches Redis; not there where none is configured.",
    merge=min,
)
REDIS_SECONDS = Histogram(
    "platform_redis_seconds",
    "Seconds of a round trip to the cache, tried by every process every five seconds.",
    bounds=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5),
)
STORAGE_UP = ProcessGauge(
    "platform_storage_up", "1 while every process can write, read and delete a file.", merge=min
)
STORAGE_SECONDS = Histogram(
    "platform_storage_seconds",
    "Seconds to write, read and delete a small file, tried by every process every 15 seconds.",
    bounds=(0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
DISK_FREE = ProcessGauge(
    "platform_disk_free_bytes",
    "Free space where DATA_DIR lies.",
    read=lambda: shutil.disk_usage(settings.DATA_DIR).free,
    merge=min,
)

# --- Processes ------------------------------------------------------------------------------------
_KIND = Label("kind", life_signs.KINDS)


def _memory() -> dict[Key, float]:
    return {(life_signs.kind(),): psutil.Process().memory_info().rss}


def _one_of_its_kind() -> dict[Key, float]:
    return {(life_signs.kind(),): 1}


PROCESSES = ProcessGauge("platform_processes", "Living processes.", _KIND, read=_one_of_its_kind)
LARGEST = ProcessGauge(
    "platform_process_largest_bytes",
    "Resident memory of the largest process.",
    _KIND,
    read=_memory,
    merge=max,
)
MEMORY = ProcessGauge(
    "platform_process_memory_bytes", "Resident memory of the processes.", _KIND, read=_memory
)
CPU_SECONDS = Counter("platform_process_cpu_seconds_total", "CPU time of the processes.", _KIND)

# --- Sockets --------------------------------------------------------------------------------------
SOCKETS_OPEN = ProcessGauge("platform_sockets", "Sockets that are greeted and open.")
SOCKETS_OPENED = Counter("platform_sockets_opened_total", "Sockets that were greeted.")
SOCKETS_CLOSED = Counter("platform_sockets_closed_total", "Sockets that were greeted and are gone.")
PUSH_SECONDS = Histogram(
    "platform_push_seconds",
    "Seconds from the commit until a process hands a push to its sockets; across machines their "
    "clocks differ as well.",
)


# --- Background work ------------------------------------------------------------------------------
JOB_RUNS = Counter(
    "platform_job_runs_total",
    "Runs of periodic jobs that ended, by how.",
    Label("job", most=60),
    Label("outcome", ("done", "failed")),
)
JOB_SECONDS = Counter(
    "platform_job_seconds_total", "Seconds that periodic jobs took.", Label("job", most=60)
)
JOB_ROWS = Counter(
    "platform_job_rows_total",
    "Rows that periodic jobs did, one by one.",
    Label("job", most=60),
    Label("outcome", ("done", "failed")),
)
ROWS_PURGED = Counter(
    "platform_rows_purged_total",
    "Rows that were deleted because their time was over.",
    Label("model", most=60),
)


# --- Files ----------------------------------------------------------------------------------------
def _files(column: str) -> dict[Key, float]:
    rows = StoredFile.objects.order_by().values_list("purpose", "storage")
    found = rows.annotate(count=Count("pk"), bytes=Sum("size"))
    return {
        (purpose, storage): count if column == "count" else total
        for purpose, storage, count, total in found
    }


_PURPOSE = Label("purpose", FilePurpose.values)
_STORAGE = Label("storage", most=20)
FILES = Gauge(
    "platform_files",
    "Stored files.",
    _PURPOSE,
    _STORAGE,
    read=lambda: _files("count"),
    keep=60,
)
FILE_BYTES = Gauge(
    "platform_file_bytes",
    "Bytes of the stored files.",
    _PURPOSE,
    _STORAGE,
    read=lambda: _files("bytes"),
    keep=60,
)
FILES_STORED = Counter("platform_files_stored_total", "Files that were written.", _PURPOSE)
FILES_DISCARDED = Counter(
    "platform_files_discarded_total", "Temporary files that were taken away.", _PURPOSE
)

# --- Changes and events ---------------------------------------------------------------------------
CHANGES = Counter(
    "platform_changes_total",
    "Audited changes by staff, merchants and commands, by what was done.",
    Label("action", most=300),
)
EVENTS = Counter(
    "platform_events_total",
    "Operational events, by their kind.",
    Label("kind", event_kinds.names),
)

KEYS_RENEWED = EventKind(
    "keys_renewed",
    _("Rows were made anew under the newest keys"),
    ("renewed", "unreadable", "refused", "keys_missing"),
)
LEDGERS_SEALED = EventKind("ledgers_sealed", _("The ledgers were sealed"), ("accounts", "entries"))
SEALS_CONTRADICT = EventKind(
    "seals_contradict", _("Seals and database contradict each other: nothing is sealed")
)
SEALS_SET_ASIDE = EventKind(
    "seals_set_aside", _("Seals of another course of the database were set aside"), ("days",)
)
INTEGRITY_CHECKED = EventKind(
    "integrity_checked",
    _("It was checked what must always hold"),
    ("only", "checks", "findings", "seconds"),
)
ROW_SET_ASIDE = EventKind(
    "row_set_aside", _("A job gave up a row that kept failing"), ("job", "error")
)
SLOW_REQUEST = EventKind(
    "slow_request", _("A request took too long"), ("route", "request_id", "seconds")
)
DEMO_LOADED = EventKind("demo_loaded", _("The demo shop was loaded"))
