"""PostgreSQL's pages are kept, all or those that changed, and live again beside the server."""

import io
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import psycopg
import pytest
from django.utils import translation

from config.environment_reader import EnvironmentReader
from config.plaintext import plaintext_hosts_of_postgresql
from ops.backups import postgresql_tools as tools
from ops.backups import scratch_home, side_database
from ops.backups.base_backup import BaseBackup
from ops.backups.errors import BackupRefused
from ops.backups.postgresql_pages import PagesEngine
from ops.backups.scratch_home import Account
from ops.models.backups import BackupKind
from ops.tests.page_backups import Kept, kept, own_server, rows_of, wait_for

SHELL = Path("/bin/sh")
FULL, INCREMENTAL = BackupKind.FULL, BackupKind.INCREMENTAL
POINT_IN_TIME = BackupKind.POINT_IN_TIME


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture(scope="module")
def server():
    with own_server() as lent:
        lent.run(
            "CREATE TABLE entry AS "
            "SELECT n AS id, 'row ' || n AS text FROM generate_series(1, 1000) AS n",
            "CREATE TABLE part (id int) PARTITION BY RANGE (id)",
            "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (9)",
            "CREATE ROLE reader LOGIN PASSWORD 'reader'",
            # Of these a copy wants nothing.
            "ALTER SYSTEM SET synchronous_standby_names = ''",
            "ALTER SYSTEM SET archive_command = 'cp %p /elsewhere/%f'",
        )
        yield lent


@pytest.fixture
def engine(server):
    return PagesEngine(parameters=server.parameters)


@pytest.fixture(scope="module")
def full(server, tmp_path_factory):
    """A full backup of the first thousand rows and more."""
    return kept(PagesEngine(parameters=server.parameters), FULL, tmp_path_factory.mktemp("full"))


def changed(backup: Kept, **changes) -> Kept:
    """The same backup, of which its manifest says something else."""
    return replace(backup, manifest=replace(backup.manifest, **changes))


# --- What is kept comes back ----------------------------------------------------------------------
def test_a_full_backup_lives_again(engine, full, tmp_path):
    assert full.manifest.row_counts["part"] == 0
    assert full.manifest.row_counts["entry"] >= 1000
    assert full.manifest.row_counts_after == full.manifest.row_counts
    assert "part_1" not in full.manifest.row_counts  # its rows are those of part
    with engine.restored([full], scratch=tmp_path) as alive:
        assert alive.count_rows() == full.manifest.row_counts
        assert rows_of(alive, "SELECT text FROM entry WHERE id = 7") == [("row 7",)]
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused_before_any_work(engine, server):
    engine.check_name("nobodys")
    with pytest.raises(BackupRefused, match="already"):
        engine.check_name("postgres")


def test_increments_follow_one_another(engine, server, full, tmp_path):
    made = [full]
    for _number in range(2):
        server.run("INSERT INTO entry VALUES (2000, 'later')")
        made.append(kept(engine, INCREMENTAL, tmp_path, parent=made[-1]))
    with engine.restored(made, scratch=tmp_path) as alive:
        assert alive.count_rows() == made[-1].manifest.row_counts
        assert rows_of(alive, "SELECT count(*) FROM entry WHERE text = 'later'") == [(2,)]
    with engine.restored(made[:2], scratch=tmp_path) as alive:
        assert rows_of(alive, "SELECT count(*) FROM entry WHERE text = 'later'") == [(1,)]


def bytes_of_tables(backup: Kept) -> int:
    """How many bytes of tables and indexes it has; small maps of them are always kept."""
    with tarfile.open(fileobj=io.BytesIO(backup.pieces["database"])) as pages:
        return sum(
            one.size
            for one in pages
            if one.name.startswith("base/") and not one.name.endswith(("_fsm", "_vm"))
        )


def test_an_increment_is_small(engine, full, tmp_path):
    made = kept(engine, INCREMENTAL, tmp_path, parent=full)
    assert bytes_of_tables(made) < bytes_of_tables(full) / 10


