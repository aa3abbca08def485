"""Whether and how the database is reached."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.utils.translation import gettext as _

from ops.diagnosis.findings import Finding, Severity
from ops.metrics import CONNECTIONS_USED
from ops.services.connection_room import Room, room

PART = "connection"
SLOW = 0.05  # seconds of a round trip
DISK_FULL, NO_SPACE = "53100", "No space left on device"  # as PostgreSQL numbers and calls it
NEARLY_ALL = 0.8  # of the connections that the server allows
TIMES = 5
ROOM = 16  # MB that the server is asked to write: as much as a piece of its log takes
# Sorted beside the memory, and so written to the disk of the server and thrown away: whatever the
# role may do, and on a replica as well. 8000 bytes a row.
_TAKE_ROOM = (
    "SELECT max(length(text)) FROM (SELECT repeat('x', 8000) AS text "
    "FROM generate_series(1, %s) AS number ORDER BY number %% 7, number OFFSET 0) AS sorted"
)


def look() -> Iterator[Finding]:
    """Say where the database is, how fast it answers and how many more it would let in.

    Raises DatabaseError.
    """
    if connection.vendor == "postgresql":
        yield from _of_a_server()
    else:
        yield from _of_a_file()


def reach() -> None:
    """Connect once past the pool, which says of every failure that it waited too long.

    Raises DatabaseError, in the words of the server.
    """
    given = connection.settings_dict
    if "pool" not in given["OPTIONS"]:
        connection.ensure_connection()
        return
    options = {name: one for name, one in given["OPTIONS"].items() if name != "pool"}
    direct = connections.create_connection("default")
    direct.settings_dict = {**given, "OPTIONS": options}
    try:
        direct.ensure_connection()
    finally:
        direct.close()


def away(error: DatabaseError) -> Finding:
    """What is said instead of everything else when nothing can be asked."""
    said = str(error)
    given = connection.settings_dict
    if NO_SPACE in said:
        return _disk_is_full(said)
    if "password authentication failed" in said:
        reason = _("The server refuses the password of %(role)s.") % {"role": given["USER"]}
        remedy = _(
            "Put the password right in DATABASE_URL (signs such as / # @ as %%2F %%23 %%40)."
        )
    elif "too many" in said or "remaining connection slots" in said:
        reason = _("The server has no connection left.")
        remedy = _("Lower DB_POOL_SIZE or raise max_connections; see who holds them there.")
    elif 'database "' in said and "does not exist" in said:
        reason = _("There is no database %(name)s.") % {"name": given["NAME"]}
        remedy = _("Create it (CREATE DATABASE), or put DATABASE_URL right.")
    elif "FATAL:" in said:
        # It is there, and has its reasons: it starts or stops, wants TLS, knows no such role.
        words = said.rsplit("FATAL:", 1)[1].strip().splitlines()[0]
        reason = _("The server answers, and lets nobody in: %(said)s.") % {"said": words}
        remedy = _(
            "Wait if it starts or stops, and read its own log: its disk may be full. Else put "
            "DATABASE_URL right, or its pg_hba.conf."
        )
    elif connection.vendor == "sqlite":
        reason = _("The file %(name)s cannot be opened.") % {"name": given["NAME"]}
        remedy = _("Look at its rights and those of its folder, and whether the disk is full.")
    else:
        reason = _("No server answers at %(host)s:%(port)s.") % {
            "host": given["HOST"] or "localhost",
            "port": given["PORT"] or 5432,
        }
        remedy = _(
            "Start it, and if it does not start, read its own log: its disk may be full. Else put "
            "host and port right in DATABASE_URL; look for a firewall."
        )
    return Finding(PART, "away", Severity.ERROR, reason, remedy)


def _asked(statement: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row: tuple[Any, ...] = cursor.fetchone()
    return row


def _of_a_server() -> Iterator[Finding]:
    given = connection.settings_dict
    (version,) = _asked("SHOW server_version")
    (is_encrypted,) = _asked(
        "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)"
    )
    where = f"{given['HOST'] or 'socket'}:{given['PORT'] or 5432}/{given['NAME']}"
    yield Finding(
        PART,
        "address",
        Severity.GOOD,
        _("PostgreSQL %(version)s at %(where)s as %(role)s, %(tls)s")
        % {
            "version": version,
            "where": where,
            "role": given["USER"],
            "tls": "TLS" if is_encrypted else _("not encrypted"),
        },
    )
    yield from _latency()
    (is_read_only,) = _asked(
        "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'"
    )
    if is_read_only:
        yield Finding(
            PART,
            "read-only",
            Severity.ERROR,
            _("The server takes no changes: it is a replica, or was made read-only."),
            _(
                "Name the primary in DATABASE_URL, or set default_transaction_read_only to off "
                "(ALTER DATABASE, ALTER ROLE or postgresql.conf)."
            ),
        )
    yield from _room_on_its_disk()
    yield from _room_here(_("%(free)d MB are free where files and logs lie."))
    # Last, since it reads a table of ours, which may be what is missing.
    yield from _connections(cast(Room, room()))


def _room_on_its_disk() -> Iterator[Finding]:
    """Whether the server can write: nobody but itself knows how full its disk is."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '64kB'")
            cursor.execute(_TAKE_ROOM, [ROOM * 1_000_000 // 8000])
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != DISK_FULL:
            raise
        yield _disk_is_full(str(error))


def _disk_is_full(said: str) -> Finding:
    return Finding(
        PART,
        "disk-full",
        Severity.ERROR,
        _("The disk of the server is full: %(said)s") % {"said": said.strip().splitlines()[0]},
        _(
            "Make room where its data lie: old files of others, a slot that nobody reads, a "
            "larger disk. Never delete in pg_wal by hand."
        ),
    )


def _room_here(said: str) -> Iterator[Finding]:
    free = shutil.disk_usage(settings.DATA_DIR).free // 1024**2
    if free < settings.LEAST_FREE_DISK_MB:
        yield Finding(
            PART,
            "disk",
            Severity.ERROR,
            said % {"free": free},
            _("Make room: a full disk stops every change."),
        )


def _latency() -> Iterator[Finding]:
    taken = []
    for _time in range(TIMES):
        begun = time.perf_counter()
        _asked("SELECT 1")
        taken.append(time.perf_counter() - begun)
    median = sorted(taken)[TIMES // 2]
    said = {"milliseconds": median * 1000}
    if median > SLOW:
        yield Finding(
            PART,
            "slow-connection",
            Severity.WARNING,
            _("A round trip takes %(milliseconds).1f ms: a draw makes a dozen.") % said,
            _("Put the platform beside its database, or look for a busy network."),
        )
    else:
        yield Finding(
            PART, "latency", Severity.GOOD, _("A round trip takes %(milliseconds).1f ms") % said
        )


def _connections(found: Room) -> Iterator[Finding]:
    (used,) = _asked(CONNECTIONS_USED)
    said = {
        "used": used,
        "allowed": found.allowed,
        "processes": found.processes,
        "wanted": found.wanted,
    }
    remedy = _("Lower DB_POOL_SIZE or raise max_connections.")
    if used >= found.allowed * NEARLY_ALL:
        yield Finding(
            PART,
            "connections",
            Severity.ERROR,
            _("%(used)d of %(allowed)d connections are used.") % said,
            remedy,
        )
    elif not found.is_enough:
        yield Finding(
            PART,
            "room",
            Severity.WARNING,
            _("%(processes)d processes may want %(wanted)d connections of %(allowed)d.") % said,
            remedy,
        )
    else:
        yield Finding(
            PART,
            "connections",
            Severity.GOOD,
            _("%(used)d of %(allowed)d connections are used; our processes want at most %(wanted)d")
            % said,
        )


def _of_a_file() -> Iterator[Finding]:
    (version,) = _asked("SELECT sqlite_version()")
    name = connection.settings_dict["NAME"]
    yield Finding(
        PART,
        "address",
        Severity.GOOD,
        _("SQLite %(version)s, %(name)s") % {"version": version, "name": name},
    )
    yield from _latency()
    (mode,) = _asked("PRAGMA journal_mode")
    if mode not in {"wal", "memory"}:
        yield Finding(
            PART,
            "journal",
            Severity.ERROR,
            _("The journal is %(mode)s and should be wal: readers would hold up the writer.")
            % {"mode": mode},
            _("Close every other program that has the file open, and start the platform again."),
        )
    yield from around_the_file()


def around_the_file() -> Iterator[Finding]:
    """What keeps a file of SQLite from being written, or opened at all: rights, a full disk.

    It asks the disk and not the database; of a server it says nothing.
    """
    if connection.vendor != "sqlite":
        return
    path = Path(connection.settings_dict["NAME"])
    if path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        yield Finding(
            PART,
            "read-only",
            Severity.ERROR,
            _("The file or its folder cannot be written to."),
            _("Give both to the user who runs the platform: chown, chmod u+w."),
        )
    yield from _room_here(_("%(free)d MB are free where the database lies."))
