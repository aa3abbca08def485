"""Proving a backup: it is restored to a scratch database, and everything has to agree there."""

import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from django.db.models import Q
from django.utils import timezone

from ops.backups import (
    configuration,
    copies,
    deployment,
    inventory,
    media,
    proofs,
    reading,
    records,
    shared_files,
)
from ops.backups.copies import Clock
from ops.backups.errors import BackupRefused
from ops.backups.lock import alone
from ops.backups.making import clear
from ops.backups.places import WORK, Place
from ops.backups.proofs import Proof
from ops.backups.reading import StoredBackup
from ops.metrics import BACKUP_NOT_PROVEN, BACKUP_PROVEN
from ops.models import Backup
from ops.services import events

type Told = Callable[[str, float], None]


def prove(
    identifier: str,
    *,
    place: Place | None = None,
    told: Told = lambda _name, _seconds: None,
) -> Proof:
    """Restore a backup beside the live database, check it there, and keep the proof with it.

    It lies in `place`, or in the first place of the settings. Its rows have to be as many as they
    were, its migrations known, its files whole; then the checks of integrity run on it, with the
    seals that lie in the backup. Nothing of the live platform is touched. Raises BackupRefused, and
    then its row and an event say why.
    """
    places = deployment.places() if place is None else [place]
    with alone(deployment.root()):
        clear(deployment.root())
        chain = reading.chain(places[0], identifier)
        clock = Clock(told)
        try:
            seen = _see(chain, clock)
        except BackupRefused as refusal:
            _fail(chain[-1], str(refusal), clock)
            raise
        for one in places:
            if identifier in one.identifiers():
                proofs.keep(seen, chain[-1].manifest, one)
        records.write_proof(seen)
    manifest = chain[-1].manifest
    events.record(
        BACKUP_PROVEN,
        backup=manifest.id,
        backup_kind=manifest.kind,
        seconds=seen.seconds_in_all,
    )
    return seen


def prove_newest(*, now: datetime) -> str | None:
    """Prove the newest backup of the settings' first place, unless that was tried already.

    Returns its identifier; None where there was nothing to do. Raises BackupRefused as `prove`.
    """
    places = deployment.places()
    records.write_again(places[:1])
    backups = inventory.known(places[0]).backups
    if not backups:
        return None
    identifier = backups[-1].manifest.id
    was_tried = Q(proven_at__isnull=False) | Q(proof_failed_at__isnull=False)
    if Backup.objects.filter(was_tried, identifier=identifier).exists():
        return None
    prove(identifier)
    return identifier


def _see(chain: Sequence[StoredBackup], clock: Clock) -> Proof:
    """Let a backup live again, and look at all of it."""
    last = chain[-1]
    manifest = last.manifest
    engine = deployment.engine_named(manifest.engine)
    engine.remove_remains()
    copies.check_version(manifest)
    with clock.step("files"):
        media.check(shared_files.listing(last), open_file=shared_files.opener(last.place, manifest))
        last.verify(only={configuration.PIECE})  # which no engine reads
    with (
        tempfile.TemporaryDirectory(dir=deployment.root() / WORK) as work,
        copies.living(chain, engine=engine, work=Path(work), clock=clock) as copy,
        clock.step("checks"),
    ):
        copy.run("check_integrity", f"--jobs={copies.JOBS}")
    return Proof(
        backup=manifest.id,
        manifest_seal=manifest.seal,
        proven_at=timezone.now(),
        seconds=clock.seconds,
    )


def _fail(stored: StoredBackup, problem: str, clock: Clock) -> None:
    manifest = stored.manifest
    records.note_failed_proof(manifest.id, problem)
    events.record(
        BACKUP_NOT_PROVEN,
        backup=manifest.id,
        backup_kind=manifest.kind,
        seconds=round(sum(clock.seconds.values()), 3),
        problem=problem,
    )
