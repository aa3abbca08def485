"""What the platform keeps for its own user of the machine alone: folders 0700, files 0600.

By the rights of each, not by a umask: static files stay readable for a web server.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FOLDER, FILE = 0o700, 0o600
OTHERS = 0o077  # every right of the group and of everybody else


def make_private_folder(path: Path) -> None:
    """Make a folder for its owner alone; of one that is there, take away what others may do.

    Raises OSError where it cannot be made. What cannot be taken away is left: `open_to_others`.
    """
    path.mkdir(mode=FOLDER, parents=True, exist_ok=True)
    _close(path, FOLDER)


def make_private_database(path: Path) -> None:
    """Make SQLite's file before SQLite does; of files that are there, take away as of a folder.

    SQLite takes an empty file for a new database, and gives its -wal and -shm files the same
    rights. What cannot be made is left to SQLite, which says why.
    """
    if not os.path.exists(path):
        with suppress(OSError):
            path.touch(mode=FILE)
    for file in database_files(path):
        _close(file, FILE)


def database_files(path: Path) -> Iterator[Path]:
    """SQLite's file, and those that it keeps beside it, as far as they are there."""
    for ending in ("", "-wal", "-shm", "-journal"):
        file = path.with_name(path.name + ending)
        if os.path.exists(file):  # Path.exists() raises where a folder may not be entered
            yield file


def open_to_others(path: Path) -> int | None:
    """The rights of a path that others may use in any way; None where they may not."""
    with suppress(OSError):  # gone meanwhile, or in a folder that may not be entered
        rights = stat.S_IMODE(path.stat().st_mode)
        return rights if rights & OTHERS else None
    return None


def _close(path: Path, rights: int) -> None:
    """Leave these rights of one's own path; a sticky folder, such as /tmp, is everybody's."""
    with suppress(OSError):  # a file system may refuse, or have no rights: config.checks says so
        found = path.stat()
        is_ours = found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX
        if is_ours and found.st_mode & OTHERS:
            path.chmod(rights)