def test_what_is_said_of_a_backup(server, full):
    facts = full.manifest.facts
    (identifier,) = server.rows("SELECT system_identifier::text FROM pg_control_system()")
    assert facts["system_identifier"] == identifier[0]
    assert facts["timeline"] == 1
    assert facts["segment_size"] == 16 << 20
    (order,) = server.rows(f"SELECT '{facts['start_lsn']}'::pg_lsn < '{facts['stop_lsn']}'::pg_lsn")
    assert order == (True,)
    assert full.manifest.server_version == server.rows("SHOW server_version")[0][0]
    assert set(full.pieces) == {"database", "backup_manifest"}


def test_the_copy_has_settings_of_its_own(engine, full, tmp_path):
    with engine.restored([full], scratch=tmp_path) as alive:
        said = dict(
            rows_of(
                alive,
                "SELECT name, setting FROM pg_settings WHERE name IN ('archive_command', "
                "'archive_mode', 'listen_addresses', 'synchronous_standby_names', 'fsync')",
            )
        )
        assert said.pop("archive_command") in {"", "(disabled)"}
        assert said == {
            "archive_mode": "off",
            "listen_addresses": "",
            "synchronous_standby_names": "",
            "fsync": "off",
        }
        assert rows_of(
            alive, "SELECT type, database, user_name, auth_method FROM pg_hba_file_rules"
        ) == [("local", ["all"], ["tests"], "peer")]


def test_only_this_account_gets_in(engine, full, tmp_path):
    with engine.restored([full], scratch=tmp_path) as alive:
        address = alive.environment["DATABASE_URL"]
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(address, user="reader")
        folder = Path(EnvironmentReader.db_url_config(address)["OPTIONS"]["host"])
        assert folder.stat().st_mode & 0o777 == 0o700


def test_the_settings_understand_its_address(engine, full, tmp_path):
    with engine.restored([full], scratch=tmp_path) as alive:
        database = EnvironmentReader.db_url_config(alive.environment["DATABASE_URL"])
    assert plaintext_hosts_of_postgresql(database) == set()
    assert database["USER"] == "tests"
    assert database["NAME"] == "shop"
    assert len(database["OPTIONS"]["host"]) < 80


