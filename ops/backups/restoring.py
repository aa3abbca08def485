"""Restoring: a backup lives again to the side, is checked there, and takes the live one's place."""

import json
import logging
import tempfile
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from django.core.files.storage import storages
from django.db import Error, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ops.backups import (
    copies,
    deployment,
    media,
    reading,
    records,
    shared_files,
    side_database,
    taking,
)
from ops.backups.copies import Clock, Copy
from ops.backups.errors import BackupRefused
from ops.backups.lock import alone
from ops.backups.making import clear
from ops.backups.places import WORK, Place
from ops.backups.postgresql_tools import one_line
from ops.backups.reading import StoredBackup
from ops.metrics import BACKUP_RESTORED
from ops.models import Backup, BackupTrigger, Maintenance, ProcessBeat
from ops.services import audit, events, maintenance, seals

logger = logging.getLogger(__name__)

PATIENCE = 60  # seconds that requests, tasks and jobs have to end
LOOK_AGAIN = 0.5  # seconds
# What is said where something fails after the swap.
_SEALS_STAY = gettext_lazy(
    "The seals of later days are not put aside (%(reason)s): seal_ledgers --after-restore does it."
)
_SEALS_ARE_MISSING = gettext_lazy(
    "The seals of the backup are not all back (%(reason)s): restore it once more."
)
_ROWS_ARE_MISSING = gettext_lazy(
    "Rows of backups are not written again (%(reason)s): the next proof does it."
)
_NO_EVENT = gettext_lazy("The restore left no event and no audit entry (%(reason)s).")


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

    `problems` are what could not be done after the swap, with what to do instead. Of a restore to
    another name there is nothing to say.
    """

    kept: str = ""
    present: str | None = None
    files: media.RestoredMedia | None = None
    problems: Sequence[str] = ()


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
        is_used = _check_target(wish)
        chain = _whole(wish, places, clock)
        manifest = chain[-1].manifest
        engine = deployment.engine_named(manifest.engine)
        engine.remove_remains()
        moment = (wish.at or manifest.started_at).isoformat()
        with (
            tempfile.TemporaryDirectory(dir=root / WORK) as work,
            copies.living(chain, engine=engine, work=Path(work), clock=clock, at=wish.at) as copy,
        ):
            with clock.step("after"):
                files = copy.folder / "files.json"
                rest = ["--in-maintenance"] if is_used else []
                copy.run("after_restore", moment, f"--files={files}", *rest, with_files=True)
            with clock.step("checks"):
                copy.run(*copies.checking(manifest))
            if wish.to is not None:
                copy.restored.become(wish.to)
                return Outcome()
            return _take_its_place(
                copy,
                chain[-1],
                wish=wish,
                clock=clock,
                is_used=is_used,
                known=frozenset(json.loads(files.read_text(encoding="utf-8"))),
            )


def _check_target(wish: Wish) -> bool:
    """Whether there is a live state that gives way. Raises BackupRefused where none may."""
    engine = deployment.engine()
    if wish.to is not None:
        engine.check_name(wish.to)
        return False
    is_empty = _is_empty()
    engine.check_live()
    return not is_empty


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
            except Exception as error:  # noqa: BLE001  whatever a disk or a bucket raises
                said = {"place": place.name, "reason": one_line(error)}
                refusals.append(_("%(place)s cannot be read: %(reason)s.") % said)
            else:
                return chain
    raise BackupRefused(" ".join(dict.fromkeys(refusals)))


def _take_its_place(
    copy: Copy,
    stored: StoredBackup,
    *,
    wish: Wish,
    clock: Clock,
    is_used: bool,
    known: Container[str],
) -> Outcome:
    """Back up the present state and let the restored one take its place.

    Of the files those come back that the restored one knows, not of people who were erased again.
    """
    present, problems = None, list[str]()
    with _maintenance(problems, must=wish.keeps_present) if is_used else nullcontext():
        if is_used and wish.keeps_present:
            with clock.step("present"):
                present = _back_up_present(problems)
        files = _bring_files_back(stored, known=known) if wish.with_media else None
        with clock.step("swap"):
            kept = copy.restored.become_live(keep_as=_name_for_the_former())
        # From here on it is the restored one that is asked, and nothing takes it back.
        # The seals go with the rows: until now those of the former ones had to lie there.
        for act, told in (
            (partial(_write, copies.SEALS, stored), _SEALS_ARE_MISSING),
            (seals.set_newer_aside, _SEALS_STAY),
            (lambda: records.write_again(deployment.places()), _ROWS_ARE_MISSING),
            (partial(_write_down, stored, clock), _NO_EVENT),
        ):
            try:
                act()
            except Exception as error:  # noqa: BLE001  a bucket or a database, whatever they raise
                problems.append(told % {"reason": one_line(error)})
    return Outcome(kept=kept, present=present, files=files, problems=problems)


def _back_up_present(problems: list[str]) -> str:
    """Back up the present state; returns the backup's identifier.

    Where it is in the first place that is enough: another may be what is away.
    """
    places = deployment.places()
    before = set(places[0].identifiers())
    try:
        return taking.back_up_alone(
            trigger=BackupTrigger.RESTORE, places=places, root=deployment.root(), is_first=False
        ).id
    except BackupRefused as refusal:
        new = sorted(set(places[0].identifiers()) - before)
        if not new:
            raise
        problems.append(str(refusal))
        return new[-1]
    except Error as error:
        raise BackupRefused(
            _(
                "The present state cannot be backed up (%s). --no-backup leaves that out; the "
                "former database is kept in any case."
            )
            % one_line(error)
        ) from error


@contextmanager
def _maintenance(problems: list[str], *, must: bool) -> Iterator[None]:
    """Let everything rest meanwhile; afterwards it is as it was before.

    The restored database begins in maintenance as well: it may be asked from the swap on. A
    database that is too damaged to be told of it is left alone, unless it `must` be.
    """
    before: Maintenance | None = None
    try:
        try:
            before = Maintenance.objects.filter(is_on=True).first()
            if before is None:
                maintenance.turn_on()
            _wait_for_all()
        except Error as error:
            if must:
                raise BackupRefused(
                    _("Maintenance cannot be switched on (%s). --no-backup goes on without it.")
                    % one_line(error)
                ) from error
        yield
    finally:
        _go_on(before, problems)


def _go_on(before: Maintenance | None, problems: list[str]) -> None:
    """Let all be as it was before: at work, or in the maintenance of staff, in their words."""
    try:
        if before is None:
            maintenance.turn_off()
        else:
            maintenance.turn_on(message=before.message, until=before.until)
    except Error as error:
        logger.exception("Maintenance is not as it was before the restore")
        problems.append(
            _("Maintenance may still be on (%s): see maintenance status.") % one_line(error)
        )


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


def _bring_files_back(stored: StoredBackup, *, known: Container[str]) -> media.RestoredMedia:
    """Write the files that are missing, or others by now, as far as the restored rows know them.

    Raises BackupRefused, with some of them written: what was there is kept beside.
    """
    try:
        return _write("default", stored, known=known)
    except BackupRefused:
        raise
    except Exception as error:
        raise BackupRefused(
            _("The files cannot be brought back (%s): the live database is what it was.")
            % one_line(error)
        ) from error


def _write(
    storage: str, stored: StoredBackup, *, known: Container[str] | None = None
) -> media.RestoredMedia:
    """Write the files of one storage as the backup has them."""
    listed = [one for one in shared_files.listing(stored) if one.storage == storage]
    return media.restore(
        [one for one in listed if known is None or one.path in known],
        open_file=shared_files.opener(stored.place, stored.manifest),
        into={storage: storages[storage]},
    )


@transaction.atomic
def _write_down(stored: StoredBackup, clock: Clock) -> None:
    seconds = round(sum(clock.seconds.values()), 3)
    events.record(BACKUP_RESTORED, backup=stored.manifest.id, seconds=seconds)
    audit.record(action="backup.restored", row=Backup, after={"backup": stored.manifest.id})


def _is_empty() -> bool:
    """Whether the live database has nothing at all: a new machine.

    Raises BackupRefused where it cannot be read, or has tables of somebody else.
    """
    try:
        tables = set(connection.introspection.table_names())
    except Error as error:
        raise BackupRefused(
            _("The live database cannot be read (%s): put an empty one in its place first.")
            % one_line(error)
        ) from error
    if tables and not {"django_migrations", Maintenance._meta.db_table} <= tables:
        raise BackupRefused(
            _("The database %s is not empty, and none of this platform: name another one.")
            % connection.settings_dict["NAME"]
        )
    return not tables


def _name_for_the_former() -> str:
    """A name for what the live database is called from now on, which nobody has yet."""
    name = Path(str(connection.settings_dict["NAME"])).name
    ending = f"_before_{timezone.now():%Y%m%d_%H%M%S}"
    room = side_database.LONGEST_NAME - len(ending)
    return name.encode()[:room].decode(errors="ignore") + ending
