"""What drills of PostgreSQL's pages need: backups and WAL in folders, and the platform's keys.

Nothing is kept in plain bytes, so that sizes are those that a backup really takes.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from bench.drills.cluster import PLATFORM, Cluster, clusters, running
from bench.programs import free_port

if TYPE_CHECKING:  # they want Django's settings
    from ops.backups.engine import Engine, Link, Readable
    from ops.backups.manifest import Manifest, Piece
    from ops.backups.postgresql_pages import PagesEngine
    from ops.models.backups import BackupKind


@contextmanager
def settings_of_its_own() -> Iterator[None]:
    """The platform's settings, of which only the keys are wanted, which it makes by itself."""
    with tempfile.TemporaryDirectory(prefix="drill-data-") as data_dir:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": "",
            "REDIS_URL": "",
            "DATA_DIR": data_dir,
            "DEBUG": "1",
        }
        django.setup()
        yield


@contextmanager
def platform(**options: str | int) -> Iterator[tuple[Path, Cluster]]:
    """A folder, and a PostgreSQL whose pages the role of the platform may copy."""
    with clusters() as folder:
        cluster = Cluster(folder / "postgresql", free_port(), wal_level="replica", **options)
        with running(cluster):
            cluster.make()
            settings.PG_TOOLS_DIR = str(cluster.programs)
            cluster.sql(f"ALTER ROLE {PLATFORM} REPLICATION")
            yield folder, cluster


def live(cluster: Cluster) -> dict[str, str]:
    """Where the platform's database is, as libpq names it."""
    return {name: str(one) for name, one in conninfo_to_dict(cluster.url).items()}


@dataclass
class Packed:
    """Files in a folder, each compressed and encrypted."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)

    def of(self, _system_identifier: str) -> Self:
        """The archive of the only cluster there is."""
        return self

    def put(self, name: str, source: "Readable") -> "Piece":
        """Take a file away; one of this name is replaced in one step."""
        from ops.backups.manifest import Piece
        from ops.backups.sealing import pack
        from ops.services import key_ring

        beside = self.folder / f".{name}"
        with beside.open("wb") as target:
            plain, stored = pack(source, target, key=key_ring.newest("field"))
        beside.rename(self.folder / name)
        return Piece(
            name=name,
            size=stored.size,
            sha256=stored.sha256,
            plain_size=plain.size,
            plain_sha256=plain.sha256,
        )

    def take(self, name: str, source: "Readable") -> None:
        """The same for a receiver of the WAL."""
        self.put(name, source)

    def names(self) -> list[str]:
        """What lies there."""
        return [path.name for path in self.folder.iterdir() if not path.name.startswith(".")]

    @contextmanager
    def reading(self, name: str) -> Iterator["Readable"]:
        """A file in plain bytes."""
        from ops.backups import sealing
        from ops.services import key_ring

        path = self.folder / name
        if not path.exists():
            raise KeyError(name)
        with (
            path.open("rb") as stored,
            sealing.piped(partial(sealing.unpack, stored, key=key_ring.newest("field"))) as source,
        ):
            yield source


@dataclass
class Kept(Packed):
    """One backup of a chain."""

    manifest: "Manifest" = field(init=False)

    @property
    def size(self) -> int:
        """The bytes that it stored."""
        return self.manifest.size


def keep(
    engine: "Engine", kind: "BackupKind", folder: Path, *, parent: "Kept | None" = None
) -> Kept:
    """Make a backup in a folder of its own."""
    from ops.backups.errors import BackupRefused
    from ops.backups.manifest import Manifest
    from ops.models.backups import BackupTrigger, new_identifier

    refusal = engine.refusal(kind, parent=parent.manifest if parent else None)
    if refusal is not None:
        raise BackupRefused(refusal)
    identifier, pieces, started_at = new_identifier(), [], datetime.now(UTC)
    made = Kept(folder / identifier)

    def put(name: str, source: "Readable") -> "Piece":
        pieces.append(made.put(name, source))
        return pieces[-1]

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        stored = engine.store(put, kind=kind, parent=parent, scratch=Path(scratch))
    made.manifest = Manifest(
        id=identifier,
        kind=kind,
        engine=engine.name,
        trigger=BackupTrigger.HAND,
        parent=parent.manifest.id if parent else None,
        parent_seal=parent.manifest.seal if parent else None,
        database=PLATFORM,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        code_version="drill",
        server_version=stored.server_version,
        migrations=[],
        compression="zstd",
        key_id="",
        row_counts=stored.row_counts,
        row_counts_after=stored.row_counts_after,
        pieces=pieces,
        facts=stored.facts,
    )
    return made


@contextmanager
def restored(
    engine: "PagesEngine", chain: "Sequence[Link]", folder: Path, *, at: datetime | None = None
) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Let a chain live again; what is yielded asks it."""
    import psycopg

    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        engine.restored(chain, scratch=Path(scratch), at=at) as alive,
        psycopg.connect(alive.environment["DATABASE_URL"]) as connection,
    ):
        yield lambda query: connection.execute(query).fetchall()
