"""What fails before the swap changes nothing; what fails after it is said, and all else is done."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path

import psutil
import pytest
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone, translation

from accounts.models import User
from ops.backups import deployment, reading, restoring, side_database, taking
from ops.backups import postgresql_tools as tools
from ops.backups.copies import Clock
from ops.backups.errors import BackupRefused
from ops.backups.places import Folder
from ops.backups.restoring import Wish
from ops.models import Backup, BackupTrigger, Maintenance, OperationalEvent, StoredFile
from ops.services import freshness, maintenance, seals
from ops.tests import own_platforms
from ops.tests.after_restore_probe.apps import LIST
from ops.tests.databases import wait_until
from ops.tests.dump_backups import digests, named, own_role, run, server
from tests.people import make_person

pytestmark = pytest.mark.django_db(transaction=True)
on_both = pytest.mark.parametrize("vendor", own_platforms.BOTH)


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setenv("LANGUAGE_CODE", "en")
    with translation.override("en"):
        yield


@pytest.fixture
def folder(platform):
    (place,) = deployment.places()
    return place


@pytest.fixture
def probe(monkeypatch, tmp_path):
    """An app that erases again whom a list names."""
    path = tmp_path / "erased.txt"
    path.write_text("", encoding="utf-8")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "ops.tests.after_restore_settings")
    monkeypatch.setenv(LIST, str(path))
    return path


def take():
    return taking.back_up(trigger=BackupTrigger.HAND)


def restore(identifier, *arguments):
    """Run the command; returns what it said."""
    said = StringIO()
    call_command("restore_backup", identifier, "--yes", *arguments, stdout=said, stderr=said)
    return said.getvalue()


def people():
    return sorted(User.objects.values_list("phone", flat=True))


def digest():
    """A number for all that is in the live database, and what lies beside it."""
    if connection.vendor == "postgresql":
        name = connection.settings_dict["NAME"]
        return digests({**tools.live_parameters(), "dbname": name}), named(name)
    path = Path(connection.settings_dict["NAME"])
    connection.close()
    with closing(sqlite3.connect(path)) as session:
        lines = "\n".join(session.iterdump())
    names = {one.name.removesuffix("-wal").removesuffix("-shm") for one in path.parent.iterdir()}
    return hashlib.sha256(lines.encode()).hexdigest(), names


def refused(identifier, *arguments, match):
    """See that a restore is refused in one line, and leaves the live database as it is."""
    before = digest()
    with pytest.raises(CommandError, match=match) as error:
        restore(identifier, *arguments)
    assert len(str(error.value).splitlines()) == 1
    assert error.value.returncode
    assert digest() == before
    assert not maintenance.is_on()
    assert not list((deployment.root() / ".work").iterdir())


# --- Before the swap ------------------------------------------------------------------------------
@on_both
def test_a_damaged_backup_changes_nothing(folder):
    manifest = take()
    path = deployment.root() / manifest.id / "database.age"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    make_person(phone="13900139000")
    refused(manifest.id, match=manifest.id)


def test_a_place_that_cannot_be_read_is_said_and_the_next_one_is_asked(folder, tmp_path):
    manifest = take()
    second = Folder(tmp_path / "second")
    shutil.copytree(deployment.root() / manifest.id, tmp_path / "second" / manifest.id)
    shutil.copytree(
        deployment.root() / "shared", tmp_path / "second" / "shared", dirs_exist_ok=True
    )
    path = deployment.root() / manifest.id / "database.age"
    path.unlink()
    path.mkdir()
    with pytest.raises(BackupRefused, match=r"cannot be read: .*Is a directory"):
        whole(manifest, folder)
    assert whole(manifest, folder, second)[-1].place is second


def whole(manifest, *places):
    return restoring._whole(Wish(identifier=manifest.id), places, Clock())


@on_both
def test_a_hook_that_fails_changes_nothing(folder, probe):
    manifest = take()
    probe.write_text("nobody\n", encoding="utf-8")
    refused(manifest.id, match="after_restore on the restored copy says")


def test_files_that_cannot_be_written_are_said_in_one_line(folder, settings):
    manifest = take()
    (picture,) = StoredFile.objects.all()
    storages["default"].delete(picture.path)
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "ops.tests.storages.FailingFolder",
            "OPTIONS": {"fails": ["save"], "location": settings.MEDIA_ROOT},
        }
    }
    stored = reading.find(folder, manifest.id)
    with pytest.raises(BackupRefused, match=r"files cannot be brought back \(.*no save today\)"):
        restoring._bring_files_back(stored, known=[picture.path])


def test_a_swap_that_is_refused_at_last_leaves_the_seals_of_the_live_one(
    folder, platform, settings
):
    """Somebody opens the file while the files are written."""
    seals.seal_ledgers(now=timezone.now())
    manifest = take()
    (name,) = storages["seals"].listdir("")[1]
    storages["seals"].delete(name)
    storages["seals"].save(name, ContentFile(b"of another course"))
    (picture,) = StoredFile.objects.all()
    storages["default"].delete(picture.path)
    with ExitStack() as stack:

        def hold():
            other = stack.enter_context(closing(sqlite3.connect(platform)))
            other.execute("PRAGMA journal_mode=WAL")
            other.execute("SELECT count(*) FROM accounts_user").fetchone()

        settings.STORAGES = settings.STORAGES | {
            "default": {
                "BACKEND": "ops.tests.storages.ToldFolder",
                "OPTIONS": {"tells": hold, "location": settings.MEDIA_ROOT},
            }
        }
        with pytest.raises(CommandError, match="is in use"):
            restore(manifest.id)
    with storages["seals"].open(name) as seal:
        assert seal.read() == b"of another course"
    assert not maintenance.is_on()
    assert not OperationalEvent.objects.filter(kind="backup_restored").exists()


def test_while_a_server_holds_the_file_no_work_is_begun(folder, platform):
    manifest = take()
    connection.close()
    with closing(sqlite3.connect(platform)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("SELECT count(*) FROM accounts_user").fetchone()
        refused(manifest.id, match="is in use")


@pytest.mark.postgresql
@pytest.mark.parametrize("vendor", ["postgresql"])
def test_a_role_that_may_not_swap_is_told_before_any_work(platform):
    live = {**tools.live_parameters(), "dbname": platform}
    with (
        own_role("CREATEDB", of=live) as parameters,
        pytest.raises(BackupRefused, match=r"run ALTER DATABASE .* OWNER TO"),
    ):
        side_database.check_live(parameters)


@pytest.mark.postgresql
@pytest.mark.parametrize("vendor", ["postgresql"])
def test_a_live_database_that_is_gone_is_said_in_one_line(folder, platform):
    manifest = take()
    connection.close()
    run(server(), f"DROP DATABASE {platform} WITH (FORCE)")
    with pytest.raises(CommandError, match=r"cannot be read \(.*put an empty one in its place"):
        restore(manifest.id)


def test_a_live_file_that_is_no_database_is_left_to_people(folder, platform):
    manifest = take()
    connection.close()
    Path(platform).write_bytes(b"no database " * 1000)
    with pytest.raises(CommandError, match=r"cannot be read \(file is not a database\)"):
        restore(manifest.id)
    assert Path(platform).read_bytes() == b"no database " * 1000


@on_both
def test_a_database_of_somebody_else_is_left_alone(folder, platform):
    """Whoever named the wrong one."""
    manifest = take()
    if connection.vendor == "sqlite":
        connection.close()
        Path(platform).unlink()
    else:
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE notes (text text)")
        cursor.execute("INSERT INTO notes VALUES ('of somebody')")
    before = digest()
    with pytest.raises(CommandError, match="is not empty, and none of this platform"):
        restore(manifest.id)
    assert digest() == before


def test_a_database_that_is_half_migrated_can_be_restored(folder):
    """As where a migration failed: what cannot be done before is left out if somebody says so."""
    manifest = take()
    make_person(phone="13900139000")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ops_backup RENAME TO ops_backups")
        cursor.execute("ALTER TABLE ops_servingprocess RENAME TO serving")
    with pytest.raises(BackupRefused, match=r"cannot be backed up \(.*ops_backup\). --no-backup"):
        restoring._back_up_present([])
    with (
        pytest.raises(BackupRefused, match=r"Maintenance cannot be switched on \(.* --no-backup"),
        restoring._maintenance([], must=True),
    ):
        raise AssertionError("it went on")
    assert not Maintenance.objects.filter(is_on=True).exists()
    restore(manifest.id, "--no-backup")
    assert people() == ["13800138000"]
    assert not maintenance.is_on()


def test_the_name_of_the_former_one_has_room(platform, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "NAME", "店" * 40)
    name = restoring._name_for_the_former()
    assert len(name.encode()) <= side_database.LONGEST_NAME
    assert name.startswith("店")


def test_what_the_database_refuses_is_one_line_of_every_command(folder):
    take()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ops_backup RENAME TO ops_backups")
    for command in ("backups", "backup"):
        with pytest.raises(CommandError, match=r"database says: no such table: .*ops_backup"):
            call_command(command)


# --- After the swap -------------------------------------------------------------------------------
def test_what_fails_after_the_swap_is_said_and_all_else_is_done(folder, settings, tmp_path):
    """And a bucket that is away keeps nobody from restoring."""
    manifest = take()
    make_person(phone="13900139000")
    seals.seal_ledgers(now=timezone.now())
    settings.BACKUP_STORAGE_BUCKET = "shop"
    settings.STORAGES = settings.STORAGES | {
        name: {
            "BACKEND": "ops.tests.storages.FailingFolder",
            "OPTIONS": {"fails": [step], "location": location},
        }
        for name, step, location in (
            ("seals", "delete", settings.DATA_DIR / "seals"),
            ("backups", "save", tmp_path / "bucket"),
        )
    }
    said = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("restore_backup", manifest.id, "--yes", stdout=said)
    away, seals_stay = str(error.value).splitlines()
    assert "is not in s3://shop/backups: " in away
    assert "The seals of later days are not put aside (" in seals_stay
    assert "Its former state is the file " in said.getvalue()
    assert people() == ["13800138000"]
    (present,) = set(folder.identifiers()) - {manifest.id}
    assert f"and backup {present}." in said.getvalue()
    assert set(Backup.objects.values_list("identifier", flat=True)) == {manifest.id, present}
    assert OperationalEvent.objects.filter(kind="backup_restored").exists()
    assert not maintenance.is_on()


@on_both
def test_the_restored_one_begins_in_maintenance(folder, settings):
    """Else it would be written to before all is done, such as of the seals of its other course.

    Afterwards it is open, also where it was closed when it was backed up.
    """
    maintenance.turn_on()
    manifest = take()
    maintenance.turn_off()
    make_person(phone="13900139000")
    seals.seal_ledgers(now=timezone.now())
    known, seen = freshness.current("catalog"), []
    assert freshness.current("catalog") == known

    def look():
        is_new = freshness.current("catalog") != known
        seen.append((people(), Maintenance.objects.get().is_on, is_new))

    settings.STORAGES = settings.STORAGES | {
        "seals": {
            "BACKEND": "ops.tests.storages.ToldFolder",
            "OPTIONS": {"tells": look, "location": settings.DATA_DIR / "seals"},
        }
    }
    restore(manifest.id, "--no-backup")
    # What a process keeps in memory is of the former course: it hears of that.
    assert seen
    assert set(map(str, seen)) == {str((["13800138000"], True, True))}
    assert not Maintenance.objects.get().is_on


def test_the_maintenance_of_staff_goes_on_in_their_words(folder):
    manifest = take()
    until = timezone.now() + timedelta(hours=1)
    maintenance.turn_on(message="Back at nine", until=until)
    restore(manifest.id)
    row = Maintenance.objects.get()
    assert (row.is_on, row.message, row.until) == (True, "Back at nine", until)


def test_files_of_whom_was_erased_again_do_not_come_back(folder, probe):
    (picture,) = StoredFile.objects.all()
    manifest = take()
    storages["default"].delete(picture.path)
    probe.write_text(f"file:{picture.path}\n", encoding="utf-8")
    restore(manifest.id)
    assert not StoredFile.objects.exists()
    assert not storages["default"].exists(picture.path)


# --- Killed ---------------------------------------------------------------------------------------
def wait_until_asked(pipe, command):
    """The end of a pipe that somebody has begun to read."""
    found = []

    def is_read():
        assert command.poll() is None
        with suppress(OSError):
            found.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return found

    wait_until(is_read, seconds=120)
    return found[0]


def test_a_command_that_is_killed_leaves_the_live_one_and_nothing_in_plain(folder, platform, probe):
    """While the copy lives, and its app waits for a list that nobody writes."""
    manifest = take()
    probe.unlink()
    os.mkfifo(probe)
    before = digest()
    environment = {
        **os.environ,
        **dict.fromkeys(("DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL"), ""),
        **{
            name: ",".join(getattr(django_settings, name))
            for name in ("HASH_KEYS", "TOKEN_KEYS", "FIELD_ENCRYPTION_KEYS", "SEAL_KEYS")
        },
        "SQLITE_FILE": platform,
        "BACKUP_DIR": str(deployment.root()),
        "DATA_DIR": str(django_settings.DATA_DIR),
    }
    with subprocess.Popen(
        [sys.executable, "manage.py", "restore_backup", manifest.id, "--yes"],
        cwd=django_settings.BASE_DIR,
        env=environment,
        stdout=subprocess.DEVNULL,
    ) as command:
        waited_for = wait_until_asked(probe, command)
        on_the_copy = psutil.Process(command.pid).children(recursive=True)
        command.kill()
        command.wait()
        os.close(waited_for)
        _gone, alive = psutil.wait_procs(on_the_copy, timeout=60)
        assert not alive
    work = deployment.root() / ".work"
    assert list(work.rglob("*.sqlite3")), "the twin: it lived when it was killed"
    assert digest() == before
    call_command("backup")
    assert not list(work.iterdir())
