"""A backup that lives again beside the live database: working on it, and looking at it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import unquote

from django.apps import apps
from django.conf import settings
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils.translation import gettext as _
from psycopg.conninfo import conninfo_to_dict

from ops.append_only import AppendOnly
from ops.backups import media, shared_files
from ops.backups import postgresql_tools as tools
from ops.backups.engine import Engine, Restored
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest
from ops.backups.reading import StoredBackup

# The database that `manage.py after_restore` may work on, as its settings call it.
MARK = "RESTORED_COPY"
# Checks at once: there are as many cores, or one is busy with others for that long. Of fewer rows
# than these each check takes less than another process does to begin.
JOBS, MANY = 2, 500_000
LINES = 5  # of what a command found, in a refusal
SEALS = "seals"
DATABASE = "database"  # the piece of every engine that has the rows
RINGS = ("HASH_KEYS", "TOKEN_KEYS", "FIELD_ENCRYPTION_KEYS", "SEAL_KEYS")
# What reaches others, or says where the live platform keeps something.
_AWAY = (
    *("REDIS_URL", "SENTRY_DSN", "EMAIL_URL", "ALERT_CHANNELS", "ALERT_HEARTBEAT_URL"),
    *("SEALS_BUCKET", "BACKUP_STORAGE_BUCKET"),
)
_FILES = "S3_BUCKET"
# Few connections, whatever the processes of the live platform need.
_POOL = {"DB_POOL_SIZE": "2", "DB_POOL_MIN_SIZE": "0", "DB_MAX_OVERFLOW": "0"}
# Which database of which run of a server it is: two of the same name are told apart.
_IDENTITY = """
    SELECT pg_postmaster_start_time()::text, oid::text FROM pg_database
    WHERE datname = current_database()
