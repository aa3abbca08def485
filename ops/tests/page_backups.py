"""A PostgreSQL of a test's own, backups of it in memory, and an archive of its WAL in a folder."""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Self

import psycopg
from django.test import override_settings
from psycopg.conninfo import conninfo_to_dict

from ops.backups.engine import Restored
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest, Piece
from ops.backups.postgresql_tools import Parameters
from ops.backups.wal_folder import Archive, Reached, reached
from ops.models.backups import BackupKind, BackupTrigger, new_identifier
from tests.kept_servers import Account, postgresql, postgresql_programs

OPTIONS = {"wal_level": "replica", "summarize_wal": "on", "track_commit_timestamp": "on"}
PATIENCE = 60.0  # seconds


def wait_for[Found](condition: Callable[[], Found]) -> Found:
    """Look again until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL: its address, its folder, and itself as the engine knows it."""

    address: str
    data: Path
    parameters: Parameters

    def run(self, *statements: str) -> None:
        """Run statements, each for itself."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str) -> list[tuple]:
        """What a query finds."""
        return rows(self.address, query)

    def seen_by(self, **parameters: str) -> Parameters:
        """The same server for another role or database."""
        return {**self.parameters, **parameters}


def rows(address: str, query: str) -> list[tuple]:
    """What a query finds on the server of this address."""
    with psycopg.connect(address) as connection:
        return connection.execute(query).fetchall()


def rows_of(alive: Restored, query: str) -> list[tuple]:
    """What a query finds in a backup that lives."""
    return rows(alive.environment["DATABASE_URL"], query)


@contextmanager
def own_server(**options: str) -> Iterator[Server]:
    """Lend an empty PostgreSQL whose pages may be copied."""
    account = Account.for_servers()
    # Not in pytest's folder: it is closed to the account that servers of root have.
    with tempfile.TemporaryDirectory(prefix="pages-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        home = account.folder(folder / "postgresql")
        programs = postgresql_programs(account.folder(folder / "programs"), account)
        with (
            override_settings(PG_TOOLS_DIR=str(programs)),
            postgresql(home, account, durable=False, more={**OPTIONS, **options}) as first,
        ):
            with psycopg.connect(first, autocommit=True) as connection:
                connection.execute("CREATE DATABASE shop")
            address = first.removesuffix("postgres") + "shop"
            parameters = {name: str(one) for name, one in conninfo_to_dict(address).items()}
            yield Server(address, home / "data", parameters)


@dataclass
class Kept:
    """One backup, in memory: a link of a chain."""

    manifest: Manifest
    pieces: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def reading(self, name: str):
        yield BytesIO(self.pieces[name])


def kept(engine, kind: BackupKind, scratch: Path, *, parent: Kept | None = None) -> Kept:
    """Make a backup as the command does: refused, or stored."""
    if refusal := engine.refusal(kind, parent=parent.manifest if parent else None):
        raise BackupRefused(refusal)
    pieces: dict[str, bytes] = {}

    def put(name, source):
        content = BytesIO()
        shutil.copyfileobj(source, content)
        pieces[name] = content.getvalue()
        digest = hashlib.sha256(pieces[name]).hexdigest()
        size = len(pieces[name])
        return Piece(name=name, size=size, sha256=digest, plain_size=size, plain_sha256=digest)

    started_at = datetime.now(UTC)
    stored = engine.store(put, kind=kind, parent=parent, scratch=scratch)
    manifest = Manifest(
        id=new_identifier(),
        kind=kind,
        engine=engine.name,
        trigger=BackupTrigger.HAND,
        parent=parent.manifest.id if parent else None,
        parent_seal=None,
        database="shop",
        started_at=started_at,
        finished_at=datetime.now(UTC),
        code_version="test",
        server_version=stored.server_version,
        migrations=[],
        compression="none",
        key_id="",
        row_counts=stored.row_counts,
        row_counts_after=stored.row_counts_after,
        pieces=[],
        facts=stored.facts,
    )
    return Kept(manifest, pieces)


@dataclass
class FolderArchive:
    """WAL that was taken away, in plain bytes."""

    folder: Path

    def of(self, _system_identifier: str) -> Self:
        return self

    def take(self, name, source) -> None:
        written = self.folder / f".{name}"
        with written.open("wb") as target:
            shutil.copyfileobj(source, target)
        written.rename(self.folder / name)

    def names(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if not path.name.startswith(".")]

    @contextmanager
    def reading(self, name: str):
        path = self.folder / name
        if not path.exists():
            raise KeyError(name)
        with path.open("rb") as source:
            yield source


def newest(archive: Archive) -> Reached:
    """How far an archive goes, which has begun."""
    has = reached(archive)
    assert has is not None
    return has