# --- What becomes of it ---------------------------------------------------------------------------
def test_no_variable_leads_from_the_copy_to_another_server(
    engine, server, full, tmp_path, monkeypatch
):
    """Such as to the live one, whose database has the same name and lets in the same role."""
    monkeypatch.setenv("PGHOSTADDR", server.parameters["host"])
    found = "SELECT count(*) FROM pg_settings WHERE name = 'listen_addresses' AND setting = ''"
    with engine.restored([full], scratch=tmp_path) as alive:
        assert alive.count_rows() == full.manifest.row_counts
        # As Django has it of the address: without the parameter that is empty.
        code = (
            "import os, psycopg; from psycopg.conninfo import conninfo_to_dict as parts; "
            "said = {n: v for n, v in parts(os.environ['DATABASE_URL']).items() if v}; "
            f'print(psycopg.connect(**said).execute("{found}").fetchone())'
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **alive.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "(1,)\n", done.stderr


def test_it_becomes_a_database_of_the_live_server(engine, server, full, tmp_path):
    with engine.restored([full], scratch=tmp_path) as alive:
        alive.become("other")
    try:
        with tools.connected(server.seen_by(dbname="other")) as connection:
            assert side_database.count_rows(connection) == full.manifest.row_counts
        databases = server.rows("SELECT datname FROM pg_database WHERE NOT datistemplate")
        assert set(databases) == {("postgres",), ("shop",), ("other",)}
    finally:
        server.run("DROP DATABASE other")


@pytest.mark.postgresql  # it closes this process' own connections, which SQLite has none of
def test_it_takes_the_place_of_the_live_database(engine, server, full, tmp_path):
    server.run("CREATE TABLE of_today (id int)")
    with engine.restored([full], scratch=tmp_path) as alive:
        assert "before" in alive.become_live(keep_as="before")
    assert server.rows("SELECT to_regclass('of_today')") == [(None,)]
    assert count_rows_of(server.parameters) == full.manifest.row_counts
    before = count_rows_of(server.seen_by(dbname="before"))
    assert "of_today" in before
    server.run("DROP DATABASE before")


# --- What is refused before anything is written ---------------------------------------------------
def test_a_role_that_may_not(server, full, tmp_path):
    engine = PagesEngine(parameters=server.seen_by(user="reader", password="reader"))
    assert engine.kinds() == []
    for kind in BackupKind:
        assert "ALTER ROLE reader REPLICATION;" in str(engine.refusal(kind, parent=full.manifest))


def test_a_server_that_is_away(server):
    engine = PagesEngine(parameters=server.seen_by(port="1"))
    assert engine.kinds() == []
    assert "refused" in str(engine.refusal(FULL, parent=None))


def test_a_server_that_lets_nobody_copy(server, engine):
    server.run("CREATE ROLE shut LOGIN REPLICATION PASSWORD 'shut'")
    lines = server.data / "pg_hba.conf"
    before = lines.read_text()
    try:
        lines.write_text(f"host replication shut all reject\n{before}")
        server.run("SELECT pg_reload_conf()")
        shut = PagesEngine(parameters=server.seen_by(user="shut", password="shut"))
        said = wait_for(lambda: shut.refusal(FULL, parent=None))
        assert "hostssl replication shut samenet scram-sha-256" in str(said)
        assert "rejects replication connection" in str(said)
        assert engine.refusal(FULL, parent=None) is None
    finally:
        lines.write_text(before)
        server.run("SELECT pg_reload_conf()", "DROP ROLE shut")


def test_programs_that_are_missing(engine, full, tmp_path, settings):
    settings.PG_TOOLS_DIR = str(tmp_path)
    assert engine.kinds() == []
    assert "pg_basebackup is missing" in str(engine.refusal(FULL, parent=None))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert "postgres is missing" in refused(engine, [full], scratch)


def test_the_kinds_of_a_server(engine, server):
    assert engine.kinds() == [FULL, INCREMENTAL]
    assert "start the command" in str(engine.refusal(POINT_IN_TIME, parent=None))


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("'off'", "ALTER SYSTEM SET summarize_wal = on; SELECT pg_reload_conf();"),
        ("NULL", "from version 17 on"),  # an older one has never heard of it
    ],
)
def test_no_increments_without_summaries(server, full, shown, said):
    # To this role the settings are those of another server.
    server.run(
        "CREATE SCHEMA other",
        "CREATE VIEW other.pg_settings AS SELECT name, CASE name WHEN 'summarize_wal' "  # noqa: S608
        f"THEN {shown} ELSE setting END AS setting FROM pg_catalog.pg_settings",
        "CREATE ROLE other LOGIN SUPERUSER PASSWORD 'other'",
        "ALTER ROLE other SET search_path = other, pg_catalog, public",
    )
    try:
        engine = PagesEngine(parameters=server.seen_by(user="other", password="other"))
        assert engine.kinds() == [FULL]
        assert said in str(engine.refusal(INCREMENTAL, parent=full.manifest))
    finally:
        server.run("DROP SCHEMA other CASCADE", "DROP ROLE other")


def test_an_increment_follows_a_backup_of_the_same_cluster(engine, full):
    assert "make a full one first" in str(engine.refusal(INCREMENTAL, parent=None))
    dumped = replace(full.manifest, engine="pg_dump")
    assert "made by pg_dump" in str(engine.refusal(INCREMENTAL, parent=dumped))
    another = replace(full.manifest, facts={**full.manifest.facts, "system_identifier": "1"})
    assert "another cluster" in str(engine.refusal(INCREMENTAL, parent=another))


def test_tablespaces_are_refused(engine, server):
    server.run("SET allow_in_place_tablespaces = on", "CREATE TABLESPACE aside LOCATION ''")
    try:
        assert "tablespace aside" in str(engine.refusal(FULL, parent=None))
    finally:
        server.run("DROP TABLESPACE aside")
    assert engine.refusal(FULL, parent=None) is None


def test_a_server_that_sends_nothing():
    with own_server(wal_level="minimal", summarize_wal="off", max_wal_senders="0") as silent:
        engine = PagesEngine(parameters=silent.parameters)
        assert engine.kinds() == []
        assert "wal_level = replica" in str(engine.refusal(FULL, parent=None))
        assert count_rows_of(silent.parameters) == {}


