"""Restoring: a backup lives again to the side, is checked there, and takes the live one's place."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.core.files.storage import storages
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from ops.backups import copies, deployment, media, reading, records, shared_files, taking
from ops.backups.copies import Clock
from ops.backups.engine import Restored
from ops.backups.errors import BackupRefused
from ops.backups.lock import alone
from ops.backups.making import clear
from ops.backups.places import WORK, Place
from ops.backups.reading import StoredBackup
from ops.metrics import BACKUP_RESTORED
from ops.models import Backup, BackupTrigger, ProcessBeat
from ops.services import audit, events, maintenance, seals

PATIENCE = 60  # seconds that requests, tasks and jobs have to end
LOOK_AGAIN = 0.5  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be restored, and where to.

    `at` is a moment after the backup; `to` is another name than the live database's, which then
    stays as it is. `keeps_present` False makes no backup of the present state, as where the live
    database is damaged; the swap keeps it in any case.
    """

    identifier: str
    at: datetime | None = None
    to: str | None = None
    with_media: bool = True
    keeps_present: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where the former state is, in words; its backup; and what was done to files.

    Of a restore to another name there is nothing to say.
    """

    kept: str
    present: str | None
    files: media.RestoredMedia | None


def restore(
    wish: Wish,
    *,
    places: Sequence[Place],
    told: Callable[[str, float], None] = lambda _name, _seconds: None,
) -> Outcome:
    """Restore a backup from the first of these places that has it whole.

    All of it is read before anything is touched. It lives again to the side, while the live one
    goes on; there it is counted, migrated, done again what apps registered, and checked. Then the
    platform goes into maintenance, its present state is backed up, and the copy takes its place in
    one step. Raises BackupRefused, and until that step nothing of the live database has changed.
    """
    clock = Clock(told)
    root = deployment.root()
    with alone(root):
        clear(root)
        if wish.to is not None:
            deployment.engine().check_name(wish.to)
        chain = _whole(wish, places, clock)
        manifest = chain[-1].manifest
        engine = deployment.engine_named(manifest.engine)
        engine.remove_remains()
        is_used = not _is_empty()
        moment = (wish.at or manifest.started_at).isoformat()
        with (
            tempfile.TemporaryDirectory(dir=root / WORK) as work,
            copies.living(chain, engine=engine, work=Path(work), clock=clock, at=wish.at) as copy,
        ):
            with clock.step("after"):
                rest = ["--in-maintenance"] if is_used and wish.to is None else []
                copy.run("after_restore", moment, *rest)
            with clock.step("checks"):
                copy.run("check_integrity", f"--jobs={copies.JOBS}")
            if wish.to is not None:
                copy.restored.become(wish.to)
                return Outcome(kept="", present=None, files=None)
            return _take_its_place(
                copy.restored, chain[-1], wish=wish, clock=clock, is_used=is_used
            )


def _whole(wish: Wish, places: Sequence[Place], clock: Clock) -> list[StoredBackup]:
    """The chain of a backup, read to its end in the first place that has all of it."""
    refusals: list[str] = []
    with clock.step("files"):
        for place in places:
            try:
                chain = reading.chain(place, wish.identifier)
                copies.check_version(chain[-1].manifest)
                for link in chain:
                    link.verify()
                listed = shared_files.listing(chain[-1])
                files = (
                    listed
                    if wish.with_media
                    else [one for one in listed if one.storage == copies.SEALS]
                )
                media.check(files, open_file=shared_files.opener(place, chain[-1].manifest))
            except BackupRefused as refusal:
                refusals.append(str(refusal))
            else:
                return chain
    raise BackupRefused(" ".join(dict.fromkeys(refusals)))


def _take_its_place(
    restored: Restored, stored: StoredBackup, *, wish: Wish, clock: Clock, is_used: bool
) -> Outcome:
    """Back up the present state and let the restored one take its place."""
    present = None
    with _maintenance() if is_used else nullcontext():
        if is_used and wish.keeps_present:
            with clock.step("present"):
                present = taking.back_up_alone(
                    trigger=BackupTrigger.RESTORE,
                    places=deployment.places(),
                    root=deployment.root(),
                    is_first=False,
                ).id
        files = _bring_files_back(stored, with_media=wish.with_media)
        with clock.step("swap"):
            kept = restored.become_live(keep_as=_name_for_the_former())
        # From here on it is the restored one that is asked.
        seals.set_newer_aside()
        records.write_again(deployment.places())
        _write_down(stored, clock)
    return Outcome(kept=kept, present=present, files=files)


@contextmanager
def _maintenance() -> Iterator[None]:
    """Let everything rest meanwhile; it goes on again unless it rested before.

    The restored database begins in maintenance as well: it may be asked from the swap on.
    """
    was_on = maintenance.is_on()
    maintenance.turn_on()
    try:
        _wait_for_all()
        yield
    finally:
        if not was_on:
            maintenance.turn_off()


def _wait_for_all() -> None:
    """Return when nothing is under way and every process has heard. Raises BackupRefused."""
    begun = time.monotonic()
    while True:
        under_way = maintenance.in_hand()
        waited = time.monotonic() - begun
        # One that nobody serves by was heard of by none.
        if under_way.is_nothing and (waited > maintenance.SEEN_BY_ALL_AFTER or not _is_served()):
            return
        if waited > PATIENCE:
            raise BackupRefused(
                _("Something is still under way after %(seconds)d s: see maintenance status.")
                % {"seconds": PATIENCE}
            )
        time.sleep(LOOK_AGAIN)


def _is_served() -> bool:
    """Whether any other process of the platform gave a sign of life lately."""
    lately = timezone.now() - maintenance.GONE_AFTER
    return ProcessBeat.objects.filter(beat_at__gt=lately).exists()


def _bring_files_back(stored: StoredBackup, *, with_media: bool) -> media.RestoredMedia:
    """Write the files of the backup that are missing, or others by now, which are kept beside."""
    into = {copies.SEALS: storages[copies.SEALS]}
    if with_media:
        into["default"] = storages["default"]
    return media.restore(
        shared_files.listing(stored),
        open_file=shared_files.opener(stored.place, stored.manifest),
        into=into,
    )


@transaction.atomic
def _write_down(stored: StoredBackup, clock: Clock) -> None:
    seconds = round(sum(clock.seconds.values()), 3)
    events.record(BACKUP_RESTORED, backup=stored.manifest.id, seconds=seconds)
    audit.record(action="backup.restored", row=Backup, after={"backup": stored.manifest.id})


def _is_empty() -> bool:
    """Whether the live database has nothing of the platform: a new machine."""
    return not connection.introspection.table_names()


def _name_for_the_former() -> str:
    """A name for what the live database is called from now on, which nobody has yet."""
    name = Path(str(connection.settings_dict["NAME"])).name
    moment = f"{timezone.now():%Y%m%d_%H%M%S}"
    return f"{name[:30]}_before_{moment}"
