"""What works on a copy reaches nothing of the live platform, and says what it found."""

import hashlib
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import translation

from accounts.models import PointsEntry, User
from ops.backups import copies, deployment, proving, restoring, taking
from ops.backups import postgresql_tools as tools
from ops.backups.copies import Copy
from ops.backups.errors import BackupRefused
from ops.backups.places import Folder
from ops.backups.reading import StoredBackup
from ops.backups.restoring import Wish
from ops.models import BackupTrigger
from ops.tests import backup_shelf as shelf
from tests.kept_servers import Account, postgresql_programs
from tests.people import make_person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setenv("LANGUAGE_CODE", "en")
    with translation.override("en"):
        yield


def files_below(folder):
    """Every file of a folder, with its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- Nothing leads to the live platform -----------------------------------------------------------
ADVERSARY = """
from pathlib import Path
from django.conf import settings
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from accounts.models import User
User.objects.create(phone="13900139000")
for name in ("default", "seals"):
    storages[name].save("planted", ContentFile(b"planted"))
for folder in (settings.DATA_DIR, settings.METRICS_DIR, settings.LOG_DIR, settings.BACKUP_DIR):
    Path(folder).mkdir(exist_ok=True)
    Path(folder, "planted").write_text("planted")
cache.set("planted", "planted")
assert settings.FIELD_ENCRYPTION_KEYS[0] == {key!r}, "else it could not read the rows"
"""


def test_whatever_writes_on_a_copy_writes_nothing_of_the_live_platform(
    platform, empty_sqlite, tmp_path, monkeypatch, settings
):
    """The environment says where all of it is."""
    live = tmp_path / "live"
    for name in ("DATA_DIR", "SEALS_DIR", "BACKUP_DIR", "LOG_DIR", "METRICS_DIR"):
        folder = live / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("SQLITE_FILE", platform)
    monkeypatch.setenv("S3_BUCKET", "shop")
    monkeypatch.setenv("SEALS_BUCKET", "shop-seals")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("FIELD_ENCRYPTION_KEYS", "of another platform, and long enough for it")
    before = files_below(live)
    folder, file = tmp_path / "copy", tmp_path / "copy.sqlite3"
    folder.mkdir()
    shutil.copyfile(empty_sqlite, file)
    restored: Any = SimpleNamespace(
        environment={"DATABASE_URL": "", "DATABASE_URL_FILE": "", "SQLITE_FILE": str(file)}
    )
    script = ADVERSARY.format(key=str(settings.FIELD_ENCRYPTION_KEYS[0]))
    Copy(restored, folder).run("shell", "--no-imports", "-c", script)
    assert files_below(live) == before
    assert files_below(folder).keys() >= {"data/media/planted", "seals/planted", "logs/planted"}


def test_after_a_restore_apps_see_the_files_of_the_live_platform(
    platform, empty_sqlite, tmp_path, monkeypatch, settings
):
    """There a list may lie of what has to be done again; the database is the copy all the same."""
    settings.DATA_DIR = tmp_path / "live" / "data"
    (settings.DATA_DIR / "media").mkdir(parents=True)
    (settings.DATA_DIR / "media" / "erased").write_text("7")
    folder, file = tmp_path / "copy", tmp_path / "copy.sqlite3"
    folder.mkdir()
    shutil.copyfile(empty_sqlite, file)
    restored: Any = SimpleNamespace(environment={"DATABASE_URL": "", "SQLITE_FILE": str(file)})
    monkeypatch.setenv("S3_BUCKET", "")
    script = (
        "from django.core.files.storage import storages; from django.db import connection; "
        "assert storages['default'].open('erased').read() == b'7'; "
        f"assert str(connection.settings_dict['NAME']) == {str(file)!r}"
    )
    Copy(restored, folder).run("shell", "--no-imports", "-c", script, with_files=True)


def test_variables_that_lead_to_the_live_file_are_refused(platform, tmp_path):
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(platform)
    other.touch()
    for file in (platform, link):
        with pytest.raises(BackupRefused, match="leads to the live database"):
            copies.check_apart({"SQLITE_FILE": str(file)})
    copies.check_apart({"SQLITE_FILE": str(other)})
    os.unlink(platform)
    copies.check_apart({"SQLITE_FILE": str(other)})


@pytest.mark.postgresql
def test_variables_that_lead_to_the_live_server_are_refused(tmp_path, monkeypatch):
    live = tools.live_parameters()
    with pytest.raises(BackupRefused, match="leads to the live database"):
        copies.check_apart({"DATABASE_URL": tools.address(live)})
    beside = {**live, "dbname": "postgres"}
    copies.check_apart({"DATABASE_URL": tools.address(beside)})
    # As the address of a server of its own, which a service of the environment leads elsewhere.
    own = {**live, "host": str(tmp_path), "hostaddr": ""}
    with pytest.raises(BackupRefused, match="No such file or directory"):
        copies.check_apart({"DATABASE_URL": tools.address(own)})
    services = tmp_path / "services"
    services.write_text(f"[shop]\nhostaddr={live['host']}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGSERVICE", "shop")
    with pytest.raises(BackupRefused, match="leads to the live database"):
        copies.check_apart({"DATABASE_URL": tools.address(own)})


@pytest.mark.postgresql
def test_where_the_live_server_is_away_nobody_is_led_there(monkeypatch, tmp_path):
    live = tools.live_parameters()
    monkeypatch.setattr(tools, "live_parameters", lambda: {**live, "host": str(tmp_path)})
    copies.check_apart({"DATABASE_URL": tools.address(live)})


# --- What a copy has to be ------------------------------------------------------------------------
def test_what_the_disk_has_no_room_for_is_refused_before_it_is_unpacked(tmp_path, db):
    place = Folder(tmp_path / "backups")
    manifest = shelf.put(place)
    copies.check_room([StoredBackup(place, manifest)], tmp_path)
    huge = replace(manifest.piece("database"), plain_size=10**18)
    stored = StoredBackup(place, replace(manifest, pieces=[huge]))
    with pytest.raises(BackupRefused, match="Restoring takes 1000000000000 MB in "):
        copies.check_room([stored], tmp_path)


def test_ledgers_are_known_by_the_migrations_that_guard_them():
    found = copies.append_only_tables()
    assert {PointsEntry._meta.db_table, "ops_auditentry", "ops_ledgerseal"} <= found
    assert "ops_metricsample" not in found


# --- What a command says --------------------------------------------------------------------------
MIGRATING = "Operations to perform:\n  Apply all migrations: ops\n  Applying ops.0099_more..."
TRACEBACK = """\
Traceback (most recent call last):
  File "manage.py", line 31, in <module>
