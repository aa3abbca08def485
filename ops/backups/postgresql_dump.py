"""PostgreSQL's logical copy: pg_dump and pg_restore, into a database beside the live one.

Every server allows it. A dump shows one moment exactly, and how many rows each table had then.
"""

import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, ClassVar

import psycopg
from django.utils.translation import gettext as _
from psycopg import sql

from ops.backups import postgresql_tools as tools
from ops.backups import side_database
from ops.backups.engine import Link, Put, Readable, Stored
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.postgresql_tools import LOCK_WAIT, Output, Parameters, Session
from ops.backups.sealing import CHUNK
from ops.backups.side_database import SideDatabase, count_rows, tables
from ops.models.backups import BackupKind

logger = logging.getLogger(__name__)

DATABASE = "database"
JOBS = 2
# Whoever fills a database waits for its indexes; that no commit is waited for loses nothing, since
# what becomes of it is committed later and waited for.
FILLING = "-c maintenance_work_mem=256MB -c synchronous_commit=off"
# 2; 3079 16389 EXTENSION - pg_trgm, and 9; 0 0 COMMENT - EXTENSION pg_trgm
_OF_AN_EXTENSION = re.compile(r"\d+; \d+ \d+ (?:EXTENSION -|COMMENT - EXTENSION) (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpEngine:
    """Backups by pg_dump."""

    name: ClassVar[str] = "pg_dump"

    # Of the live database, as libpq names them.
    parameters: Parameters = field(default_factory=tools.live_parameters)

    def kinds(self) -> Sequence[BackupKind]:
        """Full ones alone."""
        return [BackupKind.FULL]

    def refusal(self, kind: BackupKind, *, parent: Manifest | None) -> str | None:
        """Why none of this kind can be made now; says which program or which way is missing."""
        if kind is not BackupKind.FULL:
            return _(
                "pg_dump makes full backups alone: increments and points in time are kept by "
                "pg_basebackup, whose role may replicate (ALTER ROLE ... REPLICATION)."
            )
        try:
            with tools.connected(self.parameters) as connection:
                # A backup counts once it lived again.
                for program in ("pg_dump", "pg_restore"):
                    tools.find(program, server=tools.major_version(connection))
        except BackupRefused as refusal:
            return str(refusal)
        return None

    def store(self, put: Put, *, kind: BackupKind, parent: Link | None, scratch: Path) -> Stored:
        """Write a dump of the live database, and count the rows that it has."""
        with tools.connected(self.parameters) as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            # Rows that are hidden from the role are refused, not left out.
            connection.execute("SET LOCAL row_security = off")
            (snapshot,) = tools.row(connection, "SELECT pg_export_snapshot()")
            # Else somebody could alter a table after it was dumped and before it is counted.
            if found := list(tables(connection)):
                names = sql.SQL(", ").join(sql.Identifier(*one) for one in found)
                connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
            with dumping(self.parameters, snapshot=snapshot) as archive:
                put(DATABASE, archive)
            counted = count_rows(connection)
            (version,) = tools.row(connection, "SHOW server_version")
        return Stored(server_version=version, row_counts=counted)

    @contextmanager
    def restored(
        self, chain: Sequence[Link], *, scratch: Path, at: datetime | None = None
    ) -> Iterator[SideDatabase]:
        """Let a dump live again in a database of its own on the same server."""
        if at is not None or len(chain) != 1:
            raise BackupRefused(
                _("A dump shows the one moment at which it was made, and no other follows it.")
            )
        with ExitStack() as stack:
            with _unpacked(chain[0], scratch) as archive:
                side = stack.enter_context(side_database.created(self.parameters))
                fill(side, archive, scratch=scratch)
            yield side

    def check_name(self, name: str) -> None:
        """Raise BackupRefused unless a database can be called so, and none is."""
        side_database.check_name(self.parameters, name)

    def check_live(self) -> None:
        """Raise BackupRefused where the role has not the rights to put another in its place."""
        side_database.check_live(self.parameters)

    def remove_remains(self) -> int:
        """Drop the scratch databases of this one that killed commands left."""
        return side_database.remove_remains(self.parameters)


@contextmanager
def dumping(parameters: Parameters, *, snapshot: str | None = None) -> Iterator[Output]:
    """The archive of a database as pg_dump writes it, of a moment that somebody exported.

    Neither compressed, which `put` does, nor with owners and privileges, which another server may
    not know: `left_out` carries them over.
    """
    with tools.connected(parameters) as connection:
        program = tools.find("pg_dump", server=tools.major_version(connection))
    arguments = [
        *("--format=custom", "--compress=0", "--no-owner", "--no-privileges", "--no-password"),
        *("--no-publications", "--no-subscriptions", "--no-security-labels"),
        f"--lock-wait-timeout={LOCK_WAIT.seconds * 1000}",
        *([f"--snapshot={snapshot}"] if snapshot else []),
    ]
    with tools.running(program, arguments, parameters) as output:
        yield output


@contextmanager
def spooled(source: Readable, *, scratch: Path) -> Iterator[IO[bytes]]:
    """An archive in a file, since pg_restore jumps about in it.

    The file has no name: nothing of it is left however this process ends. Raises BackupRefused.
    """
    # Without a buffer, which would be written once more when it is closed, to a full disk as well.
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as file:
        try:
            while data := memoryview(source.read(CHUNK)):
                while data:
                    data = data[file.write(data) :]
        except OSError as error:
            said = {"folder": scratch, "reason": error.strerror or error}
            raise BackupRefused(
                _("The dump cannot be unpacked in %(folder)s: %(reason)s.") % said
            ) from error
        yield file


def fill(side: SideDatabase, archive: IO[bytes], *, scratch: Path) -> None:
    """Restore an archive, as `spooled` has it, into an empty side database. Raises BackupRefused.

    The extensions are left out that the role may not make.
    """
    with (
        tools.connected(side.parameters) as connection,
        tempfile.TemporaryFile(dir=scratch) as contents,
    ):
        program = tools.find("pg_restore", server=tools.major_version(connection))
        contents.writelines(_contents(connection, program, archive))
        contents.flush()
        arguments = [
            *("--exit-on-error", "--no-owner", "--no-privileges", "--no-password"),
            *(f"--jobs={JOBS}", f"--use-list={_path(contents)}", f"--dbname={side.name}"),
            _path(archive),
        ]
        descriptors = [archive.fileno(), contents.fileno()]
        tools.run(program, arguments, side.parameters, of_sessions=FILLING, pass_fds=descriptors)
        # Nobody has read it yet: the first ones would be read without a plan worth the name.
        connection.execute("ANALYZE")


@contextmanager
def _unpacked(link: Link, scratch: Path) -> Iterator[IO[bytes]]:
    """The archive of a backup, once it was read to its end and found whole."""
    with ExitStack() as stack:
        with link.reading(DATABASE) as source:
            archive = stack.enter_context(spooled(source, scratch=scratch))
        yield archive


def _contents(connection: Session, program: Path, archive: IO[bytes]) -> Iterator[bytes]:
    """What is in an archive, line by line, without the extensions that the role may not make.

    Such as pg_stat_statements, which a superuser made to look at the server. Where a column needs
    one, pg_restore says so.
    """
    listed = tools.run(
        program, ["--list", _path(archive)], {}, pass_fds=[archive.fileno()]
    ).splitlines()
    refused = {
        name for line in listed if (name := _extension(line)) and not _can_be_made(connection, name)
    }
    for line in listed:
        if _extension(line) not in refused:
            yield f"{line}\n".encode()


def _extension(line: str) -> str | None:
    """The extension that a line of the contents makes or describes."""
    said = _OF_AN_EXTENSION.match(line)
    return said[1] if said else None


def _can_be_made(connection: Session, extension: str) -> bool:
    statement = sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension))
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except psycopg.Error as error:
        logger.warning(
            "The extension %s is not restored: %s", extension, error.diag.message_primary
        )
        return False
    return True


def _path(file: IO[bytes]) -> str:
    """By what a program that is given the descriptor opens a file that has no name."""
    return f"/dev/fd/{file.fileno()}"
