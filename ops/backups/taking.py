"""Making a backup of this deployment: of the right kind, after the right one, with all it needs."""

from collections.abc import Sequence
from datetime import timedelta
from io import BytesIO
from pathlib import Path

from django.utils import timezone
from django.utils.translation import gettext as _

from ops.backups import configuration, deployment, inventory, records
from ops.backups.engine import Engine, Readable
from ops.backups.errors import BackupRefused
from ops.backups.inventory import Inventory
from ops.backups.lock import alone
from ops.backups.making import Wanted, clear, make_alone
from ops.backups.manifest import Manifest
from ops.backups.places import Folder, Place
from ops.backups.reading import StoredBackup
from ops.backups.shared_files import MEDIA, Keeping
from ops.models import BackupKind, BackupTrigger

# A full one so often: the longer the chain, the more there is that one damage takes away.
FULL_EVERY = timedelta(days=7)


def back_up(
    *,
    trigger: BackupTrigger,
    kind: BackupKind | None = None,
    with_media: bool = True,
    to: Path | None = None,
) -> Manifest:
    """Back up this deployment, and return the manifest of it.

    Without a `kind` it is the usual one of the engine: an increment where there is a full one of
    the last seven days to follow. `to` is another folder instead of the places of the settings.
    Without media the files of the seals are kept all the same. Raises BackupRefused, and then there
    is none, or one that lacks in a later place, as it says.
    """
    root, places = _where(to)
    with alone(root):
        return back_up_alone(
            trigger=trigger, kind=kind, with_media=with_media, places=places, root=root
        )


def back_up_alone(
    *,
    trigger: BackupTrigger,
    kind: BackupKind | None = None,
    with_media: bool = True,
    places: Sequence[Place],
    root: Path,
    is_first: bool = True,
) -> Manifest:
    """The same for a caller who holds the lock, in these places.

    One that is not the first thing that is done under it clears nothing away beforehand.
    """
    engine = deployment.engine()
    stored = inventory.known(places[0])
    records.close_lost(places[0], stored)
    kind = kind or _usual(engine, stored)
    files = Keeping(places[0], root=root, with_media=with_media)
    wanted = Wanted(
        kind=kind,
        trigger=trigger,
        parent=newest_of(engine, stored) if kind is BackupKind.INCREMENTAL else None,
        beside={configuration.PIECE: _configuration, MEDIA: files},
        bring=files.bring,
    )
    if is_first:
        clear(root)
        engine.remove_remains()
    manifest = make_alone(engine=engine, root=root, places=places, wanted=wanted)
    records.note(manifest.id, files.wrong)
    return manifest


def newest_of(engine: Engine, stored: Inventory) -> StoredBackup | None:
    """The newest backup of this engine with all that it follows."""
    return next(
        (
            one
            for one in reversed(stored.backups)
            if one.manifest.engine == engine.name and stored.chain(one.manifest.id)
        ),
        None,
    )


def _where(to: Path | None) -> tuple[Path, list[Place]]:
    if to is None:
        return deployment.root(), deployment.places()
    try:
        return to, [Folder(to)]
    except OSError as error:
        said = {"folder": to, "reason": error.strerror or error}
        raise BackupRefused(_("%(folder)s cannot be used: %(reason)s.") % said) from error


def _configuration() -> Readable:
    return BytesIO(configuration.written())


def _usual(engine: Engine, stored: Inventory) -> BackupKind:
    kinds = engine.kinds()
    newest = newest_of(engine, stored)
    if BackupKind.INCREMENTAL in kinds and newest is not None:
        chain = stored.chain(newest.manifest.id) or []
        if chain and timezone.now() - chain[0].started_at < FULL_EVERY:
            return BackupKind.INCREMENTAL
    if BackupKind.POINT_IN_TIME in kinds:
        return BackupKind.POINT_IN_TIME
    return BackupKind.FULL
