"""The rows of backups: written after their manifests, and again from them when they were lost."""

import hashlib
from collections.abc import Iterable, Sequence

from django.utils import timezone
from django.utils.translation import gettext as _

from ops.backups import inventory, proofs
from ops.backups import manifest as manifests
from ops.backups.inventory import Inventory
from ops.backups.manifest import Manifest
from ops.backups.places import Place
from ops.backups.proofs import Proof
from ops.models import Backup, RunStatus


def fill(row: Backup, manifest: Manifest) -> None:
    """Give a row what the manifest of its backup says, and save nothing."""
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


def write_again(places: Sequence[Place]) -> int:
    """Write the rows of backups that have none, or none of their end; returns how many.

    After a restore the database knows nothing of what was made since, and of the backup itself that
    it was begun. One whose parent cannot be read gets no row. Raises what the disk or the network
    raises.
    """
    written = 0
    for place in places:
        stored = inventory.known(place)
        done = Backup.objects.filter(status=RunStatus.SUCCEEDED)
        there = set(done.values_list("identifier", flat=True))
        for one in stored.backups:
            manifest = one.manifest
            if manifest.id not in there and stored.chain(manifest.id):
                _write(manifest, place)
                written += 1
                if proof := proofs.read(one):
                    write_proof(proof)
    return written


def _write(manifest: Manifest, place: Place) -> None:
    row = Backup.objects.filter(identifier=manifest.id).first() or Backup(identifier=manifest.id)
    row.kind, row.engine, row.trigger = manifest.kind, manifest.engine, manifest.trigger
    row.parent = Backup.objects.filter(identifier=manifest.parent).first()
    row.location, row.started_at = place.name[:255], manifest.started_at
    fill(row, manifest)
    row.save()


def close_lost(place: Place, stored: Inventory) -> int:
    """Close the rows of backups of a place whose command was killed; returns how many.

    One that is whole in the place was killed before its row said so. Call it while the lock of the
    place is held, so that nobody is at work on one.
    """
    lost = Backup.objects.filter(status=RunStatus.RUNNING, location=place.name[:255])
    for row in lost:
        if whole := stored.by_id.get(row.identifier):
            fill(row, whole.manifest)
        else:
            row.status, row.finished_at = RunStatus.FAILED, timezone.now()
            row.log = _("The command was killed before the backup was whole.")
        row.save()
    return len(lost)


def note(identifier: str, sentences: Iterable[str]) -> None:
    """Add these sentences to the log of a backup."""
    if said := "\n".join(sentences):
        row = Backup.objects.get(identifier=identifier)
        row.log = f"{row.log}\n{said}".lstrip()
        row.save(update_fields=["log"])


def write_proof(proof: Proof) -> None:
    """Say of a backup when it was proven, and how long that took."""
    Backup.objects.filter(identifier=proof.backup).update(
        proven_at=proof.proven_at,
        proof_seconds=proof.seconds_in_all,
        proof_failed_at=None,
    )


def note_failed_proof(identifier: str, problem: str) -> None:
    """Say of a backup that it does not count, and why."""
    rows = Backup.objects.filter(identifier=identifier)
    if rows.update(proven_at=None, proof_seconds=None, proof_failed_at=timezone.now()):
        note(identifier, [problem])


def mark_removed(identifiers: Iterable[str]) -> int:
    """Say of backups that they are in no place any more; their rows stay. Returns how many."""
    rows = Backup.objects.filter(identifier__in=list(identifiers), removed_at__isnull=True)
    return rows.update(removed_at=timezone.now())
