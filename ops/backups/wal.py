"""Receiving the WAL as it is written, and taking it away before it is lost.

A receiver that starts after a backup leaves a hole that nobody sees: the slot comes first, then the
stream, then the backup, and then the way from its start to its end is verified.
"""

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
from django.utils.translation import gettext as _

from ops.backups import postgresql_tools as tools
from ops.backups.engine import Readable
from ops.backups.errors import BackupRefused
from ops.backups.postgresql_tools import Parameters, Session, one_line, row
from ops.backups.wal_folder import REACHED, Archive, Reached, problems, reached
from ops.backups.wal_names import HISTORY, PARTIAL, SEGMENT, end_of_record, position

logger = logging.getLogger(__name__)

SLOT = "wal_archive"
# Less than half of what may be lost at most: a round of taking away has the rest.
EVERY = 2.0  # seconds
LOOK_AGAIN = 0.1  # seconds between two questions to the server
STEP = 50_000_000  # nanoseconds, more than one step of the clock of a file system
BEGIN_AGAIN = 1.0  # seconds after a connection was lost
PATIENCE = 60.0  # seconds that a backup waits for its last segment

type Take = Callable[[str, Readable], None]


@dataclass(kw_only=True)
class WalReceiver:
    """Keeps pg_receivewal at work, and takes away what it wrote.

    `take` packs a file and puts it where it stays, under its name; a name that was there is
    replaced. It may raise: then the file is kept, and taken in the next round.
    """

    # Of the live database, as libpq names them.
    parameters: Parameters
    # Of this receiver alone, and kept between two runs of it.
    folder: Path
    take: Take
    slot: str = SLOT
    every: float = EVERY
    told: Callable[[Reached], None] = lambda _reached: None
    # When what was taken away of a file that stays was written, in nanoseconds.
    _taken: dict[str, int] = field(default_factory=dict, init=False)
    _complained: tuple[str, ...] = field(default=(), init=False)

    def receive(self, stop: threading.Event) -> None:
        """Receive until `stop` is set; a server that goes away is waited for.

        Raises BackupRefused at the start: where the server is not reached, the role may not, or
        the folder is of another cluster.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tools.connected(self.parameters) as connection:
            facts = self._begin(connection)
        while not stop.is_set():
            try:
                self._stream(stop, facts)
            except BackupRefused as error:
                self._complain("The WAL is not received: %s", one_line(error))
            stop.wait(BEGIN_AGAIN)

    def _complain(self, what: str, *facts: str) -> None:
        """Log it, once for as long as nothing else is wrong."""
        if self._complained != (what, *facts):
            logger.warning(what, *facts)
        self._complained = (what, *facts)

    def _begin(self, connection: Session) -> dict[str, Any]:
        identifier, size = row(
            connection,
            "SELECT (SELECT system_identifier::text FROM pg_control_system()), "
            "(SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size')",
        )
        known = self.folder / "system_identifier"
        if known.exists() and known.read_text(encoding="ascii") != identifier:
            raise BackupRefused(
                _("%s holds the WAL of another cluster: empty it, and make a full backup.")
                % self.folder
            )
        try:
            connection.execute(
                # Reserved from now on, not from the first connection on.
                "SELECT pg_create_physical_replication_slot(%s, true) WHERE NOT EXISTS "
                "(SELECT FROM pg_replication_slots WHERE slot_name = %s)",
                [self.slot, self.slot],
            )
        except psycopg.Error as error:
            raise BackupRefused(
                _("The replication slot %(slot)s cannot be made: %(reason)s")
                % {"slot": self.slot, "reason": one_line(error)}
            ) from error
        known.write_text(identifier, encoding="ascii")
        return {"system_identifier": identifier, "segment_size": size}

    def _stream(self, stop: threading.Event, facts: Mapping[str, Any]) -> None:
        """Receive until `stop` is set or the stream ends."""
        errors = self.folder / "pg_receivewal.log"
        with tools.connected(self.parameters) as connection:
            program = tools.find("pg_receivewal", server=tools.major_version(connection))
        command = [
            str(program),
            *(f"--directory={self.folder}", f"--slot={self.slot}", "--no-loop", "--no-password"),
            # What was received is on the disk, and the server told so, at once: by that it is known
            # how far this is, and the server may wait for it (synchronous_standby_names).
            *("--synchronous", "--status-interval=1"),
        ]
        with errors.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  a program of PostgreSQL, and no shell
                command,
                env={**tools.environment(self.parameters), "PGAPPNAME": self.slot},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
            )
        try:
            with tools.connected(self.parameters) as connection:
                self._follow(connection, process, stop, facts=facts)
            if process.poll() is not None:
                said = errors.read_text(encoding="utf-8", errors="replace")
                raise BackupRefused(one_line(said))
        finally:
            process.terminate()
            process.wait()
            self._take_all()

    def _follow(
        self,
        connection: Session,
        process: "subprocess.Popen[bytes]",
        stop: threading.Event,
        *,
        facts: Mapping[str, Any],
    ) -> None:
        asked_for: Reached | None = None
        has: Reached | None = None
        due = time.monotonic()
        while process.poll() is None and not stop.wait(LOOK_AGAIN):
            now, written, timeline, received = row(connection, _POSITIONS, self.slot)
            if asked_for is None:
                asked_for = Reached(
                    at=now.astimezone(UTC), lsn=end_of_record(written), timeline=timeline, **facts
                )
            if received is not None and position(received) >= position(asked_for.lsn):
                has, asked_for = asked_for, None
            if time.monotonic() >= due:
                if self._take_all() and has is not None:
                    self._tell(has)
                    has = None
                due = time.monotonic() + self.every

    def _tell(self, has: Reached) -> None:
        if self._take_one(REACHED, BytesIO(has.written())):
            self._complained = ()
            self.told(has)

    def _take_all(self) -> bool:
        """Take away what is finished, then the segment that is being written, if it grew.

        Returns whether nothing was left.
        """
        names = [path.name for path in self.folder.iterdir()]
        whole = sorted(name for name in names if SEGMENT.fullmatch(name) and PARTIAL not in name)
        others = [name for name in names if HISTORY.fullmatch(name) or name.endswith(PARTIAL)]
        # In their order, up to the first that fails: what comes behind a hole is of no use.
        return all(self._take_file(name) for name in (*whole, *sorted(others)))

    def _take_file(self, name: str) -> bool:
        path = self.folder / name
        try:
            asked_at, written_at = time.time_ns(), path.stat().st_mtime_ns
            if self._taken.get(name) == written_at:
                return True
            with path.open("rb") as source:
                if not self._take_one(name, source):
                    return False
        except FileNotFoundError:
            return False  # it was finished a moment ago, and has another name now
        if SEGMENT.fullmatch(name) and PARTIAL not in name:
            path.unlink()
            self._taken.pop(f"{name}{PARTIAL}", None)
        else:
            # The clock of files goes in steps: what is written in the same one is not seen by it.
            settled = asked_at - written_at > STEP
            self._taken[name] = written_at if settled else 0
        return True

    def _take_one(self, name: str, source: Readable) -> bool:
        try:
            self.take(name, source)
        except Exception as error:  # noqa: BLE001  whatever a place says: it is tried again
            self._complain("%s of the WAL is not taken away: %s", name, one_line(error))
            return False
        return True


# What is written down here is not yet on the server's disk, nor sent; nothing of it is on its way.
_POSITIONS = """
    SELECT clock_timestamp(), written::text,
        ('x' || left(pg_walfile_name(written), 8))::bit(32)::int,
        slot.restart_lsn::text
    FROM pg_current_wal_insert_lsn() AS written
    LEFT JOIN pg_replication_slots AS slot ON slot_name = %s
"""


def drop_slot(parameters: Parameters, *, slot: str = SLOT) -> bool:
    """Receive no more for good: else the server would keep its WAL until its disk is full.

    Returns whether there was one. Raises BackupRefused while somebody receives by it.
    """
    with tools.connected(parameters) as connection:
        return bool(
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                "WHERE slot_name = %s",
                [slot],
            ).rowcount
        )


def wait_until_archived(
    archive: Archive, facts: Mapping[str, Any], *, patience: float = PATIENCE
) -> None:
    """Wait until the archive goes behind a backup, by its facts, and verify the way through it.

    Raises BackupRefused where it does not, or has a hole: from such a backup nothing later could be
    restored.
    """
    deadline = time.monotonic() + patience
    while True:
        has = reached(archive)
        if (
            has is not None
            and has.system_identifier == facts["system_identifier"]
            and position(has.lsn) >= position(facts["stop_lsn"])
        ):
            break
        if time.monotonic() >= deadline:
            raise BackupRefused(
                _("The WAL of the backup did not reach the archive within %d seconds.") % patience
            )
        time.sleep(LOOK_AGAIN)
    if found := problems(archive, facts, to=has):
        raise BackupRefused(" ".join(found))
