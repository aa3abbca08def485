"""What the platform tells of itself, whatever its business: requests, database, sockets, files."""

import shutil
from typing import Any

import psutil
from django.conf import settings
from django.db import connection
from django.db.models import Count, Sum
from django.utils.translation import gettext_lazy as _

from ops import life_signs, pools
from ops.measures import (
    Counter,
    EventKind,
    Gauge,
    Histogram,
    Key,
    Label,
    ProcessGauge,
    UpGauge,
    event_kinds,
)
from ops.models import FilePurpose, StoredFile

# --- Database, Redis, storage ---------------------------------------------------------------------


POOL_CONNECTIONS = ProcessGauge(
    "platform_database_connections",
    "Connections of the pools, used and idle.",
    Label("state", ("used", "idle")),
    read=pools.open_connections,
)
POOL_WAITING = ProcessGauge(
    "platform_database_waiting", "Who waits for a connection of the pools.", read=pools.waiting
)
POOL_CHANGES = Counter(
    "platform_database_connections_changed_total",
    "Connections of the pools that were made, that could not be made, and that were found lost.",
    Label("change", pools.CHANGES),
)
DATABASE_UP = UpGauge(
    "platform_database_up",
    "1 while every process reaches the database; 0 as well after 10 seconds without an answer.",
    within=10,
)
REDIS_UP = UpGauge(
    "platform_redis_up",
    "1 while every process reaches Redis; 0 as well after 10 seconds without an answer; not there "
    "where none is configured.",
    within=10,
)
REDIS_SECONDS = Histogram(
    "platform_redis_seconds",
    "Seconds of a round trip to the cache, tried by every process every five seconds.",
    bounds=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5),
)
STORAGE_UP = UpGauge(
    "platform_storage_up",
    "1 while a file can be written, read and deleted; 0 as well after 20 seconds without an end.",
    within=20,
)
STORAGE_SECONDS = Histogram(
    "platform_storage_seconds",
    "Seconds to write, read and delete a small file, tried by each machine every 15 seconds.",
    bounds=(0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
DISK_FREE = ProcessGauge(
    "platform_disk_free_bytes",
    "Free space where DATA_DIR lies.",
    read=lambda: shutil.disk_usage(settings.DATA_DIR).free,
    merge=min,
)

# --- The database itself, as its server tells -----------------------------------------------------
_STATES = ("active", "idle", "idle_in_transaction")


def _told(statement: str) -> list[tuple[Any, ...]]:
    """The rows that PostgreSQL answers with; none of SQLite, which has no server to ask."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _number(statement: str, column: int = 0) -> dict[Key, float]:
    """The one number that PostgreSQL answers with (in this column), as a gauge has it."""
    rows = _told(statement)
    # Clocks that are set back make no time negative.
    return {(): max(0.0, float(rows[0][column]))} if rows else {}


def _sessions() -> dict[Key, float]:
    # All of the server, since what it allows is for all together; those of other databases, and of
    # roles whose doings are hidden from ours, are counted as "other".
    rows = _told(
        "SELECT CASE WHEN datname <> current_database() THEN 'elsewhere' "
        "WHEN state LIKE 'idle in transaction%' THEN 'idle_in_transaction' "
        "ELSE coalesce(state, 'hidden') END, count(*) FROM pg_stat_activity "
        "WHERE datname IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend' "
        "GROUP BY 1"
    )
    return {(state,): 0 for state in _STATES if rows} | {(state,): count for state, count in rows}


# Without those kept for superusers, and since PostgreSQL 16 for a role of operators.
CONNECTIONS_ALLOWED = (
    "SELECT sum(CASE WHEN name = 'max_connections' THEN 1 ELSE -1 END * setting::integer) "
    "FROM pg_settings WHERE name IN "
    "('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
)
# What the server does by itself is at no database; who may not see it sees no kind of it either.
CONNECTIONS_USED = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'"
)
_SESSIONS_USED = f"SELECT ({CONNECTIONS_USED})::float / ({CONNECTIONS_ALLOWED})"
_LOCK_WAITS = (
    "SELECT count(DISTINCT pid), "
    "coalesce(extract(epoch FROM clock_timestamp() - min(waitstart)), 0) "
    "FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE NOT granted AND datname = current_database()"
)
_TRANSACTION = (
    "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0) "
    "FROM pg_stat_activity WHERE datname = current_database() "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def _database_bytes() -> float:
    size = (
        "SELECT pg_database_size(current_database())"
        if connection.vendor == "postgresql"
        else "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    )
    with connection.cursor() as cursor:
        cursor.execute(size)
        return float(cursor.fetchone()[0])


SESSIONS = Gauge(
    "platform_database_sessions",
    "Connections that the database server holds, by what they do (other: of other databases).",
    Label("state", _STATES),
    read=_sessions,
)
SESSIONS_ALLOWED = Gauge(
    "platform_database_sessions_allowed",
    "Connections that the database server allows.",
    read=lambda: _number(CONNECTIONS_ALLOWED),
    keep=300,
)
SESSIONS_USED = Gauge(
    "platform_database_sessions_used_ratio",
    "Which share of the connections that the database server allows is taken, from 0 to 1.",
    read=lambda: _number(_SESSIONS_USED),
)
LOCK_WAITS = Gauge(
    "platform_database_lock_waits",
    "Sessions that wait for a lock of another.",
    read=lambda: _number(_LOCK_WAITS),
)
LONGEST_LOCK_WAIT = Gauge(
    "platform_database_longest_lock_wait_seconds",
    "For how long the session that waits longest has waited for a lock.",
    read=lambda: _number(_LOCK_WAITS, column=1),
)
LONGEST_TRANSACTION = Gauge(
    "platform_database_longest_transaction_seconds",
    "For how long the oldest open transaction has been open.",
    read=lambda: _number(_TRANSACTION),
)
DEADLOCKS = Gauge(
    "platform_database_deadlocks",
    "Deadlocks that the database server resolved, since its statistics began.",
    read=lambda: _number(_DEADLOCKS),
)
DATABASE_BYTES = Gauge(
    "platform_database_bytes",
    "Size of the database with its indexes.",
    read=_database_bytes,
    keep=300,
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
    "Runs of periodic jobs that ended, by how; overdue: given up after the limit of the job.",
    Label("job", most=60),
    Label("outcome", ("done", "failed", "overdue")),
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
INTEGRITY_REPAIRED = EventKind(
    "integrity_repaired",
    _("What must always hold was set right, as far as it could be"),
    ("repaired", "refused", "left"),
)
DATABASE_MENDED = EventKind(
    "database_mended",
    _("What diagnose_db found was mended"),
    ("done", "failed"),
)
BACKUP_STARTED = EventKind("backup_started", _("A backup was begun"), ("backup_kind", "trigger"))
BACKUP_MADE = EventKind(
    "backup_made", _("A backup was made"), ("backup_kind", "trigger", "seconds", "bytes")
)
BACKUP_FAILED = EventKind(
    "backup_failed", _("A backup was not made"), ("backup_kind", "trigger", "problem")
)
BACKUP_PROVEN = EventKind(
    "backup_proven", _("A backup was proven"), ("backup", "backup_kind", "seconds")
)
BACKUP_NOT_PROVEN = EventKind(
    "backup_not_proven",
    _("A backup could not be proven"),
    ("backup", "backup_kind", "seconds", "problem"),
)
BACKUP_RESTORED = EventKind("backup_restored", _("A backup was restored"), ("backup", "seconds"))
BACKUPS_REMOVED = EventKind("backups_removed", _("Old backups were taken away"), ("count",))
ROW_SET_ASIDE = EventKind(
    "row_set_aside", _("A job gave up a row that kept failing"), ("job", "error")
)
SLOW_REQUEST = EventKind(
    "slow_request", _("A request took too long"), ("route", "request_id", "seconds")
)
DEMO_LOADED = EventKind("demo_loaded", _("The demo shop was loaded"))
