"""Backups of SQLite: the file as it is at one moment, and later the pages that have changed.

The copy is made in one step of SQLite's backup API: one reading transaction, for which no writer
waits in WAL mode. In several steps it would begin anew whenever somebody writes in between, and
never end on a busy day.
"""

import errno
import hashlib
import os
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from io import BufferedRandom, BufferedReader
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from django.db import connection, connections
from django.utils.translation import gettext as _

from ops.backups import sqlite_swap
from ops.backups.byte_stream import ByteStream, read_fully
from ops.backups.engine import Link, Put, Readable, Stored
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.sqlite_files import check, count_rows, make_empty, make_one_file, opened, sync
from ops.models.backups import BackupKind

DATABASE, PAGES = "database", "pages"
DIGEST = 16  # bytes
CHUNK = 1 << 20  # bytes
# What an increment begins with: bytes of a page, and how many pages the file has.
_HEADER = struct.Struct(">IQ")
_NUMBER = struct.Struct(">Q")


def live_file() -> Path:
    """Where the live database is."""
    return Path(connection.settings_dict["NAME"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PagesEngine:
    """Backups of SQLite, full and incremental."""

    name: ClassVar[str] = "sqlite"

    live: Path = field(default_factory=live_file)
    # Called before the live file is replaced: our own connections would be in the way.
    let_go: Callable[[], None] = connections.close_all

    def kinds(self) -> Sequence[BackupKind]:
        """Increments, and full ones."""
        return [BackupKind.INCREMENTAL, BackupKind.FULL]

    def refusal(self, kind: BackupKind, *, parent: Manifest | None) -> str | None:
        """Why none of this kind can be made now: no file, no parent, no WAL to keep."""
        if kind is BackupKind.POINT_IN_TIME:
            return _("SQLite keeps no changes to go to a point in time by: only PostgreSQL does.")
        if kind is BackupKind.INCREMENTAL:
            if parent is None:
                return _("There is no backup that this one could follow: make a full one first.")
            if parent.engine != self.name:
                return _("%s is no backup of SQLite: make a full one first.") % parent.id
        if not self.live.is_file():
            return _("There is no database at %s.") % self.live
        return None

    def store(self, put: Put, *, kind: BackupKind, parent: Link | None, scratch: Path) -> Stored:
        """Write the file, or what has changed in it since the parent. Raises BackupRefused."""
        if refusal := self.refusal(kind, parent=parent.manifest if parent else None):
            raise BackupRefused(refusal)
        copy = scratch / "copy.sqlite3"
        page_size, counted = _copy(self.live, copy)
        digests, sha256 = _digests(copy, page_size)
        pages = len(digests) // DIGEST
        facts = {"page_size": page_size, "pages": pages, "sha256": sha256}
        with copy.open("rb") as file:
            if kind is BackupKind.INCREMENTAL and parent is not None:
                changed = _changed(digests, _digests_of(parent))
                facts["changed"] = len(changed)
                put(DATABASE, ByteStream(_increment(file, page_size, pages, changed=changed)))
            else:
                put(DATABASE, file)
        put(PAGES, ByteStream([digests]))
        return Stored(server_version=sqlite3.sqlite_version, row_counts=counted, facts=facts)

    @contextmanager
    def restored(
        self, chain: Sequence[Link], *, scratch: Path, at: datetime | None = None
    ) -> Iterator["RestoredFile"]:
        """Let a backup live again as a file of its own in `scratch`."""
        if at is not None:
            raise BackupRefused(_("A backup of SQLite shows the one moment at which it was made."))
        _check_chain(chain)
        path = scratch / "restored.sqlite3"
        make_empty(path)
        try:
            _put_together_in(path, chain)
            with opened(path, "rw") as restored:
                if wrong := check(restored, "integrity_check"):
                    raise BackupRefused(
                        _("The database in %(id)s is damaged: %(reason)s")
                        % {"id": chain[-1].manifest.id, "reason": wrong}
                    )
            yield RestoredFile(path=path, live=self.live, let_go=self.let_go)
        finally:
            for left in (path, *_beside(path)):
                left.unlink(missing_ok=True)

    def check_name(self, name: str) -> None:
        """Raise BackupRefused where there is such a file already, or no folder for it."""
        _check_target(self.live.parent / name)

    def check_live(self) -> None:
        """Raise BackupRefused while somebody has the live file open, or where it is none."""
        if self.live.exists():
            self.let_go()
            sqlite_swap.check_alone(self.live)

    def remove_remains(self) -> int:
        """Remove a live state that was kept half when a command was killed."""
        draft = sqlite_swap.draft_of(self.live)
        if not draft.exists():
            return 0
        draft.unlink()
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredFile:
    """A backup of SQLite that lives again, in a file of its own."""

    path: Path
    live: Path
    let_go: Callable[[], None]

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which `manage.py` works on it; all else stays that of the live one."""
        return {"DATABASE_URL": "", "DATABASE_URL_FILE": "", "SQLITE_FILE": str(self.path)}

    def count_rows(self) -> Mapping[str, int]:
        """How many rows each of its tables has."""
        with opened(self.path, "rw") as restored:
            return count_rows(restored)

    def become(self, name: str) -> None:
        """Stay, as a file of this name; one without a folder lies beside the live database."""
        target = self.live.parent / name
        self._make_one_file()
        try:
            _move(self.path, target)
        except FileExistsError as error:
            raise _taken(target) from error
        except OSError as error:
            raise BackupRefused(
                _("%(file)s cannot be written: %(reason)s.")
                % {"file": target, "reason": error.strerror}
            ) from error

    def become_live(self, *, keep_as: str) -> str:
        """Take the place of the live file, whose state is kept beside it; returns where."""
        kept = self.live.parent / keep_as
        self._make_one_file()
        self.let_go()
        sqlite_swap.swap(self.live, self.path, keep_as=kept)
        return _("the file %s") % kept

    def _make_one_file(self) -> None:
        with opened(self.path, "rw") as restored:
            make_one_file(restored)


# --- Writing --------------------------------------------------------------------------------------
def _copy(live: Path, copy: Path) -> tuple[int, dict[str, int]]:
    """Copy the live file as it is at one moment; returns the bytes of a page, and the rows."""
    make_empty(copy)
    with opened(live, "rw") as source:
        source.execute("PRAGMA schema_version")  # no database: refused by the name of this file
        with opened(copy, "rw") as target:
            # Whoever is killed leaves a copy that nobody takes for a backup.
            target.execute("PRAGMA synchronous = OFF")
            source.backup(target)
    with opened(copy, "rw") as target:
        make_one_file(target)
        if wrong := check(target, "quick_check"):
            raise BackupRefused(
                _("The live database %(file)s is damaged: %(reason)s")
                % {"file": live, "reason": wrong}
            )
        (page_size,) = target.execute("PRAGMA page_size").fetchone()
        return page_size, count_rows(target)


def _digests(path: Path, page_size: int) -> tuple[bytes, str]:
    """The digests of all pages, one after the other, and the SHA-256 of the file."""
    digests, whole = [], hashlib.sha256()
    with path.open("rb") as file:
        while page := file.read(page_size):
            whole.update(page)
            digests.append(hashlib.blake2b(page, digest_size=DIGEST).digest())
    return b"".join(digests), whole.hexdigest()


def _digests_of(parent: Link) -> bytes:
    with parent.reading(PAGES) as source:
        digests = b"".join(iter(lambda: source.read(CHUNK), b""))
    if len(digests) != DIGEST * parent.manifest.facts["pages"]:
        raise BackupRefused(
            _("The pages of %s are not what was written: make a full backup.") % parent.manifest.id
        )
    return digests


def _changed(digests: bytes, before: bytes) -> list[int]:
    """Which pages are new or other than before, counted from 0.

    Where the size of a page changed, each is another one: digests of other bytes are no equals.
    """
    starts = range(0, len(digests), DIGEST)
    return [
        start // DIGEST
        for start in starts
        if digests[start : start + DIGEST] != before[start : start + DIGEST]
    ]


def _increment(
    file: BufferedReader, page_size: int, pages: int, *, changed: Sequence[int]
) -> Iterator[bytes]:
    yield _HEADER.pack(page_size, pages)
    for number in changed:
        file.seek(number * page_size)
        yield _NUMBER.pack(number) + file.read(page_size)


# --- Reading --------------------------------------------------------------------------------------
def _check_chain(chain: Sequence[Link]) -> None:
    """Raise BackupRefused, with the name of the link, unless each follows the one before it."""
    first = chain[0].manifest
    if first.kind is not BackupKind.FULL:
        raise _missing(first)
    for before, after in pairwise(link.manifest for link in chain):
        if after.parent != before.id:
            raise _missing(after)
        if after.parent_seal != before.seal:
            raise BackupRefused(
                _("%(parent)s was exchanged: it is not the backup that %(id)s follows.")
                % {"parent": before.id, "id": after.id}
            )


def _missing(manifest: Manifest) -> BackupRefused:
    if manifest.parent is None:
        return BackupRefused(_("%s is no part of this chain.") % manifest.id)
    return BackupRefused(
        _("%(parent)s is missing, which %(id)s follows.")
        % {"parent": manifest.parent, "id": manifest.id}
    )


def _put_together_in(path: Path, chain: Sequence[Link]) -> None:
    try:
        with path.open("r+b") as file:
            _put_together(file, chain)
    except OSError as error:
        said = {"folder": path.parent, "reason": error.strerror or error}
        raise BackupRefused(
            _("The database cannot be unpacked in %(folder)s: %(reason)s.") % said
        ) from error


def _put_together(file: BufferedRandom, chain: Sequence[Link]) -> None:
    full, *increments = chain
    with full.reading(DATABASE) as source:
        shutil.copyfileobj(source, file, CHUNK)
    for link in increments:
        with link.reading(DATABASE) as source:
            _apply(source, file, link.manifest)
    file.seek(0)
    newest = chain[-1].manifest
    if hashlib.file_digest(file, "sha256").hexdigest() != newest.facts["sha256"]:
        raise _not_as_written(newest)


def _apply(source: Readable, file: BufferedRandom, manifest: Manifest) -> None:
    page_size, pages = manifest.facts["page_size"], manifest.facts["pages"]
    if read_fully(source, _HEADER.size) != _HEADER.pack(page_size, pages):
        raise _not_as_written(manifest)
    while entry := read_fully(source, _NUMBER.size + page_size):
        number = int.from_bytes(entry[: _NUMBER.size])
        if len(entry) < _NUMBER.size + page_size or number >= pages:
            raise _not_as_written(manifest)
        file.seek(number * page_size)
        file.write(entry[_NUMBER.size :])
    file.truncate(pages * page_size)


def _not_as_written(manifest: Manifest) -> BackupRefused:
    return BackupRefused(_("The database in %s is not what was written.") % manifest.id)


# --- Staying --------------------------------------------------------------------------------------
def _check_target(target: Path) -> None:
    if os.path.lexists(target):
        raise _taken(target)
    if not target.parent.is_dir():
        raise BackupRefused(_("There is no folder %s.") % target.parent)


def _taken(target: Path) -> BackupRefused:
    return BackupRefused(_("%s exists already: choose another name.") % target)


def _beside(path: Path) -> Iterator[Path]:
    for ending in ("-wal", "-shm", "-journal"):
        yield path.with_name(path.name + ending)


def _move(path: Path, target: Path) -> None:
    """Give a file another name, on whatever disk; never that of another. Raises OSError."""
    sync(path)
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP}:
            raise
        _copy_new(path, target)
    sync(target.parent)


def _copy_new(path: Path, target: Path) -> None:
    make_empty(target)
    try:
        shutil.copyfile(path, target)
        sync(target)
    except BaseException:
        target.unlink()
        raise