"""
# config.E002, as Django says the refusals of its checks.
_CHECK = re.compile(r"\(\w+\.E\d+\)")
# psycopg.errors.UndefinedTable: relation ..., as the end of a traceback.
_ERROR = re.compile(r"[A-Za-z_][\w.]*: \S")
# What a server adds, which may be the values of rows.
_DETAILS = ("DETAIL:", "HINT:", "LINE ", "CONTEXT:", "QUERY:")


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


def checking(manifest: Manifest) -> tuple[str, str]:
    """The arguments with which `manage.py` checks a copy of this backup."""
    jobs = JOBS if sum(manifest.row_counts.values()) >= MANY else 1
    return "check_integrity", f"--jobs={jobs}"


def is_older(manifest: Manifest) -> bool:
    """Whether this version has migrations that the backup does not know yet."""
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    return not known <= set(manifest.migrations)


def compare_counts(restored: Restored, manifest: Manifest) -> None:
    """Raise BackupRefused where a table has other rows than when the backup was made.

    Where the moment of the backup lies between two counts, a table whose rows never go lies between
    them too. Of the others rows come and go meanwhile, such as samples that are taken every minute
    and forgotten by the hundred: their number may lie outside of both, and says nothing.
    """
    found, before = dict(restored.count_rows()), dict(manifest.row_counts)
    is_exact = manifest.row_counts_after is None
    after = before if manifest.row_counts_after is None else dict(manifest.row_counts_after)
    counted = {*before, *found} if is_exact else append_only_tables() & {*before, *after}
    for table in sorted({*before, *after, *found}):
        bounds = sorted((before.get(table, 0), after.get(table, 0)))
        is_between = table not in counted or bounds[0] <= found.get(table, -1) <= bounds[1]
        # One that was made or dropped meanwhile is in one count alone.
        is_due = table in before and table in after
        if not is_between or (is_due and table not in found):
            raise BackupRefused(
                _("Table %(table)s has %(found)s rows, and had %(due)s when the backup was made.")
                % {
                    "table": table,
                    "found": found.get(table, _("no")),
                    "due": "–".join(str(one) for one in dict.fromkeys(bounds)),
                }
            )


def append_only_tables() -> set[str]:
    """The tables whose rows never go, by the migrations that guard them."""
    guarded = {
        (migration.app_label, operation.model_name.lower())
        for migration in MigrationLoader(None).disk_migrations.values()
        for operation in migration.operations
        if type(operation) is AppendOnly  # not what lifts it
    }
    return {
        model._meta.db_table
        for model in apps.get_models()
        if (model._meta.app_label, model._meta.model_name) in guarded
    }


def check_room(chain: Sequence[StoredBackup], folder: Path) -> None:
    """Raise BackupRefused where a folder has no room for what the chain unpacks to."""
    due = sum(link.manifest.piece(DATABASE).plain_size for link in chain)
    free = shutil.disk_usage(folder).free
    if free < due:
        raise BackupRefused(
            _("Restoring takes %(due)d MB in %(folder)s, where %(free)d MB are free.")
            % {"due": -(-due // 10**6), "folder": folder, "free": free // 10**6}
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

        Of the live one it has the keys alone. All folders are below that of the copy, which holds
        the seals of the backup; it reaches no Redis, no bucket, no mail, and tells Sentry nothing.
        """
        keys = {name: ",".join(map(str, getattr(settings, name))) for name in RINGS}
        keys["SECRET_KEY"] = str(settings.SECRET_KEY)
        return {
            **os.environ,
            **dict.fromkeys((*_AWAY, _FILES), ""),
            **{f"{name}_FILE": "" for name in (*_AWAY, *keys)},
            **keys,
            **_POOL,
            "DATA_DIR": str(self.folder / "data"),
            "SEALS_DIR": str(self.folder / SEALS),
            "METRICS_DIR": str(self.folder / "metrics"),
            "LOG_DIR": str(self.folder / "logs"),
            "BACKUP_DIR": str(self.folder / "backups"),
            "TASK_ENGINE": "database",
            **self.restored.environment,
            MARK: _name_in(self.restored.environment),
        }

    def run(self, *arguments: str, with_files: bool = False) -> None:
        """Run `manage.py` on it. Raises BackupRefused where that failed, with what it said.

        `with_files` lets it see the files of the live platform.
        """
        environment = self.environment
        if with_files:
            environment |= {
                "DATA_DIR": str(settings.DATA_DIR),
                _FILES: os.environ.get(_FILES, ""),
            }
        done = subprocess.run(  # noqa: S603  our own command
            [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
            env=environment,
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
    check_room(chain, work)
    copy_folder, scratch = work / "copy", work / "scratch"
    copy_folder.mkdir(mode=0o700)
    scratch.mkdir(mode=0o700)
    unpack_seals(last, copy_folder / SEALS)
    with ExitStack() as stack:
        with clock.step("restore"):
            restored = stack.enter_context(engine.restored(chain, scratch=scratch, at=at))
        check_apart(restored.environment)
        copy = Copy(restored, copy_folder)
        if at is None:
            with clock.step("rows"):
                compare_counts(restored, last.manifest)
        if is_older(last.manifest):
            with clock.step("migrate"):
                copy.run("migrate", "--noinput")
        yield copy


def check_apart(variables: Mapping[str, str]) -> None:
    """Raise BackupRefused where these variables lead to the live database, by whatever way.

    An address is not all that says where PostgreSQL is: PGHOSTADDR does, and a file of PGSERVICE.
    """
    if connection.vendor == "sqlite":
        live, copy = Path(connection.settings_dict["NAME"]), Path(variables["SQLITE_FILE"])
        is_live = live.exists() and copy.exists() and live.samefile(copy)
    else:
        live_one: tuple[Any, ...] | None = None
        with (
            suppress(BackupRefused),  # where it is away, nobody is led there
            tools.connected(tools.live_parameters()) as session,
        ):
            live_one = tools.row(session, _IDENTITY)
        with tools.connected(_parameters_of(variables["DATABASE_URL"])) as session:
            is_live = tools.row(session, _IDENTITY) == live_one
    if is_live:
        raise BackupRefused(
            _("The way to the restored copy leads to the live database: is PGSERVICE set?")
        )


def _parameters_of(address: str) -> dict[str, str]:
    """As libpq takes them from a DATABASE_URL of a copy: what it does not say, others may."""
    said = {name: str(one) for name, one in conninfo_to_dict(address).items()}
    if os.environ.get("PGSERVICE"):
        said.pop("hostaddr", None)  # an empty one is lost on the way of `manage.py`
    return said


def _name_in(variables: Mapping[str, str]) -> str:
    """The database of these variables, as Django's settings name it."""
    if file := variables.get("SQLITE_FILE"):
        return file
    return unquote(variables["DATABASE_URL"].partition("?")[0].rpartition("/")[2])


def _problem(command: str, output: str, errors: str) -> str:
    """What a command found wrong, in a few lines of its own."""
    said = [line.strip() for line in output.splitlines() if line.startswith("  ")]
    if command != "check_integrity" or not said:
        said = [_reason(errors)]
    more = len(said) - LINES
    words = "; ".join(said[:LINES]) + (_("; and %d more") % more if more > 0 else "")
    return _("%(command)s on the restored copy says: %(words)s") % {
        "command": command,
        "words": words,
    }


def _reason(errors: str) -> str:
    """The line that says why a command ended; not the values of rows, which databases add."""
    lines = [line.strip() for line in errors.splitlines() if not line.startswith((" ", "\t"))]
    lines = [line for line in lines if line and not line.startswith(_DETAILS)]
    checks = [line for line in lines if _CHECK.search(line)]
    raised = [line for line in lines if _ERROR.match(line)]
    return (checks[:1] or raised[-1:] or lines[-1:] or [_("nothing")])[0]
