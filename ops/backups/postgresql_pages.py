"""PostgreSQL's own copy of its pages: pg_basebackup, its increments, and moments in between.

It is of a whole cluster, with all of its databases and roles.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from django.utils.translation import gettext as _

from ops.backups import base_backup, scratch_home, scratch_server, side_database
from ops.backups import postgresql_tools as tools
from ops.backups.base_backup import DATABASE, MANIFEST
from ops.backups.engine import Link, Put, Restored, Stored
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.postgresql_tools import Parameters, Session, one_line, row
from ops.backups.side_database import count_rows
from ops.backups.wal import wait_until_archived
from ops.backups.wal_folder import Archives, reached
from ops.models.backups import BackupKind

# So long ago the archive may have said last how far it is: a receiver connects again in less.
FRESH = timedelta(minutes=1)
# A backup that could not live again would be of no use: what makes it, and what tries it.
PROGRAMS = ("pg_basebackup", "pg_verifybackup", "pg_combinebackup", "postgres")


@dataclass(frozen=True, slots=True, kw_only=True)
class PagesEngine:
    """Backups by pg_basebackup."""

    name: ClassVar[str] = "pg_basebackup"

    # Of the live database, as libpq names them.
    parameters: Parameters = field(default_factory=tools.live_parameters)
    # Where the WAL lies that `manage.py` of this platform takes away; None where nobody does.
    archives: Archives | None = None

    def kinds(self) -> Sequence[BackupKind]:
        """What the server's settings and the role allow."""
        return [
            kind
            for kind in (BackupKind.FULL, BackupKind.INCREMENTAL, BackupKind.POINT_IN_TIME)
            if self._unable(kind) is None
        ]

    def refusal(self, kind: BackupKind, *, parent: Manifest | None) -> str | None:
        """Why none of this kind can be made now; names the setting or the right that is missing."""
        if unable := self._unable(kind):
            return unable
        if kind is not BackupKind.INCREMENTAL:
            return None
        if parent is None:
            return _("An increment follows another backup: make a full one first.")
        if parent.engine != self.name:
            return _("Backup %(id)s was made by %(engine)s, which no increment follows.") % {
                "id": parent.id,
                "engine": parent.engine,
            }
        with tools.connected(self.parameters) as connection:
            identifier = _identifier(connection)
        if parent.facts["system_identifier"] != identifier:
            return (
                _("Backup %s is of another cluster of PostgreSQL: make a full one first.")
                % parent.id
            )
        return None

    def store(self, put: Put, *, kind: BackupKind, parent: Link | None, scratch: Path) -> Stored:
        """Write the pages of the whole cluster, or those that changed since the parent."""
        with tools.connected(self.parameters) as connection:
            before = count_rows(connection)
            facts = _facts(connection)
            with (
                _parent_manifest(parent, scratch) as arguments,
                base_backup.running(self.parameters, arguments=arguments) as source,
            ):
                put(DATABASE, source)
            put(MANIFEST, BytesIO(source.manifest))
            (stopped_at,) = row(connection, "SELECT clock_timestamp()")
            after = count_rows(connection)
            server_version = row(connection, "SHOW server_version")[0]
        way = json.loads(source.manifest)["WAL-Ranges"]
        facts |= {
            "start_lsn": way[0]["Start-LSN"],
            "stop_lsn": way[-1]["End-LSN"],
            "timeline": way[-1]["Timeline"],
            "stopped_at": stopped_at.astimezone(UTC).isoformat(),
        }
        if kind is BackupKind.POINT_IN_TIME:
            assert self.archives is not None  # noqa: S101  else it was refused
            wait_until_archived(self.archives.of(facts["system_identifier"]), facts)
        return Stored(
            server_version=server_version, row_counts=before, row_counts_after=after, facts=facts
        )

    def restored(
        self, chain: Sequence[Link], *, scratch: Path, at: datetime | None = None
    ) -> AbstractContextManager[Restored]:
        """Let the cluster live again on a server of its own, which only this account reaches."""
        return scratch_server.restored(
            chain,
            live=self.parameters,
            scratch=scratch,
            at=at,
            archive=(
                self.archives.of(chain[-1].manifest.facts["system_identifier"])
                if self.archives is not None
                else None
            ),
        )

    def check_name(self, name: str) -> None:
        """Raise BackupRefused unless a database of the live server can be called so."""
        side_database.check_name(self.parameters, name)

    def check_live(self) -> None:
        """Raise BackupRefused where the role has not the rights to put another in its place."""
        side_database.check_live(self.parameters)

    def remove_remains(self) -> int:
        """Remove the servers of killed commands, and the databases they were poured into."""
        found = scratch_home.remove_remains()
        # Where the live server is lost, nothing is on it.
        with suppress(BackupRefused):
            found += side_database.remove_remains(self.parameters)
        return found

    def _unable(self, kind: BackupKind) -> str | None:
        try:
            with tools.connected(self.parameters) as connection:
                for name in PROGRAMS:
                    tools.find(name, server=tools.major_version(connection))
                return (
                    _role_refusal(connection)
                    or _server_refusal(connection)
                    or self._kind_refusal(connection, kind)
                    or self._way_refusal(connection.info.user)
                )
        except BackupRefused as refusal:
            return str(refusal)

    def _way_refusal(self, role: str) -> str | None:
        """Whether the server lets nobody in who copies it: it asks other lines for that."""
        asked: dict[str, Any] = {**self.parameters, "replication": "true"}
        try:
            psycopg.connect(**asked, autocommit=True).close()
        except psycopg.OperationalError as error:
            return _(
                "PostgreSQL lets in nobody who copies its pages: add such as `hostssl replication "
                "%(role)s samenet scram-sha-256` to its pg_hba.conf. %(reason)s"
            ) % {"role": role, "reason": one_line(error)}
        return None

    def _kind_refusal(self, connection: Session, kind: BackupKind) -> str | None:
        if kind is BackupKind.INCREMENTAL:
            return _increment_refusal(connection)
        if kind is BackupKind.POINT_IN_TIME:
            return self._archive_refusal(connection)
        return None

    def _archive_refusal(self, connection: Session) -> str | None:
        identifier = _identifier(connection)
        has = reached(self.archives.of(identifier)) if self.archives is not None else None
        (now,) = row(connection, "SELECT clock_timestamp()")
        if has is None or has.system_identifier != identifier or now - has.at > FRESH:
            return _("Nobody takes the WAL away: start the command that archives it first.")
        return None


