"""What backups do with SQLite's files: open them, count their rows, check them.

Nothing here opens the live file but SQLite: when a process closes a file that it opened by itself,
POSIX takes away all locks that SQLite holds on it.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from django.db.backends.sqlite3._functions import register  # type: ignore[import-untyped]
from django.utils.translation import gettext as _

from ops.backups.errors import BackupRefused

WAIT = 20.0  # seconds, as long as a request waits for a lock
FILE = 0o600


@contextmanager
def opened(
    path: Path, mode: Literal["ro", "rw"], *, wait: float = WAIT
) -> Iterator[sqlite3.Connection]:
    """A connection to a file that is there, which begins and ends its transactions by itself.

    What SQLite refuses is raised as BackupRefused, with the name of the file.
    """
    try:
        with closing(
            sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=wait,
                isolation_level=None,
            )
        ) as connection:
            # Constraints of ours ask for REGEXP: without it the checks below would refuse them.
            register(connection)
            yield connection
    except sqlite3.Error as error:
        raise BackupRefused(
            _("SQLite refuses %(file)s: %(reason)s.") % {"file": path, "reason": error}
        ) from error


def make_empty(path: Path) -> None:
    """An empty file for its owner alone. Raises FileExistsError."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE))


def count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """How many rows each table has; SQLite's own are left out."""
    names = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' "
        "ORDER BY name"
    )
    counted = {}
    for (name,) in names.fetchall():
        quoted = name.replace('"', '""')
        statement = f'SELECT count(*) FROM "{quoted}"'  # noqa: S608  the name of a table
        (counted[name],) = connection.execute(statement).fetchone()
    return counted


def check(connection: sqlite3.Connection, pragma: Literal["quick_check", "integrity_check"]) -> str:
    """What SQLite finds wrong with a file first; empty where there is nothing."""
    (found,) = connection.execute(f"PRAGMA {pragma}(1)").fetchone()
    return "" if found == "ok" else str(found)


def make_one_file(connection: sqlite3.Connection) -> None:
    """Take what lies in a -wal into the file, and leave nothing beside it."""
    connection.execute("PRAGMA journal_mode = DELETE")


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