def count_rows_of(parameters):
    with tools.connected(parameters) as connection:
        return side_database.count_rows(connection)


# --- What breaks off while it is made -------------------------------------------------------------
def test_what_pg_basebackup_refuses_is_said(engine, full, tmp_path):
    unreadable = Kept(full.manifest, {"backup_manifest": b"{"})
    with pytest.raises(BackupRefused, match=r"pg_basebackup failed: .*manifest"):
        kept(engine, INCREMENTAL, tmp_path, parent=unreadable)


def test_a_place_that_is_full_ends_the_copy(engine, server, tmp_path):
    def put(_name, source):
        source.read(1000)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        engine.store(put, kind=FULL, parent=None, scratch=tmp_path)
    wait_for(
        lambda: (
            server.rows(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_basebackup'"
            )
            == [(0,)]
        )
    )


@pytest.fixture
def sending(tmp_path):
    """What is read of a program that writes these bytes, and ends with this status."""
    with ExitStack() as running:

        def send(content: bytes, status: int = 0) -> BaseBackup:
            file = tmp_path / "sent"
            file.write_bytes(content)
            arguments = ["-c", 'cat "$0"; echo "it failed" >&2; exit "$1"', str(file), str(status)]
            return BaseBackup(running.enter_context(tools.running(SHELL, arguments, {})))

        yield send


def archived(**members: bytes) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


@pytest.mark.parametrize("size", [1, 511, 512, 4096, -1])
def test_the_manifest_is_taken_out_however_it_is_read(sending, size):
    sent = archived(table=b"x" * 700, empty=b"", backup_manifest=b"y" * 513)
    source = sending(sent)
    read = b""
    while data := source.read(size):
        read += data
        if size < 0:
            break
    assert read == sent
    assert source.manifest == b"y" * 513


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (archived(table=b"x"), 0, "sent no manifest"),
        (archived(backup_manifest=b"y" * 600)[:1000], 0, "or a part of it"),
        (archived(backup_manifest=b"y"), 1, "it failed"),
    ],
)
def test_a_copy_that_is_not_whole_is_no_backup(sending, content, status, said):
    with pytest.raises(BackupRefused, match=said):
        shutil.copyfileobj(sending(content, status), io.BytesIO())


# --- What is refused when it should live again ----------------------------------------------------
def refused(engine, chain, scratch) -> str:
    """Why a chain does not live; nothing of it is left."""
    with pytest.raises(BackupRefused) as why, engine.restored(chain, scratch=scratch):
        pass
    assert list(scratch.iterdir()) == []
    assert list(scratch_home.records().glob("*")) == []
    return str(why.value)


def test_a_link_that_is_missing_is_named(engine, server, full, tmp_path):
    made, scratch = [full], tmp_path / "scratch"
    for _number in range(2):
        made.append(kept(engine, INCREMENTAL, tmp_path, parent=made[-1]))
    scratch.mkdir()
    for missing in range(2):
        chain = [link for link in made if link is not made[missing]]
        assert f"{made[missing].manifest.id}, which is missing" in refused(engine, chain, scratch)


def test_a_damaged_page_is_named(engine, full, tmp_path):
    content = bytearray(full.pieces["database"])
    with tarfile.open(fileobj=io.BytesIO(content)) as pages:
        member = next(one for one in pages if "base/" in one.name and one.size > 100_000)
    content[member.offset_data + 5000] ^= 1
    damaged = Kept(full.manifest, {"database": bytes(content)})
    said = refused(engine, [damaged], tmp_path)
    assert said.startswith("pg_verifybackup failed: ")
    assert member.name in said


def test_an_archive_that_is_cut_off(engine, full, tmp_path):
    cut = Kept(full.manifest, {"database": full.pieces["database"][:1_000_000]})
    assert "cannot be unpacked" in refused(engine, [cut], tmp_path)


def test_nothing_is_unpacked_outside(engine, full, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    wicked = Kept(full.manifest, {"database": archived(**{"../../outside": b"x"})})
    assert "cannot be unpacked" in refused(engine, [wicked], scratch)
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("17.2 (Debian 17.2-1)", "is of PostgreSQL 17.2 (Debian 17.2-1); installed here is"),
        ("15.4", "and the server of 15"),
    ],
)
def test_another_version_of_postgresql(engine, full, tmp_path, version, said):
    older = changed(full, server_version=version)
    assert said in refused(engine, [older], tmp_path)


