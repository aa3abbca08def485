"""Backups in memory: what an engine puts, and the links that it reads again."""

import hashlib
import io
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from ops.backups.engine import Stored
from ops.backups.manifest import Manifest, Piece
from ops.models.backups import BackupKind, BackupTrigger

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Kept:
    """One backup: what was put of it, and its manifest. Nothing is checked when it is read."""

    manifest: Manifest
    pieces: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def reading(self, name):
        yield io.BytesIO(self.pieces[name])

    @property
    def size(self):
        return sum(map(len, self.pieces.values()))

    def flipped(self, name, at):
        """The same with one bit of a piece another one."""
        content = bytearray(self.pieces[name])
        content[at] ^= 1
        return replace(self, pieces={**self.pieces, name: bytes(content)})


def store(engine, scratch, *, parent=None, name="first") -> Kept:
    """Make a backup, an increment where there is a parent."""
    pieces = {}

    def put(piece, source):
        pieces[piece] = b"".join(iter(lambda: source.read(70_001), b""))
        size, digest = len(pieces[piece]), hashlib.sha256(pieces[piece]).hexdigest()
        return Piece(name=piece, size=size, sha256=digest, plain_size=size, plain_sha256=digest)

    kind = BackupKind.INCREMENTAL if parent else BackupKind.FULL
    folder = scratch / f"of {name}"
    folder.mkdir()
    stored = engine.store(put, kind=kind, parent=parent, scratch=folder)
    return Kept(manifest_of(stored, kind=kind, parent=parent, name=name), pieces)


def manifest_of(stored: Stored, *, kind, parent, name, engine="sqlite") -> Manifest:
    return Manifest(
        id=name,
        kind=kind,
        engine=engine,
        trigger=BackupTrigger.HAND,
        parent=parent.manifest.id if parent else None,
        parent_seal=parent.manifest.seal if parent else None,
        database="db.sqlite3",
        started_at=MOMENT,
        finished_at=MOMENT,
        code_version="",
        server_version=stored.server_version,
        migrations=[],
        compression="zstd",
        key_id="",
        row_counts=stored.row_counts,
        row_counts_after=None,
        pieces=[],
        facts=stored.facts,
        seal=f"seal of {name}",
    )