def _role_refusal(connection: Session) -> str | None:
    role, allowed = row(
        connection,
        "SELECT quote_ident(rolname), rolreplication OR rolsuper FROM pg_roles "
        "WHERE rolname = current_user",
    )
    if allowed:
        return None
    return _("The role may not copy the pages of PostgreSQL: ALTER ROLE %s REPLICATION;") % str(
        role
    )


def _server_refusal(connection: Session) -> str | None:
    level, senders, elsewhere = row(
        connection,
        "SELECT current_setting('wal_level'), current_setting('max_wal_senders')::int, "
        "(SELECT min(spcname) FROM pg_tablespace WHERE oid >= 16384)",
    )
    if level == "minimal" or not senders:
        return _(
            "PostgreSQL sends no copies: set wal_level = replica and max_wal_senders = 10, "
            "and restart it."
        )
    if elsewhere is not None:
        return _("The tablespace %s lies outside of the cluster's folder: use pg_dump.") % str(
            elsewhere
        )
    return None


def _increment_refusal(connection: Session) -> str | None:
    setting, found = row(
        connection,
        "SELECT (SELECT setting FROM pg_settings WHERE name = 'summarize_wal'), "
        "current_setting('server_version')",
    )
    if setting is None:
        return _("PostgreSQL makes increments from version 17 on; this is %s.") % (found,)
    if setting == "off":
        return _(
            "PostgreSQL keeps no list of the pages that change: "
            "ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf();"
        )
    return None


def _identifier(connection: Session) -> str:
    return str(row(connection, "SELECT system_identifier FROM pg_control_system()")[0])


def _facts(connection: Session) -> dict[str, Any]:
    size, role, database = row(
        connection,
        "SELECT setting::bigint, current_user::text, current_database()::text FROM pg_settings "
        "WHERE name = 'wal_segment_size'",
    )
    return {
        "system_identifier": _identifier(connection),
        "segment_size": size,
        "role": role,
        "database": database,
    }


@contextmanager
def _parent_manifest(parent: Link | None, scratch: Path) -> Iterator[list[str]]:
    """The argument that names the parent's manifest, which lies in scratch as long."""
    if parent is None:
        yield []
        return
    path = scratch / f"{MANIFEST}-of-parent"
    with path.open("wb") as target, parent.reading(MANIFEST) as source:
        while data := source.read(1 << 20):
            target.write(data)
    try:
        yield [f"--incremental={path}"]
    finally:
        path.unlink()
