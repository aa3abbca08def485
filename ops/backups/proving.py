"""Proving a backup: it is restored to a scratch database, and everything has to agree there."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from django.utils import timezone
from django.utils.translation import gettext as _

from ops.backups import (
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
from ops.backups.manifest import Manifest
from ops.backups.places import WORK, Place
from ops.backups.proofs import Proof
from ops.backups.reading import StoredBackup
from ops.metrics import BACKUP_NOT_PROVEN, BACKUP_PROVEN
from ops.models import Backup, OperationalEvent
from ops.services import events

AGAIN_AFTER = timedelta(hours=1)
TRIES = 3

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
        manifest = reading.find(places[0], identifier).manifest
        clock = Clock(told)
        try:
            with _refusals():
                seen = _see(reading.chain(places[0], identifier), clock)
                proofs.keep(seen, manifest, places[0])
        except BackupRefused as refusal:
            _fail(manifest, str(refusal), clock)
            raise
        records.write_proof(seen)
        records.note(identifier, _keep_elsewhere(seen, manifest, places[1:]))
    events.record(
        BACKUP_PROVEN,
        backup=manifest.id,
        backup_kind=manifest.kind,
        seconds=seen.seconds_in_all,
    )
    return seen


def prove_newest(*, now: datetime) -> str | None:
    """Prove the newest backup of the settings' first place, if no younger one is proven.

    One that failed is tried again an hour later, and given up after three times: a disk may have
    been full for a while, but what is damaged stays so. Returns its identifier; None where there
    was nothing to do. Raises BackupRefused as `prove`.
    """
    places = deployment.places()
    records.write_again(places[:1])
    backups = inventory.known(places[0]).backups
    if not backups:
        return None
    identifier = backups[-1].manifest.id
    row = Backup.objects.filter(identifier=identifier).first()
    # Without a row, a link that it follows is missing: said by `backups`, and by its age.
    if row is None or row.proven_at is not None:
        return None
    if row.proof_failed_at is not None:
        failed = OperationalEvent.objects.filter(
            kind=BACKUP_NOT_PROVEN.name, facts__backup=identifier
        )
        if now - row.proof_failed_at < AGAIN_AFTER or failed.count() >= TRIES:
            return None
    prove(identifier)
    return identifier


def _keep_elsewhere(proof: Proof, manifest: Manifest, places: Sequence[Place]) -> Iterator[str]:
    """Put a proof beside the backup in other places that have it; says where that failed.

    It holds all the same: only whoever loses the first place would have to prove it again.
    """
    for place in places:
        try:
            if manifest.id in place.identifiers():
                proofs.keep(proof, manifest, place)
        except Exception as error:  # noqa: BLE001  whatever a bucket raises when it is away
            said = {"place": place.name, "problem": error}
            yield _("The proof is not in %(place)s: %(problem)s.") % said


@contextmanager
def _refusals() -> Iterator[None]:
    """Say of a disk that failed what it said, in one line."""
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        raise BackupRefused(_("The backup could not be restored: %s.") % said) from error


def _see(chain: Sequence[StoredBackup], clock: Clock) -> Proof:
    """Let a backup live again, and look at all of it."""
    last = chain[-1]
    manifest = last.manifest
    engine = deployment.engine_named(manifest.engine)
    engine.remove_remains()
    copies.check_version(manifest)
    with clock.step("files"):
        media.check(shared_files.listing(last), open_file=shared_files.opener(last.place, manifest))
        # The engine reads the rows to their end, and nothing else of it.
        last.verify(only={piece.name for piece in manifest.pieces} - {copies.DATABASE})
    with (
        tempfile.TemporaryDirectory(dir=deployment.root() / WORK) as work,
        copies.living(chain, engine=engine, work=Path(work), clock=clock) as copy,
        clock.step("checks"),
    ):
        copy.run(*copies.checking(manifest))
    return Proof(
        backup=manifest.id,
        manifest_seal=manifest.seal,
        proven_at=timezone.now(),
        seconds=clock.seconds,
    )


def _fail(manifest: Manifest, problem: str, clock: Clock) -> None:
    records.note_failed_proof(manifest.id, problem)
    events.record(
        BACKUP_NOT_PROVEN,
        backup=manifest.id,
        backup_kind=manifest.kind,
        seconds=round(sum(clock.seconds.values()), 3),
        problem=problem,
    )
