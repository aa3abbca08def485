"""How a backup is made: its pieces into a draft, its manifest, then whole into each place."""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django.utils.translation import gettext as _

from ops.backups import manifest as manifests
from ops.backups import sealing
from ops.backups.engine import Engine, Readable
from ops.backups.errors import BackupRefused
from ops.backups.lock import alone
from ops.backups.manifest import Manifest, Piece
from ops.backups.places import MANIFEST, Place
from ops.backups.reading import StoredBackup
from ops.metrics import BACKUP_FAILED, BACKUP_MADE, BACKUP_STARTED
from ops.models import Backup, BackupKind, BackupTrigger, RunStatus
from ops.services import events, key_ring

logger = logging.getLogger(__name__)

DRAFTS = ".drafts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What backup is asked for: of which kind, after which one, and why now."""

    kind: BackupKind
    trigger: BackupTrigger
    parent: StoredBackup | None = None
    # What goes beside the database, by the name of its piece.
    beside: Mapping[str, Callable[[], Readable]] = field(default_factory=dict)

    @property
    def follows(self) -> Manifest | None:
        """The manifest of the one that it follows."""
        return self.parent.manifest if self.parent else None


def make(*, engine: Engine, root: Path, places: Sequence[Place], wanted: Wanted) -> Manifest:
    """Make a backup, and keep it in every place; returns its manifest.

    `root` is a folder of this machine with room for a draft. A row and events tell of it from the
    start on. Raises BackupRefused, with nothing under a final name in the first place, and where
    one of the others fails the first one keeps what it has.
    """
    with alone(root):
        _remove_drafts(root)
        engine.remove_remains()
        parent = wanted.follows
        if refusal := engine.refusal(wanted.kind, parent=parent):
            raise BackupRefused(refusal)
        row = Backup.objects.create(
            kind=wanted.kind,
            engine=engine.name,
            trigger=wanted.trigger,
            parent=Backup.objects.filter(identifier=parent.id).first() if parent else None,
            location=places[0].name[:255],
        )
        events.record(BACKUP_STARTED, backup_kind=wanted.kind, trigger=wanted.trigger)
        try:
            with _refusals(), _draft(root) as draft:
                manifest = _write(row, wanted, engine=engine, draft=draft)
                for place in places:
                    place.take(manifest.id, draft / "pieces")
        except BackupRefused as refusal:
            _fail(row, str(refusal))
            raise
        _succeed(row, manifest)
        return manifest


def _write(row: Backup, wanted: Wanted, *, engine: Engine, draft: Path) -> Manifest:
    """Write the pieces and the manifest of a backup into its draft."""
    key, pieces = key_ring.newest("field"), list[Piece]()
    folder, scratch = draft / "pieces", draft / "scratch"
    folder.mkdir()
    scratch.mkdir()

    def put(name: str, source: Readable) -> Piece:
        with (folder / f"{name}.age").open("wb") as file:
            plain, stored = sealing.pack(source, file, key=key)
        piece = Piece(
            name=name,
            size=stored.size,
            sha256=stored.sha256,
            plain_size=plain.size,
            plain_sha256=plain.sha256,
        )
        pieces.append(piece)
        return piece

    stored = engine.store(put, kind=wanted.kind, parent=wanted.parent, scratch=scratch)
    for name, opened in wanted.beside.items():
        put(name, opened())
    parent = wanted.follows
    manifest = manifests.sealed(
        Manifest(
            id=row.identifier,
            kind=wanted.kind,
            engine=engine.name,
            trigger=wanted.trigger,
            parent=parent.id if parent else None,
            parent_seal=parent.seal if parent else None,
            database=Path(str(connection.settings_dict["NAME"])).name,
            started_at=row.started_at,
            finished_at=timezone.now(),
            code_version=settings.VERSION,
            server_version=stored.server_version,
            migrations=_migrations(),
            compression=sealing.COMPRESSION,
            key_id=key.id,
            row_counts=dict(stored.row_counts),
            row_counts_after=(
                None if stored.row_counts_after is None else dict(stored.row_counts_after)
            ),
            pieces=pieces,
            facts=dict(stored.facts),
        )
    )
    (folder / MANIFEST).write_bytes(manifests.written(manifest))
    return manifest


def _migrations() -> list[str]:
    applied = MigrationRecorder(connection).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in applied)


@contextmanager
def _draft(root: Path) -> Iterator[Path]:
    """A folder for a draft, gone afterwards; what a kill leaves, the next command removes."""
    drafts = root / DRAFTS
    drafts.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=drafts) as folder:
        yield Path(folder)


def _remove_drafts(root: Path) -> None:
    shutil.rmtree(root / DRAFTS, ignore_errors=True)


@contextmanager
def _refusals() -> Iterator[None]:
    """Say of a disk or a network that failed what it said, in one line."""
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        raise BackupRefused(_("The backup could not be written: %s.") % said) from error


def _fail(row: Backup, problem: str) -> None:
    logger.error("The backup %s was not made: %s", row.identifier, problem)
    row.status, row.log, row.finished_at = RunStatus.FAILED, problem, timezone.now()
    row.save(update_fields=["status", "log", "finished_at"])
    events.record(BACKUP_FAILED, backup_kind=row.kind, trigger=row.trigger, problem=problem)


def _succeed(row: Backup, manifest: Manifest) -> None:
    row.status = RunStatus.SUCCEEDED
    row.finished_at = manifest.finished_at
    row.size = manifest.size
    row.sha256 = hashlib.sha256(manifests.written(manifest)).hexdigest()
    row.code_version = manifest.code_version[:100]
    row.server_version = manifest.server_version[:100]
    row.migrations = list(manifest.migrations)
    row.compression = manifest.compression
    row.key_id = manifest.key_id
    row.row_counts = dict(manifest.row_counts)
    row.save()
    events.record(
        BACKUP_MADE,
        backup_kind=row.kind,
        trigger=row.trigger,
        seconds=round(manifest.seconds, 3),
        bytes=manifest.size,
    )
