"""How a restored file becomes the live one of SQLite, once nobody has that open.

The content comes into the file that is there, in one transaction of SQLite. To rename another file
over it would mix the two: whoever opened the old one meanwhile writes its pages into the -wal of
the new one's name.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.utils.translation import gettext as _

from ops.backups.errors import BackupRefused
from ops.backups.sqlite_files import make_empty, opened, sync

WAIT = 2.0  # seconds for a command that only looks; a server does not go by itself
LOCKS = Path("/proc/locks")


def swap(live: Path, restored: Path, *, keep_as: Path) -> None:
    """Keep the live state as a file of its own, and put the restored one in its place.

    A kill at any moment leaves the one or the other: SQLite's journal takes back what is half done
    when the file is next opened. Raises BackupRefused while somebody has the live file open, and
    where `keep_as` exists; then nothing was changed.
    """
    _check_free(keep_as)
    with suppress(FileExistsError):
        make_empty(live)
    with opened(live, "rw", wait=WAIT) as connection, _alone(connection, live):
        _keep(connection, keep_as, draft=draft_of(live))
        try:
            with opened(restored, "ro") as source:
                source.backup(connection)
        except BackupRefused as error:
            raise BackupRefused(
                _("%(error)s The live database is what it was, and is in %(file)s as well.")
                % {"error": error, "file": keep_as}
            ) from error


def check_alone(live: Path) -> None:
    """Raise BackupRefused while somebody has the live file open, or where it is none."""
    with opened(live, "rw", wait=WAIT) as connection, _alone(connection, live):
        pass


def draft_of(live: Path) -> Path:
    """Where the live state is written while it is kept: what a killed command leaves."""
    return live.with_name(f"{live.name}.keeping")


@contextmanager
def _alone(connection: sqlite3.Connection, live: Path) -> Iterator[None]:
    """Hold the file so that nobody else reads or writes it, or opens it to do so.

    In WAL mode every connection, idle or not, holds a lock by which nobody else can leave that
    mode. Without WAL an idle one holds none: it sees what has changed when it next looks.
    """
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_mode = DELETE")
        # The lock stays after the transaction, in which no copy could come in.
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise
        raise BackupRefused(_in_use(live)) from error
    except sqlite3.DatabaseError as error:
        raise BackupRefused(
            _(
                "%(file)s is no database any more (%(reason)s): move it and its -wal away, then "
                "restore again."
            )
            % {"file": live, "reason": error}
        ) from error
    try:
        yield
    finally:
        # Where it fails, the next connection of the platform asks for WAL as well.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA locking_mode = NORMAL")
            # The lock leaves a journal behind that says nothing; DELETE after TRUNCATE removes it.
            for mode in ("TRUNCATE", "DELETE", "WAL"):
                connection.execute(f"PRAGMA journal_mode = {mode}")


def _keep(connection: sqlite3.Connection, keep_as: Path, *, draft: Path) -> None:
    """Write the live state under another name, which it gets when all of it is on the disk."""
    draft.unlink(missing_ok=True)
    make_empty(draft)
    try:
        with opened(draft, "rw") as kept:
            # It has no name yet: what breaks off is thrown away.
            kept.execute("PRAGMA journal_mode = OFF")
            kept.execute("PRAGMA synchronous = OFF")
            connection.backup(kept)
        sync(draft)
        try:
            os.link(draft, keep_as)
        except FileExistsError as error:
            raise _taken(keep_as) from error
        sync(keep_as.parent)
    except OSError as error:
        raise BackupRefused(
            _("The live state cannot be kept as %(file)s: %(reason)s.")
            % {"file": keep_as, "reason": error.strerror}
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _check_free(path: Path) -> None:
    if os.path.lexists(path):
        raise _taken(path)


def _taken(path: Path) -> BackupRefused:
    return BackupRefused(_("%s exists already: choose another name.") % path)


def _in_use(live: Path) -> str:
    if pids := _holders(live):
        return _(
            "The database %(file)s is in use by process %(pids)s: stop the server and its workers, "
            "then restore again."
        ) % {"file": live, "pids": ", ".join(map(str, pids))}
    return (
        _("The database %s is in use: stop the server and its workers, then restore again.") % live
    )


def _holders(live: Path) -> list[int]:
    """Which other processes hold locks on a file, as far as this system tells."""
    inode = str(live.stat().st_ino)
    try:
        lines = LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:  # no Linux
        return []
    # 1: POSIX  ADVISORY  READ 4711 fe:01:131080 1073741826 1073742335
    held = (line.split() for line in lines if "->" not in line)
    pids = {int(fields[4]) for fields in held if fields[5].rpartition(":")[2] == inode}
    # 0 and -1 are those of another container.
    return sorted(pid for pid in pids if pid > 0 and pid != os.getpid())
