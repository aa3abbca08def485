"""Where a backup lives again: a folder and an account of its own, found again after a kill."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
from django.conf import settings
from django.utils.translation import gettext as _

from ops.backups import postgresql_tools as tools
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.postgresql_tools import one_line

STOP_SECONDS = 30.0


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
class Home:
    """A folder of this account, and the major version of the programs that work in it."""

    folder: Path
    account: Account
    version: int

    @property
    def postgres(self) -> Path:
        """The server's program. Raises BackupRefused where it is missing."""
        return tools.find("postgres", server=self.version)

    def run(self, name: str, arguments: Sequence[str]) -> None:
        """Run a program of PostgreSQL as the account. Raises BackupRefused when it fails."""
        program = tools.find(name, server=self.version)
        tools.run(program, arguments, {}, cwd=self.folder, **self.account.options)

    def check_programs(self, manifest: Manifest) -> None:
        """Raise BackupRefused where the account cannot run the server, or of another version."""
        program = self.postgres
        try:
            done = subprocess.run(  # noqa: S603
                [str(program), "--version"],
                cwd=self.folder,
                check=True,
                capture_output=True,
                text=True,
                **self.account.options,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise BackupRefused(
                _("%(program)s does not run as the account %(account)d: %(reason)s")
                % {"program": program, "account": self.account.uid, "reason": one_line(error)}
            ) from error
        # postgres (PostgreSQL) 18.6 (Debian 18.6-1)
        here = done.stdout.split()[2]
        if major(here) != self.version:
            raise BackupRefused(
                _("Backup %(id)s is of PostgreSQL %(theirs)s; installed here is %(here)s.")
                % {"id": manifest.id, "theirs": manifest.server_version, "here": here}
            )

    @contextmanager
    def sockets(self) -> Iterator[Path]:
        """A folder for a socket, whose path may have about a hundred characters and no more."""
        folder = Path(tempfile.mkdtemp(prefix="pg-"))
        # A killed command's is found by the one in its home.
        (self.folder / "sockets").symlink_to(folder)
        try:
            yield self.account.give(folder)
        finally:
            shutil.rmtree(folder)


def major(version: str) -> int:
    """The major version of one that PostgreSQL says."""
    return int(version.split(".")[0])


def records() -> Path:
    """A folder of links to the folders where backups live."""
    return Path(settings.DATA_DIR) / "scratch_servers"


@contextmanager
def home(scratch: Path, *, version: int) -> Iterator[Home]:
    """A folder of the account of servers: in scratch, if that gets there.

    As root it may not: a folder that is closed to others is closed to `nobody`. Then it is in the
    folder for temporary files.
    """
    account = Account.for_servers()
    inside = scratch if is_open(scratch, account) else None
    folder = Path(tempfile.mkdtemp(prefix="restored-", dir=inside))
    record = records() / secrets.token_hex(8)
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    record.symlink_to(folder)
    try:
        yield Home(folder=account.give(folder), account=account, version=version)
    finally:
        shutil.rmtree(folder)
        record.unlink()


def is_open(folder: Path, account: Account) -> bool:
    """Whether another account gets through to this folder."""
    if not account.is_another:
        return True
    return all(one.stat().st_mode & 0o001 for one in (folder, *folder.absolute().parents))


def remove_remains() -> int:
    """Stop the servers of commands that were killed, and remove their folders; returns how many."""
    found = list(records().glob("*"))
    for record in found:
        folder = record.readlink()
        _end_those_in(folder)
        with suppress(OSError):  # it was killed before, or its folder is gone
            shutil.rmtree((folder / "sockets").readlink())
        shutil.rmtree(folder, ignore_errors=True)
        record.unlink()
    return len(found)


def _end_those_in(folder: Path) -> None:
    """Kill the processes that work in this folder: PostgreSQL works in that of its data."""
    gone = []
    for process in psutil.process_iter(["cwd"]):
        if str(process.info["cwd"] or "").startswith(f"{folder}/"):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                gone.append(process)
    psutil.wait_procs(gone, timeout=STOP_SECONDS)
