"""What every way of keeping a database has in common: its backups, and how one lives again.

An engine knows one database and one way of reading it (SQLite's pages, pg_dump, pg_basebackup).
It knows nothing of encryption, of places and of schedules: it is handed `put`, which takes a piece
away, and links, whose pieces it reads.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ops.backups.manifest import Manifest, Piece
from ops.models.backups import BackupKind


class Readable(Protocol):
    """What bytes are read from: a file, the output of a program, a piece that is opened."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes; empty at the end."""
        ...


class Put(Protocol):
    """Take one piece of a backup away: compressed, encrypted, with its checksums."""

    def __call__(self, name: str, source: Readable) -> Piece:
        """Read the source to its end. Raises what reading raises; then the piece is gone."""
        ...


class Link(Protocol):
    """One backup of a chain: what its manifest says, and its pieces in plain bytes."""

    @property
    def manifest(self) -> Manifest:
        """What is known of this backup, already verified."""
        ...

    def reading(self, name: str) -> AbstractContextManager[Readable]:
        """A piece, decrypted and unpacked; leaving the block raises if it was not whole.

        Raises KeyError where the backup has no piece of this name.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What an engine says of the backup that it has just written."""

    server_version: str
    # By table, at the very moment that the backup shows.
    row_counts: Mapping[str, int]
    # Where that moment lies somewhere between two counts: the second one. Else None.
    row_counts_after: Mapping[str, int] | None = None
    # The engine's own: positions in the WAL, the size of a page. JSON, and no secrets.
    facts: Mapping[str, Any] = field(default_factory=dict)


class Restored(Protocol):
    """A backup that lives again, beside the live database."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables with which `manage.py` works on it instead of the live database."""
        ...

    def count_rows(self) -> Mapping[str, int]:
        """How many rows each of its tables has."""
        ...

    def become(self, name: str) -> None:
        """Stay, as another database or file of this name. Raises BackupRefused if it exists."""
        ...

    def become_live(self, *, keep_as: str) -> str:
        """Take the place of the live database, which is kept; returns where, in words.

        In one step: whoever looks sees the one or the other, and a failure leaves the live one.
        Raises BackupRefused while others use it in a way that cannot be ended.
        """
        ...


class Engine(Protocol):
    """One way of keeping one kind of database."""

    name: ClassVar[str]

    def kinds(self) -> Sequence[BackupKind]:
        """What it can make here and now, the usual one first."""
        ...

    def refusal(self, kind: BackupKind, *, parent: Manifest | None) -> str | None:
        """Why no backup of this kind can be made now, or None. Says what is missing and where."""
        ...

    def store(self, put: Put, *, kind: BackupKind, parent: Link | None, scratch: Path) -> Stored:
        """Write a backup of the live database as pieces.

        `scratch` is an empty folder for this process alone, which is removed afterwards, and by
        the next command if this one is killed. Raises BackupRefused.
        """
        ...

    def restored(
        self, chain: Sequence[Link], *, scratch: Path, at: datetime | None = None
    ) -> AbstractContextManager[Restored]:
        """Let a backup live again: a full one and those that follow it, in their order.

        `at` asks for the state at a moment after the last link. When the block is left it is
        gone, unless it became something. Raises BackupRefused.
        """
        ...

    def check_name(self, name: str) -> None:
        """Raise BackupRefused where a restored one could not `become` this, before any work."""
        ...

    def check_live(self) -> None:
        """Raise BackupRefused where the live database could not give way, before any work."""
        ...

    def remove_remains(self) -> int:
        """Remove what a killed command left behind, such as scratch databases; returns how many.

        Called while the lock of backups is held, so that nobody is at work.
        """
        ...
