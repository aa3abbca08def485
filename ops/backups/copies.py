"""A backup that lives again beside the live database: working on it, and looking at it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from urllib.parse import unquote

from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.db.migrations.loader import MigrationLoader
from django.utils.translation import gettext as _

from ops.backups import media, shared_files
from ops.backups.engine import Engine, Restored
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.reading import StoredBackup

# The database that `manage.py after_restore` may work on, as its settings call it.
MARK = "RESTORED_COPY"
JOBS = 2  # checks at once: there are as many cores, or one is busy with others for that long
LINES = 5  # of what a command found, in a refusal
SEALS = "seals"


class Clock:
    """How long each step took, in seconds, by its name; `told` hears of each when it is over."""

    def __init__(self, told: Callable[[str, float], None] = lambda _name, _seconds: None) -> None:
        self.seconds: dict[str, float] = {}
        self._told = told

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done in the block, unless it fails."""
        begun = perf_counter()
        yield
        self.seconds[name] = round(perf_counter() - begun, 3)
        self._told(name, self.seconds[name])


def check_version(manifest: Manifest) -> None:
    """Raise BackupRefused where the backup knows migrations that this version does not."""
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    if unknown := sorted(set(manifest.migrations) - known):
        raise BackupRefused(
            _(
                "Backup %(id)s was made by another version (%(version)s): this one does not know "
                "%(migration)s. Install that version first."
            )
            % {
                "id": manifest.id,
                "version": manifest.code_version or _("unknown"),
                "migration": ", ".join(unknown[:3]),
            }
        )


def is_older(manifest: Manifest) -> bool:
    """Whether this version has migrations that the backup does not know yet."""
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    return not known <= set(manifest.migrations)


def compare_counts(restored: Restored, manifest: Manifest) -> None:
    """Raise BackupRefused where a table has other rows than when the backup was made.

    Where the moment of the backup lies between two counts, each table has to lie between them too:
    rows come and go meanwhile, but nothing comes that neither count has seen.
    """
    found = dict(restored.count_rows())
    before = dict(manifest.row_counts)
    after = before if manifest.row_counts_after is None else dict(manifest.row_counts_after)
    for table in sorted({*before, *after, *found}):
        bounds = sorted((before.get(table, 0), after.get(table, 0)))
        is_there = table in found
        if not is_there or not bounds[0] <= found[table] <= bounds[1]:
            raise BackupRefused(
                _("Table %(table)s has %(found)s rows, and had %(due)s when the backup was made.")
                % {
                    "table": table,
                    "found": found.get(table, _("no")),
                    "due": "–".join(str(one) for one in dict.fromkeys(bounds)),
                }
            )


def unpack_seals(stored: StoredBackup, folder: Path) -> None:
    """Write the files of the seals as the backup knows them into a folder. Raises BackupRefused."""
    listed = [one for one in shared_files.listing(stored) if one.storage == SEALS]
    folder.mkdir(mode=0o700)
    media.restore(
        listed,
        open_file=shared_files.opener(stored.place, stored.manifest),
        into={SEALS: FileSystemStorage(location=folder)},
    )


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup that lives again, with a folder for what is done to it."""

    restored: Restored
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which `manage.py` works on it, and on nothing of the live platform.

        Of the live one it has the keys alone. What it counts and logs lies in the folder, which
        holds the seals of the backup; it tells no Redis, no bucket of seals and no Sentry of it.
        """
        return {
            **os.environ,
            **self.restored.environment,
            MARK: _name_in(self.restored.environment),
            "DATA_DIR": str(settings.DATA_DIR),  # in development the keys lie there
            "SEALS_DIR": str(self.folder / SEALS),
            "SEALS_BUCKET": "",
            "METRICS_DIR": str(self.folder / "metrics"),
            "LOG_DIR": str(self.folder / "logs"),
            "REDIS_URL": "",
            "REDIS_URL_FILE": "",
            "TASK_ENGINE": "database",
            "SENTRY_DSN": "",
            "SENTRY_DSN_FILE": "",
        }

    def run(self, *arguments: str) -> None:
        """Run `manage.py` on it. Raises BackupRefused where that failed, with what it said."""
        done = subprocess.run(  # noqa: S603  our own command
            [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
            env=self.environment,
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise BackupRefused(_problem(arguments[0], done.stdout, done.stderr))


@contextmanager
def living(
    chain: Sequence[StoredBackup],
    *,
    engine: Engine,
    work: Path,
    clock: Clock,
    at: datetime | None = None,
) -> Iterator[Copy]:
    """Let a chain live again in a scratch database, with the rows and migrations it has to have.

    `work` is an empty folder. With `at` it is the state of a moment after the last one, whose rows
    nobody counted. Raises BackupRefused.
    """
    last = chain[-1]
    copy_folder, scratch = work / "copy", work / "scratch"
    copy_folder.mkdir(mode=0o700)
    scratch.mkdir(mode=0o700)
    unpack_seals(last, copy_folder / SEALS)
    with ExitStack() as stack:
        with clock.step("restore"):
            restored = stack.enter_context(engine.restored(chain, scratch=scratch, at=at))
        copy = Copy(restored, copy_folder)
        if at is None:
            with clock.step("rows"):
                compare_counts(restored, last.manifest)
        if is_older(last.manifest):
            with clock.step("migrate"):
                copy.run("migrate", "--noinput")
        yield copy


def _name_in(variables: Mapping[str, str]) -> str:
    """The database of these variables, as Django's settings name it."""
    if file := variables.get("SQLITE_FILE"):
        return file
    return unquote(variables["DATABASE_URL"].partition("?")[0].rpartition("/")[2])


def _problem(command: str, output: str, errors: str) -> str:
    """What a command found wrong, in a few lines of its own."""
    findings = [line.strip() for line in output.splitlines() if line.startswith("  ")]
    said = findings or [line for line in errors.splitlines() if line.strip()] or [_("nothing")]
    shown = said[:LINES] if findings else said[-1:]
    more = len(said) - len(shown) if findings else 0
    words = "; ".join(shown) + (_("; and %d more") % more if more else "")
    return _("%(command)s on the restored copy says: %(words)s") % {
        "command": command,
        "words": words,
    }