def test_a_program_that_does_not_run(engine, full, tmp_path, settings):
    folder = tmp_path / "programs"
    folder.mkdir()
    # It says which version it is, and no account but ours may run it.
    (folder / "postgres").write_text(
        f'#!/bin/sh\n[ "$PWD" = "{Path.cwd()}" ] || exit 3\n'
        f'exec "{settings.PG_TOOLS_DIR}/postgres" "$@"\n'
    )
    (folder / "postgres").chmod(0o755)
    settings.PG_TOOLS_DIR = str(folder)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert "does not run as the account" in refused(engine, [full], scratch)


@dataclass
class CutOff(Kept):
    """A backup whose piece tells whoever reads to its end that it is not whole."""

    @contextmanager
    def reading(self, name):
        source = io.BytesIO(self.pieces[name] + bytes(5 << 20))
        yield source
        if not source.read(1):
            raise BackupRefused("It was cut off.")


def test_a_piece_is_read_to_its_end(engine, full, tmp_path):
    cut = CutOff(full.manifest, full.pieces)
    assert refused(engine, [cut], tmp_path) == "It was cut off."


# --- The server and the account -------------------------------------------------------------------
def test_root_has_another_account_for_servers(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    account = Account.for_servers()
    assert account.is_another
    assert account.options == {"user": account.uid, "group": account.gid, "extra_groups": []}


def test_the_account_of_servers_gets_all_that_is_in_a_folder(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(os, "chown", lambda path, *_ids, **_options: given.append(Path(path)))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    Account(os.geteuid() + 1, os.getegid()).give(tmp_path)
    assert given == [tmp_path, tmp_path / "folder", tmp_path / "folder" / "file"]


def test_an_account_without_a_name(engine, full, tmp_path, monkeypatch):
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert "has no name" in refused(engine, [full], tmp_path)


def test_everybody_else_is_the_account_of_servers(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    account = Account.for_servers()
    assert account.options == {}
    assert account.give(tmp_path).stat().st_uid != 4711  # nothing to give
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert scratch_home.is_open(closed, account)


def test_a_folder_that_is_open_to_the_account_of_servers():
    # Not in pytest's folder, which is closed to others.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        another = Account(os.geteuid() + 1, os.getegid())
        assert not scratch_home.is_open(folder, another)
        folder.chmod(0o711)
        assert scratch_home.is_open(folder, another)


# --- What a killed command leaves behind ----------------------------------------------------------
def test_a_killed_command_leaves_nothing_for_long(engine, full, tmp_path, settings):
    reading_end, writing_end = os.pipe()
    pid = os.fork()
    if not pid:  # pragma: no cover  in the child
        signal.alarm(60)
        try:
            with engine.restored([full], scratch=tmp_path) as alive:
                os.write(writing_end, alive.environment["DATABASE_URL"].encode())
                signal.pause()
        finally:
            os._exit(1)
    os.close(writing_end)
    with os.fdopen(reading_end) as pipe:
        os.set_blocking(pipe.fileno(), True)
        address = os.read(pipe.fileno(), 1000).decode()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    psycopg.connect(address).close()  # it lives on

    assert engine.remove_remains() == 1

    folder = Path(EnvironmentReader.db_url_config(address)["OPTIONS"]["host"])
    assert not folder.exists()
    assert not [
        one
        for one in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(one.info["cmdline"] or [])
    ]
    assert engine.remove_remains() == 0


def test_nothing_of_others_is_removed(engine, full, tmp_path):
    with engine.restored([full], scratch=tmp_path):
        assert len(list(scratch_home.records().iterdir())) == 1
    assert engine.remove_remains() == 0


def test_remains_of_which_little_is_left(engine, settings, tmp_path):
    records = scratch_home.records()
    records.mkdir()
    (records / "one").symlink_to(tmp_path / "gone")
    assert engine.remove_remains() == 1
    assert list(records.iterdir()) == []
