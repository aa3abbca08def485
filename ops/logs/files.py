"""Files of the log in LOG_DIR: one for each day of UTC and each machine, an object in each line.

Every process of a machine appends to the same file, each line by one write: on a disk of its own
the kernel keeps them apart. The name has the day in it, so that nothing is renamed under anybody.
"""

import gzip
import logging
import os
import re
import shutil
import socket
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import override

from django.conf import settings

from ops.logs.counts import count
from ops.logs.lines import Lines, TakesLines

KEPT_FOR = timedelta(days=90)
# Yesterday's may still be written by a process whose clock is behind.
PACKED_AFTER = timedelta(days=2)
LOOK_EVERY = 5  # seconds between looks whether somebody moved the file away
SAY_EVERY = 60  # seconds between sentences about lines that were lost
FOLDER, FILE = 0o700, 0o600
DAY = 86_400  # seconds
NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.[A-Za-z0-9_-]+\.jsonl(\.gz)?\Z")


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file of the log: of which day, and whether it is packed."""

    path: Path
    day: date
    is_packed: bool


def log_files(folder: Path) -> list[LogFile]:
    """The files of the log in a folder, the oldest day first; none where there is no folder."""
    found = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if named := NAME.match(path.name):
                with suppress(ValueError):  # 2026-02-31
                    found.append(LogFile(path, date.fromisoformat(named[1]), bool(named[2])))
    return sorted(found, key=lambda file: (file.day, file.path.name))


class DailyFiles(TakesLines):
    """Appends each line to the file of its day in `settings.LOG_DIR`; without one it does nothing.

    What cannot be written is counted, and said on stderr now and then. It never raises.
    """

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._machine = re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname()) or "machine"
        self._opened: tuple[Path, int] | None = None  # the folder, and which day since 1970
        self._file = -1
        self._looked_at = self._said_at = 0.0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        folder: Path | None = settings.LOG_DIR
        if folder is not None:
            try:
                line = self.format(record).encode(errors="replace") + b"\n"
                self._write(line, folder, record.created)
            except Exception as error:  # noqa: BLE001  a line less is better than a request less
                self._lose(error)

    @override
    def take(self, lines: Lines) -> None:
        folder: Path | None = settings.LOG_DIR
        if folder is not None:
            try:
                written = b"".join(lines.written)
                with self.lock or nullcontext():
                    self._write(written, folder, lines[-1].created)
            except Exception as error:  # noqa: BLE001
                self._lose(error, len(lines))

    def _write(self, line: bytes, folder: Path, created: float) -> None:
        day = int(created) // DAY
        if self._opened != (folder, day) or created > self._looked_at + LOOK_EVERY:
            self._open(folder, day)
        os.write(self._file, line)

    def _open(self, folder: Path, day: int) -> None:
        """Have the file of this day open; one that somebody moved away or deleted is made again."""
        self._looked_at = time.time()
        path = folder / f"{datetime.fromtimestamp(day * DAY, UTC):%Y-%m-%d}.{self._machine}.jsonl"
        if self._opened == (folder, day):
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(path), os.fstat(self._file)):
                    return
        self._close_file()
        with suppress(FileExistsError):
            folder.mkdir(mode=FOLDER)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE)
        self._opened = folder, day
        _delete_old(folder, datetime.fromtimestamp(day * DAY, UTC).date())

    @override
    def close(self) -> None:
        """Close the file; the next line opens it again."""
        self.acquire()
        try:
            self._close_file()
        finally:
            self.release()
        super().close()

    def _close_file(self) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
        self._file, self._opened = -1, None

    def _lose(self, error: Exception, lines: int = 1) -> None:
        count("lines_lost", lines)
        if time.time() > self._said_at + SAY_EVERY:
            self._said_at = time.time()
            with suppress(Exception):
                sys.stderr.write(f"Lines of the log are lost: LOG_DIR cannot be written: {error}\n")


def forget_old(*, now: datetime) -> int:
    """Delete what is older than 90 days, pack what is no longer written; how many files it was.

    A process deletes by itself when it begins a day: this is for machines where nothing begins any
    more, and it alone packs. A beat calls it on each machine; it may run in several places at once.
    """
    folder: Path | None = settings.LOG_DIR
    if folder is None:
        return 0
    today = now.astimezone(UTC).date()
    done = _delete_old(folder, today)
    for file in log_files(folder):
        if not file.is_packed and file.day <= today - PACKED_AFTER:
            with suppress(FileNotFoundError):  # somebody else was faster
                _pack(file.path)
                done += 1
    return done


def _delete_old(folder: Path, today: date) -> int:
    deleted = 0
    for file in log_files(folder):
        if file.day < today - KEPT_FOR:
            with suppress(OSError):
                file.path.unlink()
                deleted += 1
    return deleted


def _pack(path: Path) -> None:
    """Replace a file by its packed twin, which is whole before the other one goes."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    try:
        with (
            path.open("rb") as plain,
            os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE), "wb") as file,
            gzip.open(file, "wb", compresslevel=6) as packed,
        ):
            shutil.copyfileobj(plain, packed, 1024 * 1024)
        draft.replace(path.with_name(f"{path.name}.gz"))
        path.unlink()
    finally:
        draft.unlink(missing_ok=True)
