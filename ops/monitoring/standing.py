"""How the platform stands at this moment: what the status page says beside its charts.

Each function is a section, of one or two queries; none of them asks anything that might hang.
"""

import platform
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import django
from django.conf import settings
from django.db import connection
from django.db.models import Case, IntegerField, QuerySet, When
from django.utils.translation import gettext_lazy as _

from ops.metrics import CONNECTIONS_ALLOWED
from ops.models import Alert, ErrorGroup, ErrorState, ProcessBeat, Schedule, Severity
from ops.monitoring import kept_health
from ops.services import processes, schedules
from ops.services.jobs import jobs

# A process that lives was heard of this lately; it says so every five seconds.
LIVES_FOR = timedelta(seconds=6 * processes.BEAT_EVERY)
GONE_SINCE = timedelta(hours=1)  # processes gone longer are not told of
LATE_AFTER = 60  # seconds that a job may wait for a free worker
MOST_ROWS = 10  # of each section; its list has the others
MOST_PROCESSES = 50
NEXT_JOBS = 5

# What the checks of /health are called for people.
CHECKS = {
    "database": _("Database"),
    "cache": _("Cache"),
    "channel_layer": _("Channel layer"),
    "storage": _("Storage"),
    "disk": _("Disk"),
    "worker": _("Worker"),
    "scheduler": _("Scheduler"),
}


# --- Health -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of /health, as it went last."""

    label: str
    is_well: bool
    detail: str
    milliseconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the last look found; `looked_at` is None where this process has not looked yet."""

    looked_at: datetime | None
    is_old: bool
    checks: Sequence[Check]

    @property
    def failing(self) -> Sequence[Check]:
        """The checks that failed."""
        return [one for one in self.checks if not one.is_well]


def health(*, now: datetime) -> Health:
    """The checks as a beat of this process last made them."""
    newest = kept_health.newest()
    found = newest.report.checks if newest.report else {}
    return Health(
        looked_at=newest.looked_at,
        is_old=newest.is_old(now),
        checks=[
            Check(
                label=str(CHECKS.get(name, name)),
                is_well=one["status"] == "ok",
                detail=one["detail"],
                milliseconds=one["milliseconds"],
            )
            for name, one in found.items()
        ],
    )


# --- Processes ----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """Those that live, by kind; how many fell silent within an hour; the versions of the living."""

    living: Sequence[ProcessBeat]
    silent: int
    versions: Sequence[str]


def living_processes(*, now: datetime) -> Processes:
    """The processes of all machines, by one query."""
    heard = ProcessBeat.objects.filter(beat_at__gt=now - GONE_SINCE).exclude(kind="command")
    rows = list(heard.order_by("kind", "host", "pid"))
    living = [row for row in rows if row.beat_at > now - LIVES_FOR]
    return Processes(
        living=living[:MOST_PROCESSES],
        silent=len(rows) - len(living),
        versions=sorted({row.version or "-" for row in living}),
    )


# --- Jobs ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Jobs whose last run failed, those that nobody takes, and the next ones."""

    count: int
    failing: Sequence[schedules.Standing]
    late: Sequence[schedules.Standing]
    next: Sequence[Schedule]


def jobs_standing(*, now: datetime) -> Jobs:
    """How the periodic jobs stand, by two queries."""
    standings = schedules.standings(now=now)
    waiting = Schedule.objects.filter(job__in=jobs.names(), next_due_at__gt=now)
    return Jobs(
        count=len(standings),
        failing=[one for one in standings if one.failures],
        late=[one for one in standings if one.late_seconds > LATE_AFTER],
        next=list(waiting.order_by("next_due_at", "job")[:NEXT_JOBS]),
    )


# --- Alerts and errors --------------------------------------------------------------------------
WORST_FIRST = Case(
    When(rule__severity=Severity.CRITICAL, then=0),
    When(rule__severity=Severity.WARNING, then=1),
    default=2,
    output_field=IntegerField(),
)


def open_alerts() -> QuerySet[Alert]:
    """The alerts that are raised and not over, the worst first, and of these the newest."""
    raised = Alert.objects.filter(raised_at__isnull=False, resolved_at__isnull=True)
    return raised.select_related("rule").order_by(WORST_FIRST, "-raised_at", "-pk")


def open_errors() -> QuerySet[ErrorGroup]:
    """The kinds of errors that nobody has seen to, the newest first."""
    return ErrorGroup.objects.exclude(state=ErrorState.DONE).order_by("-last_seen", "-pk")


# --- Database, disk, versions -------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Which database it is, and its connections; without any where it is a file.

    Of connections of other roles it may be hidden what they do: they are at work or idle, nobody
    says which.
    """

    name: str
    version: str
    connections: int | None = None
    allowed: int | None = None
    active: int | None = None
    idle_in_transaction: int | None = None
    hidden: int | None = None
    size: int | None = None  # bytes, of a file

    @property
    def share_used(self) -> float:
        """Which part of the connections that are allowed is taken."""
        return self.connections / self.allowed if self.connections and self.allowed else 0.0


# Kind and doings of sessions of other roles are hidden from ours; they hold connections all the
# same. Those that are kept for superusers are none that we get.
OF_CONNECTIONS = """
    SELECT count(*), (/* allowed */)::int,
           count(*) FILTER (WHERE state = 'active'),
           count(*) FILTER (WHERE state LIKE 'idle in transaction%'),
           count(*) FILTER (WHERE state IS NULL)
    FROM pg_stat_activity
    WHERE datname IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
""".replace("/* allowed */", CONNECTIONS_ALLOWED)


def database() -> Database:
    """The database and its connections, by one query at most."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(OF_CONNECTIONS)
            taken, allowed, active, idle, hidden = cursor.fetchone()
        number = connection.get_database_version()
        return Database(
            name="PostgreSQL",
            version=".".join(map(str, number)),
            connections=taken,
            allowed=allowed,
            active=active,
            idle_in_transaction=idle,
            hidden=hidden,
        )
    file = Path(str(connection.settings_dict["NAME"]))
    size = file.stat().st_size if file.is_file() else None
    return Database(name="SQLite", version=sqlite3.sqlite_version, size=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The disk where DATA_DIR lies; bytes."""

    free: int
    total: int
    least: int  # below it the platform counts as unhealthy

    @property
    def is_nearly_full(self) -> bool:
        """Whether /health would say so."""
        return self.free < self.least


def disk() -> Disk:
    """How much room there is."""
    usage = shutil.disk_usage(settings.DATA_DIR)
    return Disk(free=usage.free, total=usage.total, least=settings.LEAST_FREE_DISK_MB * 1024 * 1024)


def versions() -> list[tuple[str, str]]:
    """Name and version of the platform and what it stands on; Redis where it is used."""
    found = [
        (str(_("Platform")), settings.VERSION or str(_("not said"))),
        ("Python", platform.python_version()),
        ("Django", django.get_version()),
    ]
    if settings.REDIS_URL:
        found.append(("Redis", kept_health.newest().redis_version or str(_("not said yet"))))
    return found
