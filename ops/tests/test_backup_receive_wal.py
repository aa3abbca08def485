"""`manage.py receive_wal`, as staff run it: what it keeps, whom it refuses, how it ends."""

import ast
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from django.utils import translation

from ops.backups import inventory, postgresql_tools
from ops.backups.places import Folder
from ops.backups.postgresql_pages import PagesEngine
from ops.backups.wal_archive import PlacesArchives
from ops.models.backups import BackupKind
from ops.tests.page_backups import newest, own_server, rows_of, wait_for
from tests.live import ROOT

SECONDS = 120.0
SLOTS = "SELECT slot_name, active FROM pg_replication_slots"


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture(scope="module")
def server():
    """A server whose database belongs to a role that may copy its pages, and is migrated."""
    with own_server() as lent:
        lent.run(
            "CREATE ROLE platform LOGIN REPLICATION PASSWORD 'platform'",
            "CREATE ROLE reader LOGIN PASSWORD 'reader'",
            "ALTER DATABASE shop OWNER TO platform",
        )
        yield lent


@pytest.fixture
def environment(server, settings, tmp_path):
    """Of a deployment whose database is kept by its pages; no slot is left of it."""
    settings.BACKUP_DIR = tmp_path / "data" / "backups"
    own = server.seen_by(user="platform", password="platform")
    yield {
        **os.environ,
        "DATABASE_URL": postgresql_tools.address(own),
        "REDIS_URL": "",
        "DATA_DIR": str(tmp_path / "data"),
        "BACKUP_METHOD": "pages",
        "PG_TOOLS_DIR": settings.PG_TOOLS_DIR,
        "FIELD_ENCRYPTION_KEYS": ",".join(settings.FIELD_ENCRYPTION_KEYS),
        "LANGUAGE_CODE": "en",
        "PYTHONUNBUFFERED": "1",
        "DEBUG": "1",
    }
    server.run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def manage(environment, *arguments, **more):
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**environment, **more},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def started(environment):
    """A receiver that has said that it receives."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "receive_wal"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said.startswith("The WAL is received, until "), said + process.stdout.read()
    return process


@contextmanager
def receiving(environment):
    process = started(environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)


def refused(done, line):
    """That a command ended with this line alone, and 1."""
    assert (done.returncode, done.stdout) == (1, "")
    assert line in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# --- What it keeps --------------------------------------------------------------------------------
def test_every_moment_since_a_backup_lives_again(server, environment, tmp_path):
    assert manage(environment, "migrate", "--verbosity=0").returncode == 0
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    place = Folder(tmp_path / "data" / "backups")
    archives = PlacesArchives([place])
    engine = PagesEngine(parameters=server.parameters, archives=archives)
    ((cluster,),) = server.rows("SELECT system_identifier::text FROM pg_control_system()")
    server.run("CREATE TABLE note (text text)", "ALTER TABLE note OWNER TO platform")
    with receiving(environment):
        assert manage(environment, "backup").returncode == 0
        (made,) = inventory.known(place).backups
        assert made.manifest.kind is BackupKind.POINT_IN_TIME
        server.run("INSERT INTO note VALUES ('early')")
        ((early,),) = server.rows("SELECT clock_timestamp()")
        server.run("INSERT INTO note VALUES ('late')")
        ((late,),) = server.rows("SELECT clock_timestamp()")
        wait_for(lambda: newest(archives.of(cluster)).at > late)
    for at, texts in ((early, ["early"]), (late, ["early", "late"])):
        with engine.restored([made], scratch=scratch, at=at) as alive:
            assert [one for (one,) in rows_of(alive, "SELECT text FROM note ORDER BY 1")] == texts


BEHIND = "from ops.backups.metrics import WAL_BEHIND; print(WAL_BEHIND.values())"


def behind(environment):
    done = manage(environment, "shell", "--no-imports", "-c", BEHIND)
    return ast.literal_eval(done.stdout.splitlines()[-1])


def test_how_far_behind_it_is_is_known_while_it_is_to_receive(server, environment):
    assert behind(environment) == {("folder",): 0}
    with receiving(environment):
        now = behind(environment)
        assert list(now) == [("folder",)]
        assert 0 <= now["folder",] < 60
    assert behind(environment)["folder",] > now["folder",]
    server.run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    assert behind(environment) == {("folder",): 0}


# --- Its end, and another beginning ---------------------------------------------------------------
def test_it_ends_when_it_is_told_to(server, environment, tmp_path):
    process = started(environment)
    process.send_signal(signal.SIGTERM)
    said, _errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, said) == (0, "The WAL is received no more.\n")
    # The server keeps for it what it misses.
    assert server.rows(SLOTS) == [("wal_archive", False)]
    with receiving(environment):
        assert server.rows(SLOTS) == [("wal_archive", True)]


def test_one_that_was_killed_is_in_nobodys_way(server, environment, tmp_path):
    process = started(environment)
    process.kill()
    process.communicate(timeout=SECONDS)
    assert server.rows(SLOTS) == [("wal_archive", True)]  # what it had started goes on
    with receiving(environment):
        assert len(server.rows("SELECT 1 FROM pg_stat_replication")) == 1


# --- Refused --------------------------------------------------------------------------------------
def test_a_second_one_at_once_is_refused(server, environment, tmp_path):
    with receiving(environment):
        refused(manage(environment, "receive_wal"), "Another command receives the WAL into")
        elsewhere = {**environment, "DATA_DIR": str(tmp_path / "other machine")}
        refused(manage(elsewhere, "receive_wal"), "Somebody else receives the WAL, from 127.0.0.1")
        refused(manage(environment, "receive_wal", "--stop-for-good"), "Another command receives")
        refused(manage(elsewhere, "receive_wal", "--stop-for-good"), "Somebody else receives")
        assert server.rows(SLOTS) == [("wal_archive", True)]


@pytest.mark.parametrize(
    ("arguments", "more", "line"),
    [
        ([], {"BACKUP_METHOD": "dump"}, "set BACKUP_METHOD=pages"),
        ([], {"DATABASE_URL": ""}, "set BACKUP_METHOD=pages"),
        (["--stop-for-good"], {"DATABASE_URL": ""}, "Only PostgreSQL has a WAL"),
        ([], {"as": "reader"}, "ALTER ROLE reader REPLICATION"),
        (["--now"], {}, "unrecognized arguments: --now"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(server, environment, arguments, more, line):
    if role := more.pop("as", ""):
        own = server.seen_by(user=role, password=role)
        more = {"DATABASE_URL": postgresql_tools.address(own)}
    done = manage(environment, "receive_wal", *arguments, **more)
    assert line in done.stderr.splitlines()[-1]
    assert done.returncode != 0
    assert server.rows(SLOTS) == []


# --- For good -------------------------------------------------------------------------------------
def test_for_good_the_server_keeps_nothing_for_it(server, environment, tmp_path):
    with receiving(environment):
        pass
    spool, stored = tmp_path / "data" / "wal", tmp_path / "data" / "backups" / "wal"
    before = sorted(stored.rglob("*"))
    assert any(spool.glob("*.partial"))
    done = manage(environment, "receive_wal", "--stop-for-good")
    assert (done.returncode, done.stdout) == (0, "PostgreSQL keeps nothing for it any more.\n")
    assert server.rows(SLOTS) == []
    assert [path.name for path in spool.iterdir()] == [".lock"]
    assert sorted(stored.rglob("*")) == before
    # Also where dumps are made again by now.
    done = manage(environment, "receive_wal", "--stop-for-good", BACKUP_METHOD="dump")
    assert (done.returncode, done.stdout) == (0, "PostgreSQL kept nothing for it.\n")
