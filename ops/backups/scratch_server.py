"""A PostgreSQL of its own on the pages of a backup, for as long as somebody looks at it.

It listens on a socket in a folder of its own and lets in nobody but the account of this process. Of
the settings of the cluster that was copied it takes none: their files lie elsewhere, and what they
ask for (an archive, standbys, libraries) does not belong to a copy.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.utils.translation import gettext as _

from ops.backups import postgresql_tools as tools
from ops.backups import side_database, wal_folder
from ops.backups.base_backup import DATABASE
from ops.backups.engine import Link
from ops.backups.errors import BackupRefused
from ops.backups.postgresql_dump import dumping, fill, spooled
from ops.backups.postgresql_tools import Parameters, one_line, row
from ops.backups.scratch_home import Account, Home, home, major
from ops.backups.side_database import SideDatabase, count_rows
from ops.backups.wal_folder import Archive, Recovery
from ops.backups.wal_names import position

CHUNK = 1 << 20  # bytes
LOOK_AGAIN_SECONDS = 0.02
# What PostgreSQL says when no commit of the WAL is younger than the moment that is asked for.
_ALL_IS_OLDER = "recovery ended before configured recovery target was reached"

_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "max_connections": "50",
    # As many as the WAL may speak of; what it wants more of stops the recovery with its reason.
    "max_prepared_transactions": "64",
    "max_wal_senders": "0",
    "hot_standby": "off",
    "archive_mode": "off",
    "autovacuum": "off",
    # It is thrown away whatever happens to it.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "maintenance_work_mem": "128MB",
    "logging_collector": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
    "timezone": "UTC",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchServer:
    """A backup of pages that lives again, until the block is left."""

    live: Parameters
    # The same database on the server of its own.
    here: Parameters
    scratch: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which `manage.py` works on it, by the socket of this server."""
        return {
            "DATABASE_URL": tools.address(self.here),
            "DATABASE_URL_FILE": "",
            "PGHOSTADDR": "",
        }

    def count_rows(self) -> Mapping[str, int]:
        """How many rows each table has."""
        with tools.connected(self.here) as connection:
            return count_rows(connection)

    def become(self, name: str) -> None:
        """Stay, as another database of the live server."""
        with self._beside() as side:
            side.become(name)

    def become_live(self, *, keep_as: str) -> str:
        """Take the place of the live database, which is kept; returns where, in words."""
        with self._beside() as side:
            return side.become_live(keep_as=keep_as)

    @contextmanager
    def _beside(self) -> Iterator[SideDatabase]:
        """Pages are of a whole cluster: what is wanted of it goes into a database of the live."""
        with side_database.created(self.live) as side:
            with ExitStack() as stack:
                with dumping(self.here) as dump:
                    archive = stack.enter_context(spooled(dump, scratch=self.scratch))
                fill(side, archive, scratch=self.scratch)
            yield side


@contextmanager
def restored(
    chain: Sequence[Link],
    *,
    live: Parameters,
    scratch: Path,
    at: datetime | None = None,
    archive: Archive | None = None,
) -> Iterator[ScratchServer]:
    """Unpack and verify the backups of a chain, and run PostgreSQL on them until the block ends.

    Raises BackupRefused.
    """
    _check_chain(chain)
    manifest = chain[-1].manifest
    with home(scratch, version=major(manifest.server_version)) as place, place.sockets() as sockets:
        place.check_programs(manifest)
        recovery = None
        if at is not None:
            folder = place.folder / "wal"
            recovery = wal_folder.recovery(manifest, archive, at=at, folder=folder)
            place.account.give(folder)
        data = _unpacked(chain, place)
        here = {
            "host": str(sockets),
            # Else PGHOSTADDR would lead to another server, where the live database has this name.
            "hostaddr": "",
            "port": _OPTIONS["port"],
            # Those of the copy, whatever the live ones are called today.
            "user": manifest.facts["role"],
            "dbname": manifest.facts["database"],
        }
        with _running(place, data, here, recovery=recovery):
            yield ScratchServer(live=live, here=here, scratch=scratch)


def _check_chain(chain: Sequence[Link]) -> None:
    """Raise BackupRefused, which names the link, unless each follows the one before it."""
    earlier: str | None = None
    for link in chain:
        if link.manifest.parent != earlier:
            raise BackupRefused(
                _("Backup %(id)s follows backup %(parent)s, which is missing.")
                % {"id": link.manifest.id, "parent": link.manifest.parent}
            )
        earlier = link.manifest.id


# --- The pages ------------------------------------------------------------------------------------
def _unpacked(chain: Sequence[Link], place: Home) -> Path:
    """The folder of a cluster, verified and put together from its increments."""
    folders = []
    for number, link in enumerate(chain):
        folder = place.folder / f"link{number}"
        folder.mkdir(mode=0o700)
        _extract(link, folder)
        place.account.give(folder)
        place.run("pg_verifybackup", ["--exit-on-error", "--quiet", str(folder)])
        folders.append(folder)
    if len(folders) == 1:
        return folders[0]
    data = place.folder / "data"
    place.run("pg_combinebackup", [*map(str, folders), f"--output={data}", "--no-sync"])
    for folder in folders:
        shutil.rmtree(folder)
    return data