psycopg.errors.UniqueViolation: could not create unique index "phone"
DETAIL:  Key (phone)=(13800138000) is duplicated.

The above exception was the direct cause of the following exception:

  File "manage.py", line 31, in <module>
django.db.utils.IntegrityError: could not create unique index "phone"
DETAIL:  Key (phone)=(13800138000) is duplicated.
"""
CHECKS = """\
SystemCheckError: System check identified some issues:

ERRORS:
?: (config.E002) The key 0a1b is gone.
?: (config.E002) The key 2c3d is gone.
"""


@pytest.mark.parametrize(
    ("command", "output", "errors", "said"),
    [
        (
            "migrate",
            MIGRATING,
            TRACEBACK,
            'django.db.utils.IntegrityError: could not create unique index "phone"',
        ),
        ("migrate", "", CHECKS, "?: (config.E002) The key 0a1b is gone."),
        ("check_integrity", "tables: 1 wrong\n  a: b\n", "CommandError: 1 thing(s)", "a: b"),
        (
            "check_integrity",
            "".join(f"  {number}\n" for number in range(7)),
            "",
            "0; 1; 2; 3; 4; and 2 more",
        ),
        ("check_integrity", "", "Killed\n", "Killed"),
        ("after_restore", "", "", "nothing"),
    ],
)
def test_why_a_command_failed_is_said_without_the_values_of_rows(command, output, errors, said):
    assert (
        copies._problem(command, output, errors) == f"{command} on the restored copy says: {said}"
    )


def test_a_command_that_fails_is_refused_with_what_it_said(tmp_path, empty_sqlite):
    restored: Any = SimpleNamespace(
        environment={"DATABASE_URL": "", "SQLITE_FILE": str(tmp_path / "none" / "db.sqlite3")}
    )
    with pytest.raises(BackupRefused, match="check_integrity on the restored copy says: "):
        Copy(restored, tmp_path).run("check_integrity", "--only", "tables")


# --- The pages of a whole cluster -----------------------------------------------------------------
@pytest.mark.postgresql
@pytest.mark.parametrize("vendor", ["postgresql"])
def test_pages_are_proven_and_take_the_place_of_the_live_one(platform, settings):
    """By commands on a server of their own, in which the copy has the live database's name."""
    settings.BACKUP_METHOD = "pages"
    account = Account.for_servers()
    with tempfile.TemporaryDirectory(prefix="programs-") as name:
        Path(name).chmod(0o711)
        programs = postgresql_programs(account.folder(Path(name) / "postgresql"), account)
        settings.PG_TOOLS_DIR = str(programs)
        manifest = taking.back_up(trigger=BackupTrigger.HAND)
        assert manifest.row_counts_after is not None
        make_person(phone="13900139000")
        assert list(proving.prove(manifest.id).seconds) == ["files", "restore", "rows", "checks"]
        assert User.objects.count() == 2
        wish = Wish(identifier=manifest.id, keeps_present=False)
        restoring.restore(wish, places=deployment.places())
    assert [person.phone for person in User.objects.all()] == ["13800138000"]


def test_of_many_rows_two_checks_run_at_once(tmp_path):
    manifest = shelf.put(Folder(tmp_path / "backups"))
    assert copies.checking(manifest) == ("check_integrity", "--jobs=1")
    many = replace(manifest, row_counts={"entry": copies.MANY - 1, "person": 1})
    assert copies.checking(many) == ("check_integrity", "--jobs=2")
