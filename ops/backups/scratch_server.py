"""A PostgreSQL of its own on the pages of a backup, for as long as somebody looks at it.

It listens on a socket in a folder of its own and lets in nobody but the account of this process. Of
the settings of the cluster that was copied it takes none: their files lie elsewhere, and what they
ask for (an archive, standbys, libraries) does not belong to a copy.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import psutil
from django.conf import settings
from django.utils.translation import gettext as _

from ops.backups import postgresql_tools as tools
from ops.backups import side_database, wal_folder
from ops.backups.base_backup import DATABASE
from ops.backups.engine import Link
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.postgresql_dump import dumping, fill
from ops.backups.postgresql_tools import Parameters, one_line, row
from ops.backups.side_database import SideDatabase, count_rows
from ops.backups.wal_folder import Archive, Recovery
from ops.backups.wal_names import position

CHUNK = 1 << 20  # bytes
STOP_SECONDS = 30.0
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


@dataclass(frozen=True, slots=True)
class Account:
    """Who the server runs as: PostgreSQL refuses to run as root, and root has `nobody` for that."""

    uid: int
    gid: int

    @classmethod
    def for_servers(cls) -> Self:
        """This process' own, or that of `nobody`."""
        if os.geteuid():
            return cls(os.geteuid(), os.getegid())
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    @property
    def is_another(self) -> bool:
        """Whether it is not that of this process."""
        return self.uid != os.geteuid()

    @property
    def options(self) -> dict[str, Any]:
        """What `subprocess` needs to start a program as this account."""
        if not self.is_another:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> Path:
        """Give it a file, or a folder with all that is in it."""
        if self.is_another:
            os.chown(path, self.uid, self.gid)
            for folder, folders, files in os.walk(path):
                for name in (*folders, *files):
                    os.chown(Path(folder, name), self.uid, self.gid, follow_symlinks=False)
        return path


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
        return {"DATABASE_URL": tools.address(self.here), "DATABASE_URL_FILE": ""}

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
            with dumping(self.here) as archive:
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
    account = Account.for_servers()
    with _home(scratch, account) as home:
        server = _major(chain[-1].manifest.server_version)
        _check_programs(chain[-1].manifest, home, account)
        recovery = None
        if at is not None:
            recovery = wal_folder.recovery(chain[-1].manifest, archive, at=at, folder=home / "wal")
            account.give(home / "wal")
        data = _unpacked(chain, server, home, account)
        with _sockets(home, account) as sockets:
            here = {
                "host": str(sockets),
                "port": _OPTIONS["port"],
                **{name: live[name] for name in ("user", "dbname")},
            }
            program = tools.find("postgres", server=server)
            with _running(program, here, data, account, recovery=recovery):
                yield ScratchServer(live=live, here=here, scratch=scratch)


# --- Where it lives -------------------------------------------------------------------------------
def _records() -> Path:
    return Path(settings.DATA_DIR) / "scratch_servers"


@contextmanager
def _home(scratch: Path, account: Account) -> Iterator[Path]:
    """A folder of the account: in scratch, if it gets there.

    As root it may not: a folder that is closed to others is closed to `nobody`. Then it is in the
    folder for temporary files.
    """
    inside = scratch if _is_open(scratch, account) else None
    home = Path(tempfile.mkdtemp(prefix="restored-", dir=inside))
    record = _records() / secrets.token_hex(8)
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    record.symlink_to(home)
    try:
        yield account.give(home)
    finally:
        shutil.rmtree(home)
        record.unlink()


def _is_open(folder: Path, account: Account) -> bool:
    """Whether another account gets through to this folder."""
    if not account.is_another:
        return True
    return all(one.stat().st_mode & 0o001 for one in (folder, *folder.absolute().parents))


