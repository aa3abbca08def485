"""Backups of any age on a shelf of a test: pieces, manifest and row, without an engine."""

import io
import json
import secrets
import tempfile
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from ops.backups import manifest as manifests
from ops.backups import records, sealing
from ops.backups.manifest import Manifest, Piece
from ops.backups.places import MANIFEST
from ops.models import Backup, BackupKind, BackupTrigger
from ops.services import key_ring


def put(place, *, age=timedelta(), started_at=None, parent=None, files=(), proven=False):
    """Keep a backup of this age in a place, with a row; returns its manifest.

    `files` are the names of shared files that it knows; those that are missing are written too.
    """
    started_at = started_at or timezone.now() - age
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder)
        pieces = [_piece(draft, "database", secrets.token_bytes(100))]
        lines = [_line(name) for name in files]
        pieces.append(_piece(draft, "media", b"".join(lines)))
        manifest = manifests.sealed(_manifest(started_at, parent, pieces))
        (draft / MANIFEST).write_bytes(manifests.written(manifest))
        place.take(manifest.id, draft)
        for name in files:
            content = draft / "content"
            content.write_bytes(b"sealed")
            place.take_shared(name, content)
            content.unlink()
    row = Backup(
        identifier=manifest.id,
        kind=manifest.kind,
        trigger=manifest.trigger,
        started_at=started_at,
        parent=parent and Backup.objects.get(identifier=parent.id),
        proven_at=started_at if proven else None,
        location=place.name,
    )
    records.fill(row, manifest)
    row.save()
    return manifest


def shared_name():
    """A name for a shared file."""
    name = secrets.token_hex(32)
    return f"{name[:2]}/{name}.age"


def _line(name):
    facts = {"storage": "default", "path": name, "size": 1, "sha256": "0" * 64, "name": name}
    return json.dumps(facts).encode() + b"\n"


def _piece(draft, name, content):
    with (draft / f"{name}.age").open("xb") as file:
        plain, stored = sealing.pack(io.BytesIO(content), file, key=key_ring.newest("field"))
    return Piece(
        name=name,
        size=stored.size,
        sha256=stored.sha256,
        plain_size=plain.size,
        plain_sha256=plain.sha256,
    )


def _manifest(started_at, parent, pieces):
    return Manifest(
        id=f"{started_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        kind=BackupKind.INCREMENTAL if parent else BackupKind.FULL,
        engine="notebook",
        trigger=BackupTrigger.SCHEDULE,
        parent=parent and parent.id,
        parent_seal=parent and parent.seal,
        database="shop",
        started_at=started_at,
        finished_at=started_at + timedelta(seconds=7),
        code_version="",
        server_version="1",
        migrations=[],
        compression=sealing.COMPRESSION,
        key_id=key_ring.newest("field").id,
        row_counts={"entry": 3},
        row_counts_after=None,
        pieces=pieces,
    )
