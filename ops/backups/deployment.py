"""How this deployment keeps its backups: the engine and the places that its settings name."""

from collections.abc import Callable
from datetime import timedelta
from itertools import islice, pairwise
from pathlib import Path

from cronsim import CronSim
from django.conf import settings
from django.core.files.storage import storages
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from ops.backups.engine import Engine
from ops.backups.errors import BackupRefused
from ops.backups.places import Bucket, Folder, Place
from ops.backups.postgresql_dump import DumpEngine
from ops.backups.postgresql_pages import PagesEngine as ClusterEngine
from ops.backups.sqlite_pages import PagesEngine as FileEngine
from ops.backups.wal_archive import PlacesArchives

LATE_BY = timedelta(hours=2)  # a proof may end so long after the next backup was due


def engine() -> Engine:
    """What new backups are made with."""
    if connection.vendor == "sqlite":
        return FileEngine()
    return _of_pages() if settings.BACKUP_METHOD == "pages" else DumpEngine()


def engine_named(name: str) -> Engine:
    """What a backup that was made by this engine lives again with.

    Raises BackupRefused where it is of another kind of database than the live one.
    """
    known: dict[str, Callable[[], Engine]] = (
        {FileEngine.name: FileEngine}
        if connection.vendor == "sqlite"
        else {DumpEngine.name: DumpEngine, ClusterEngine.name: _of_pages}
    )
    if name in known:
        return known[name]()
    raise BackupRefused(
        _("The backup was made by %(engine)s, of another kind of database than %(vendor)s.")
        % {"engine": name, "vendor": connection.display_name}
    )


def _of_pages() -> ClusterEngine:
    return ClusterEngine(archives=PlacesArchives(places()))


def root() -> Path:
    """The folder where drafts are written, which is the first place as well."""
    return Path(settings.BACKUP_DIR)


def places() -> list[Place]:
    """Where backups are kept, the folder first. Raises BackupRefused where it cannot be made."""
    try:
        found: list[Place] = [Folder(root())]
    except OSError as error:
        raise BackupRefused(
            _("BACKUP_DIR %(folder)s cannot be used: %(reason)s.")
            % {"folder": root(), "reason": error.strerror or error}
        ) from error
    if settings.BACKUP_STORAGE_BUCKET:
        name = f"s3://{settings.BACKUP_STORAGE_BUCKET}/backups"
        found.append(Bucket(storages["backups"], name=name))
    return found


def oldest_allowed() -> timedelta:
    """How old the newest proven backup may be: the longest pause of the schedule and two hours."""
    moments = islice(CronSim(settings.BACKUP_SCHEDULE, timezone.localtime()), 60)
    return max((later - earlier for earlier, later in pairwise(moments)), default=LATE_BY) + LATE_BY