def _extract(link: Link, folder: Path) -> None:
    try:
        with link.reading(DATABASE) as source:
            # filter="data": nothing outside of the folder, no devices, no owners.
            with tarfile.open(fileobj=source, mode="r|", bufsize=CHUNK) as archive:  # type: ignore[call-overload]
                archive.extractall(folder, filter="data")
            while source.read(CHUNK):
                pass  # whoever reads to the end is told whether it was whole
    except tarfile.TarError as error:
        raise BackupRefused(
            _("Backup %(id)s cannot be unpacked: %(reason)s")
            % {"id": link.manifest.id, "reason": one_line(error)}
        ) from error


# --- The server -----------------------------------------------------------------------------------
@contextmanager
def _running(
    place: Home, data: Path, here: Parameters, *, recovery: Recovery | None
) -> Iterator[None]:
    """Run PostgreSQL on a folder, by the socket of `here`, from the end of its recovery on."""
    _configure(data, place.account, role=here["user"], recovery=recovery)
    options = {**_OPTIONS, "unix_socket_directories": here["host"]}
    if recovery is None:
        with _server(place, data, options):
            yield
        return
    options |= recovery.options
    with ExitStack() as stack:
        if recovery.at is not None:
            moment = {"recovery_target_time": recovery.at.isoformat()}
            with suppress(_AllIsOlder):
                stack.enter_context(_server(place, data, {**options, **moment}))
                yield
                return
        # What the end of the WAL shows, if it was read to its end.
        stack.enter_context(_server(place, data, options))
        _check_end(here, recovery)
        yield


class _AllIsOlder(Exception):
    """No commit of the WAL is younger than the moment that was asked for."""


@contextmanager
def _server(place: Home, data: Path, options: Mapping[str, str]) -> Iterator[None]:
    log = place.folder / "log"
    process = _started(place, data, options)
    try:
        if not _came_up(process, data):
            said = log.read_text(encoding="utf-8", errors="replace")
            if _ALL_IS_OLDER in said:
                raise _AllIsOlder
            raise BackupRefused(
                _("PostgreSQL does not come up on the backup: %s") % one_line(said)[-1000:]
            )
        yield
    finally:
        # It is thrown away: nothing of it needs to be written.
        process.send_signal(signal.SIGQUIT)
        process.wait()


def _check_end(here: Parameters, recovery: Recovery) -> None:
    """Raise BackupRefused where a damaged record ended the recovery before the end of the WAL."""
    with tools.connected(here) as connection:
        (last,) = row(connection, "SELECT pg_last_wal_replay_lsn()::text")
    if position(last) < position(recovery.end):
        raise BackupRefused(_("The WAL is damaged behind %s: choose a moment before it.") % last)


def _configure(data: Path, account: Account, *, role: str, recovery: Recovery | None) -> None:
    """Leave nothing of the copied cluster's settings, and let one account in, as one role."""
    try:
        own = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as error:
        raise BackupRefused(
            _("The account %d of this process has no name, by which PostgreSQL would let it in.")
            % os.geteuid()
        ) from error
    files = {
        "postgresql.conf": "",
        "postgresql.auto.conf": "",
        "pg_hba.conf": f"local all {_quoted(role)} peer map=own\n",
        "pg_ident.conf": f"own {_quoted(own)} {_quoted(role)}\n",
    }
    for name in ("standby.signal", "recovery.signal"):
        (data / name).unlink(missing_ok=True)
    if recovery is not None:
        files["recovery.signal"] = ""
    for name, content in files.items():
        (data / name).write_text(content, encoding="utf-8")
        account.give(data / name)


def _quoted(name: str) -> str:
    """A name as the files of PostgreSQL's sign-in take it, whatever signs it has."""
    return '"' + name.replace('"', '""') + '"'


def _started(place: Home, data: Path, options: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    said = [f"--{name}={one}" for name, one in options.items()]
    with (place.folder / "log").open("wb") as output:
        return subprocess.Popen(  # noqa: S603  PostgreSQL itself, and no shell
            [str(place.postgres), "-D", str(data), *said],
            cwd=data,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C ends the command, which ends the server; not both at once.
            start_new_session=True,
            **place.account.options,
        )


def _came_up(process: "subprocess.Popen[bytes]", data: Path) -> bool:
    """Wait until recovery is over, which takes as long as there is WAL, or the server ended."""
    while process.poll() is None:
        # What pg_ctl waits for: the pid in the first line and the state in the eighth.
        with suppress(FileNotFoundError):
            lines = (data / "postmaster.pid").read_text(encoding="utf-8").split("\n")
            if lines[0] == str(process.pid) and len(lines) > 7 and lines[7].strip() == "ready":
                return True
        time.sleep(LOOK_AGAIN_SECONDS)
    return False
