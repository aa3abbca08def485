"""Who may open the data of the platform: its own user alone."""

import os
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.checks import data_is_closed
from config.private_paths import make_private_database, make_private_folder

ROOT = Path(__file__).resolve().parents[2]


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def with_rights(path, mode):
    """What an earlier version left: the path, made where it is missing, with these rights."""
    if not path.exists():
        path.write_bytes(b"kept") if path.suffix else path.mkdir()
    path.chmod(mode)
    return path


# --- Folders ------------------------------------------------------------------------------------
@pytest.mark.parametrize("mask", [0, 0o022, 0o077], ids=oct)
def test_a_folder_is_made_for_its_owner_alone(tmp_path, mask):
    with umask(mask):
        make_private_folder(tmp_path / "one" / "two")
    assert rights(tmp_path / "one" / "two") == 0o700


@pytest.mark.parametrize("before", [0o777, 0o755, 0o750, 0o701, 0o2770], ids=oct)
def test_a_folder_of_an_earlier_version_is_closed(tmp_path, before):
    folder = with_rights(tmp_path / "data", before)
    make_private_folder(folder)
    assert rights(folder) == 0o700


@pytest.mark.parametrize("before", [0o700, 0o500], ids=oct)
def test_what_is_closed_stays_as_it_is(tmp_path, before):
    folder = with_rights(tmp_path / "data", before)
    make_private_folder(folder)
    assert rights(folder) == before


def test_a_folder_of_everybody_is_left_alone(tmp_path):
    """Such as that of temporary files: nobody else could use it any more."""
    folder = with_rights(tmp_path / "data", 0o1777)
    make_private_folder(folder)
    assert rights(folder) == 0o1777


# --- The database -------------------------------------------------------------------------------
def test_the_database_is_made_for_its_owner_alone(tmp_path):
    with umask(0):
        make_private_database(tmp_path / "db.sqlite3")
    assert [path.name for path in tmp_path.iterdir()] == ["db.sqlite3"]
    assert rights(tmp_path / "db.sqlite3") == 0o600


def test_the_files_of_an_earlier_version_are_closed_and_keep_what_is_in_them(tmp_path):
    endings = ("", "-wal", "-shm", "-journal")
    files = [with_rights(tmp_path / f"db.sqlite3{ending}", 0o666) for ending in endings]
    other = with_rights(tmp_path / "other.txt", 0o644)
    written = files[0].stat().st_mtime_ns
    make_private_database(files[0])
    assert [rights(file) for file in files] == [0o600] * 4
    assert {file.read_bytes() for file in files} == {b"kept"}
    assert files[0].stat().st_mtime_ns == written
    assert rights(other) == 0o644


def test_a_database_that_cannot_be_made_is_left_to_sqlite(tmp_path):
    make_private_database(tmp_path / "nowhere" / "db.sqlite3")
    assert not (tmp_path / "nowhere").exists()


# --- What cannot be closed ----------------------------------------------------------------------
@pytest.fixture
def opened(settings, tmp_path):
    """Data of an earlier version: its folder, the folder of seals and the database."""
    settings.DATA_DIR = with_rights(tmp_path / "data", 0o755)
    settings.SEALS_DIR = with_rights(tmp_path / "seals", 0o750)
    database = with_rights(settings.DATA_DIR / "db.sqlite3", 0o644)
    return [settings.DATA_DIR, settings.SEALS_DIR, database]


def close_all(folder, seals, database):
    make_private_folder(folder)
    make_private_folder(seals)
    make_private_database(database)


def test_nothing_is_said_of_what_is_closed(opened):
    close_all(*opened)
    assert data_is_closed() == []
    opened[1].rmdir()
    assert data_is_closed() == []


def refuse(*_arguments, **_more):
    raise PermissionError("Operation not permitted")


@pytest.mark.parametrize(
    ("module", "name", "instead"),
    [(os, "geteuid", lambda: 999_999), (Path, "chmod", refuse)],
    ids=["not ours", "the file system refuses"],
)
def test_what_cannot_be_closed_is_a_warning_in_a_sentence(
    opened, monkeypatch, module, name, instead
):
    with monkeypatch.context() as patch:
        patch.setattr(module, name, instead)
        close_all(*opened)
        warnings = data_is_closed()
    assert [rights(path) for path in opened] == [0o755, 0o750, 0o644]
    assert [warning.id for warning in warnings] == ["config.W002"] * 3
    assert not any(warning.is_serious() for warning in warnings)
    for path, mode in zip(opened, ("0755", "0750", "0644"), strict=True):
        said = f"{path} is open to other users of this machine: its rights are {mode}"
        assert [said in warning.msg for warning in warnings].count(True) == 1


# --- Whoever starts first -----------------------------------------------------------------------
SHOW = """
from django.conf import settings
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE IF NOT EXISTS probe (id INTEGER)")
    cursor.execute("INSERT INTO probe VALUES (1)")
paths = [settings.DATA_DIR, settings.SEALS_DIR, settings.DATA_DIR / "secrets"]
paths += sorted(settings.DATA_DIR.glob("db.sqlite3*"))
for path in paths:
    print(path.name, oct(path.stat().st_mode & 0o7777))
"""
CLOSED = {
    **dict.fromkeys(("data", "vault", "secrets"), "0o700"),
    **dict.fromkeys(("db.sqlite3", "db.sqlite3-shm", "db.sqlite3-wal"), "0o600"),
}


def manage(tmp_path, *arguments, mask):
    """Run manage.py of the embedded set-up under this umask; returns what it printed."""
    finished = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(tmp_path / "data"),
            "SEALS_DIR": str(tmp_path / "vault"),
            "STATIC_ROOT": str(tmp_path / "static"),
            **dict.fromkeys(("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS"), ""),
            **dict.fromkeys(("FIELD_ENCRYPTION_KEYS", "HASH_KEYS", "TOKEN_KEYS", "SEAL_KEYS"), ""),
        },
        umask=mask,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "W002" not in finished.stderr
    return finished.stdout


def shown(tmp_path, mask):
    lines = manage(tmp_path, "shell", "--no-imports", "-c", SHOW, mask=mask).splitlines()
    return dict(line.split() for line in lines)


@pytest.mark.parametrize("first", ["check --database default", "migrate"])
def test_the_first_command_closes_what_it_makes(tmp_path, first):
    manage(tmp_path, *first.split(), mask=0)
    made = [path for path in (tmp_path / "data").iterdir() if path.is_file()]
    assert {rights(path) for path in made} == {0o600}
    assert shown(tmp_path, mask=0) == CLOSED


def test_any_command_closes_what_an_earlier_version_left_open(tmp_path):
    assert shown(tmp_path, mask=0) == CLOSED
    for path in (tmp_path / "data", tmp_path / "vault", tmp_path / "data" / "secrets"):
        path.chmod(0o777)
    (tmp_path / "data" / "db.sqlite3").chmod(0o666)
    assert shown(tmp_path, mask=0) == CLOSED


def test_static_files_stay_readable_for_a_web_server(tmp_path):
    manage(tmp_path, "collectstatic", "--noinput", "--verbosity", "0", mask=0o022)
    static = tmp_path / "static"
    assert rights(static) == 0o755
    assert {rights(path) for path in static.rglob("*.css")} == {0o644}
    assert not (tmp_path / "data").exists()