def _check_programs(manifest: Manifest, home: Path, account: Account) -> None:
    """Raise BackupRefused where the account cannot run PostgreSQL, or it is of another version."""
    program = tools.find("postgres", server=_major(manifest.server_version))
    try:
        done = subprocess.run(  # noqa: S603
            [str(program), "--version"],
            cwd=home,
            check=True,
            capture_output=True,
            text=True,
            **account.options,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise BackupRefused(
            _("%(program)s does not run as the account %(account)d: %(reason)s")
            % {"program": program, "account": account.uid, "reason": one_line(error)}
        ) from error
    # postgres (PostgreSQL) 18.6 (Debian 18.6-1)
    here = done.stdout.split()[2]
    if _major(here) != _major(manifest.server_version):
        raise BackupRefused(
            _("Backup %(id)s is of PostgreSQL %(theirs)s; installed here is %(here)s.")
            % {"id": manifest.id, "theirs": manifest.server_version, "here": here}
        )


def _major(version: str) -> int:
    return int(version.split(".")[0])


@contextmanager
def _sockets(home: Path, account: Account) -> Iterator[Path]:
    """A folder for the socket, whose path may have about a hundred characters and no more."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    # A killed command's is found by the one in its home.
    (home / "sockets").symlink_to(folder)
    try:
        yield account.give(folder)
    finally:
        shutil.rmtree(folder)


def remove_remains() -> int:
    """Stop the servers of commands that were killed, and remove their folders; returns how many."""
    records = list(_records().glob("*"))
    for record in records:
        home = record.readlink()
        _end_those_in(home)
        with suppress(OSError):  # it was killed before, or its folder is gone
            shutil.rmtree((home / "sockets").readlink())
        shutil.rmtree(home, ignore_errors=True)
        record.unlink()
    return len(records)


def _end_those_in(home: Path) -> None:
    """Kill the processes that work in this folder: PostgreSQL works in that of its data."""
    gone = []
    for process in psutil.process_iter(["cwd"]):
        if str(process.info["cwd"] or "").startswith(f"{home}/"):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                gone.append(process)
    psutil.wait_procs(gone, timeout=STOP_SECONDS)


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
def _unpacked(chain: Sequence[Link], server: int, home: Path, account: Account) -> Path:
    """The folder of a cluster, verified and put together from its increments."""
    folders = []
    for number, link in enumerate(chain):
        folder = home / f"link{number}"
        folder.mkdir(mode=0o700)
        _extract(link, folder)
        account.give(folder)
        _run(server, "pg_verifybackup", ["--exit-on-error", "--quiet", str(folder)], home, account)
        folders.append(folder)
    if len(folders) == 1:
        return folders[0]
    data = home / "data"
    _run(
        server,
        "pg_combinebackup",
        [*map(str, folders), f"--output={data}", "--no-sync"],
        home,
        account,
    )
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


def _run(server: int, name: str, arguments: Sequence[str], home: Path, account: Account) -> None:
    """Run a program of PostgreSQL as the account. Raises BackupRefused when it fails."""
    tools.run(tools.find(name, server=server), arguments, {}, cwd=home, **account.options)


# --- The server -----------------------------------------------------------------------------------
@contextmanager
def _running(
    program: Path, here: Parameters, data: Path, account: Account, *, recovery: Recovery | None
) -> Iterator[None]:
    """Run PostgreSQL on a folder, by the socket of `here`, from the end of its recovery on."""
    _configure(data, account, role=here["user"], recovery=recovery)
    options = {**_OPTIONS, "unix_socket_directories": here["host"]}
    if recovery is None:
        with _server(program, data, options, account):
            yield
        return
    options |= recovery.options
    with ExitStack() as stack:
        if recovery.at is not None:
            moment = {"recovery_target_time": recovery.at.isoformat()}
            with suppress(_AllIsOlder):
                stack.enter_context(_server(program, data, {**options, **moment}, account))
                yield
                return
        # What the end of the WAL shows, if it was read to its end.
        stack.enter_context(_server(program, data, options, account))
        _check_end(here, recovery)
        yield


class _AllIsOlder(Exception):
    """No commit of the WAL is younger than the moment that was asked for."""


@contextmanager
def _server(
    program: Path, data: Path, options: Mapping[str, str], account: Account
) -> Iterator[None]:
    log = data.with_name("log")
    process = _started(program, data, options, account, log)
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


def _started(
    program: Path, data: Path, options: Mapping[str, str], account: Account, log: Path
) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603  PostgreSQL itself, and no shell
            [str(program), "-D", str(data), *(f"--{name}={one}" for name, one in options.items())],
            cwd=data,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C ends the command, which ends the server; not both at once.
            start_new_session=True,
            **account.options,
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
