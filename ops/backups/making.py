"""How a backup is made: its pieces into a draft, its manifest, then whole into each place."""

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
from ops.backups import records, sealing
from ops.backups.engine import Engine, Readable
from ops.backups.errors import BackupRefused
from ops.backups.lock import alone
from ops.backups.manifest import Manifest, Piece
from ops.backups.places import MANIFEST, WORK, Place
from ops.backups.reading import StoredBackup
from ops.metrics import BACKUP_FAILED, BACKUP_MADE, BACKUP_STARTED
from ops.models import Backup, BackupKind, BackupTrigger, RunStatus
from ops.services import events, key_ring

logger = logging.getLogger(__name__)

PIECES = "pieces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What backup is asked for: of which kind, after which one, and why now."""

    kind: BackupKind
    trigger: BackupTrigger
    parent: StoredBackup | None = None
    # What goes beside the database, by the name of its piece.
    beside: Mapping[str, Callable[[], Readable]] = field(default_factory=dict)
    # Brings another place what the pieces name and do not hold.
    bring: Callable[[Place], None] = lambda _place: None

    @property
    def follows(self) -> Manifest | None:
        """The manifest of the one that it follows."""
        return self.parent.manifest if self.parent else None


def make(*, engine: Engine, root: Path, places: Sequence[Place], wanted: Wanted) -> Manifest:
    """Make a backup, and keep it in every place; returns its manifest.

    `root` is the folder of the first place, or another one of this machine with room for a draft.
    A row and events tell of it from the start on. Raises BackupRefused, and whatever else stopped
    it, with nothing under a final name; where one of the later places fails, the others keep it,
    its row says where it is missing, and BackupRefused says it too.
    """
    with alone(root):
        clear(root)
        engine.remove_remains()
        return make_alone(engine=engine, root=root, places=places, wanted=wanted)


def make_alone(*, engine: Engine, root: Path, places: Sequence[Place], wanted: Wanted) -> Manifest:
    """The same for a caller who holds the lock of the folder, and cleared it."""
    parent = wanted.follows
    if refusal := engine.refusal(wanted.kind, parent=parent):
        raise BackupRefused(refusal)
    first, *others = places
    row = Backup.objects.create(
        kind=wanted.kind,
        engine=engine.name,
        trigger=wanted.trigger,
        parent=Backup.objects.filter(identifier=parent.id).first() if parent else None,
        location=first.name[:255],
    )
    events.record(BACKUP_STARTED, backup_kind=wanted.kind, trigger=wanted.trigger)
    missing: list[str] = []
    try:
        with _refusals(), _draft(root) as draft:
            manifest = _write(row, wanted, engine=engine, draft=draft)
            first.take(manifest.id, draft / PIECES)
            missing += _take_elsewhere(others, manifest, draft / PIECES, bring=wanted.bring)
    except BaseException as error:
        _fail(row, str(error) or type(error).__name__)
        raise
    _succeed(row, manifest, log="\n".join(missing))
    if missing:
        problem = " ".join(missing)
        _tell_failure(row, problem)
        raise BackupRefused(problem)
    return manifest


def _take_elsewhere(
    places: Sequence[Place], manifest: Manifest, pieces: Path, *, bring: Callable[[Place], None]
) -> list[str]:
    """Keep it in other places as well; returns a sentence for each that failed."""
    missing = []
    for place in places:
        try:
            bring(place)
            place.take(manifest.id, pieces)
        except Exception as error:  # noqa: BLE001  whatever a bucket raises when it is away
            said = {"backup": manifest.id, "place": place.name, "problem": error}
            missing.append(_("Backup %(backup)s is not in %(place)s: %(problem)s.") % said)
    return missing


def _write(row: Backup, wanted: Wanted, *, engine: Engine, draft: Path) -> Manifest:
    """Write the pieces and the manifest of a backup into its draft."""
    key, pieces = key_ring.newest("field"), list[Piece]()
    folder, scratch = draft / PIECES, draft / "scratch"
    folder.mkdir()
    scratch.mkdir()

    def put(name: str, source: Readable) -> Piece:
        path = folder / f"{name}.age"
        with path.open("xb") as file:
            try:
                plain, stored = sealing.pack(source, file, key=key)
            except BaseException:
                path.unlink()
                raise
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
    """A folder for a draft, gone afterwards."""
    with tempfile.TemporaryDirectory(dir=root / WORK) as folder:
        yield Path(folder)


def clear(root: Path) -> None:
    """Remove what a killed command left: it holds plain rows while an engine is at work."""
    shutil.rmtree(root / WORK, ignore_errors=True)
    (root / WORK).mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _refusals() -> Iterator[None]:
    """Say of a disk or a network that failed what it said, in one line."""
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        raise BackupRefused(_("The backup could not be written: %s.") % said) from error


def _fail(row: Backup, problem: str) -> None:
    row.status, row.log, row.finished_at = RunStatus.FAILED, problem, timezone.now()
    row.save(update_fields=["status", "log", "finished_at"])
    _tell_failure(row, problem)


def _tell_failure(row: Backup, problem: str) -> None:
    logger.error("The backup %s failed: %s", row.identifier, problem)
    events.record(BACKUP_FAILED, backup_kind=row.kind, trigger=row.trigger, problem=problem)


def _succeed(row: Backup, manifest: Manifest, *, log: str) -> None:
    row.log = log
    records.fill(row, manifest)
    row.save()
    events.record(
        BACKUP_MADE,
        backup_kind=row.kind,
        trigger=row.trigger,
        seconds=round(manifest.seconds, 3),
        bytes=manifest.size,
    )
