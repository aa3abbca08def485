"""A dump shows one moment, lives again beside the live database, and takes its place."""

import os
import resource
import secrets
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO

import psutil
import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import translation

from catalog.tests.factories import make_product
from config.environment_reader import EnvironmentReader
from ops.backups import left_out, postgresql_dump, side_database
from ops.backups import postgresql_tools as tools
from ops.backups.errors import BackupRefused
from ops.backups.postgresql_dump import DumpEngine
from ops.backups.side_database import SideDatabase
from ops.diagnosis import schema
from ops.models.backups import BackupKind
from ops.tests.databases import wait_until
from ops.tests.dump_backups import (
    ROWS,
    SHOP,
    default_connection,
    digests,
    keep,
    named,
    own_database,
    own_role,
    programs,
    rows,
    run,
    sequences,
    server,
)
from tests.people import make_person

pytestmark = pytest.mark.postgresql


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def fitting_programs(settings):
    settings.PG_TOOLS_DIR = str(programs())


@pytest.fixture
def live():
    with own_database(SHOP) as parameters:
        yield parameters


@pytest.fixture
def big(live):
    """More in the live database than a pipe takes: pg_dump waits until it is read."""
    run(live, "CREATE TABLE big AS SELECT repeat(n::text, 99) FROM generate_series(1, 99999) n")


@pytest.fixture
def engine(live):
    return DumpEngine(parameters=live)


@pytest.fixture
def backup(engine, tmp_path):
    return keep(engine, tmp_path / "backup")


@pytest.fixture
def program(settings, tmp_path):
    """Put a script in the place of a program of PostgreSQL."""
    folder = tmp_path / "programs"
    folder.mkdir()
    settings.PG_TOOLS_DIR = str(folder)

    def write(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return write


def scratch_of(live):
    return [name for name in named(live["dbname"]) if "_scratch_" in name]


def is_untouched(live):
    """The live database is reached and whole, and nothing is beside it."""
    assert rows(live, "SELECT count(*) FROM entry") == [(100,)]
    assert named(live["dbname"]) == [live["dbname"]]


# --- What is kept comes back ----------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_the_whole_platform_lives_again_equal_in_structure_and_data(tmp_path):
    for _number in range(3):
        make_person()
    make_product()
    engine = DumpEngine()
    backup = keep(engine, tmp_path / "backup")
    assert backup.manifest.row_counts["accounts_user"] == 3
    with engine.restored([backup], scratch=tmp_path) as alive:
        assert alive.count_rows() == backup.manifest.row_counts
        assert digests(alive.parameters) == digests(engine.parameters)
        assert sequences(alive.parameters) == sequences(engine.parameters)
        with default_connection(alive.parameters):
            found, due = schema.found(), schema.recorded()
        assert found.functions == due.functions
        assert {name: schema.digest(table) for name, table in found.tables.items()} == {
            name: schema.digest(table) for name, table in due.tables.items()
        }
    assert not scratch_of(engine.parameters)


def test_manage_py_works_on_a_restored_database(engine, backup, tmp_path):
    with engine.restored([backup], scratch=tmp_path) as alive:
        code = (
            "import django; django.setup(); from django.db import connection as c\n"
            "with c.cursor() as s: s.execute('SELECT count(*) FROM entry'); print(s.fetchone())\n"
            "c.close(); c.close_pool()"
        )
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATA_DIR": str(django_settings.DATA_DIR),
            **alive.environment,
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.stdout == "(100,)\n", done.stderr


def test_it_shows_one_moment_whatever_others_write_meanwhile(engine, live, tmp_path):
    class Disturbed:
        def __init__(self, source):
            self.source = source

        def read(self, size=-1):
            run(live, "INSERT INTO entry (person_id, points) VALUES (1, 1)")
            return self.source.read(size)

    backup = keep(engine, tmp_path / "backup", around=Disturbed)
    assert backup.manifest.row_counts == ROWS
    ((now,),) = rows(live, "SELECT count(*) FROM entry")
    assert now > ROWS["entry"]
    with engine.restored([backup], scratch=tmp_path) as alive:
        assert alive.count_rows() == ROWS


def test_a_database_without_tables_lives_again(tmp_path):
    with own_database() as parameters:
        engine = DumpEngine(parameters=parameters)
        backup = keep(engine, tmp_path / "backup")
        assert backup.manifest.row_counts == {}
        with engine.restored([backup], scratch=tmp_path) as alive:
            assert alive.count_rows() == {}


def test_nothing_of_it_is_readable_where_it_lies(backup):
    for file in backup.folder.iterdir():
        assert file.is_dir() or b"person 7" not in file.read_bytes()


def test_it_stays_under_another_name(engine, live, backup, tmp_path):
    name = f"{live['dbname']} Kept"
    with engine.restored([backup], scratch=tmp_path) as alive:
        alive.become(name)
        assert alive.count_rows() == ROWS
    assert rows({**live, "dbname": name}, "SELECT count(*) FROM entry") == [(100,)]
    assert not scratch_of(live)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{live}", "There is a database"),
        ("{live}_scratch_mine", "another name"),
        ("", "1 to 63 bytes"),
        ("店" * 22, "1 to 63 bytes"),
    ],
)
def test_names_that_a_restored_database_cannot_have(engine, live, backup, tmp_path, name, words):
    for take in (SideDatabase.become, lambda side, name: side.become_live(keep_as=name)):
        with (
            pytest.raises(BackupRefused, match=words),
            engine.restored([backup], scratch=tmp_path) as alive,
        ):
            take(alive, name.format(live=live["dbname"]))
        is_untouched(live)


# --- What is refused ------------------------------------------------------------------------------
def test_it_makes_full_backups_alone(engine, backup, tmp_path):
    assert engine.kinds() == [BackupKind.FULL]
    assert engine.refusal(BackupKind.FULL, parent=None) is None
    for kind in (BackupKind.INCREMENTAL, BackupKind.POINT_IN_TIME):
        assert "pg_basebackup" in engine.refusal(kind, parent=None)
    for chain, at in (([backup], backup.manifest.finished_at), ([backup, backup], None)):
        with (
            pytest.raises(BackupRefused, match="one moment"),
            engine.restored(chain, scratch=tmp_path, at=at),
        ):
            pass


@pytest.mark.usefixtures("big")
def test_a_dump_that_is_killed_half_way_is_refused(engine, tmp_path):
    class Killed:
        def __init__(self, source):
            self.source = source

        def read(self, size=-1):
            data = self.source.read(size)
            for child in psutil.Process().children():
                if child.name() == "pg_dump":
                    child.kill()
            return data

    with pytest.raises(BackupRefused, match="pg_dump ended with status -9"):
        keep(engine, tmp_path / "backup", around=Killed)
    assert not (tmp_path / "backup" / "database").exists()


@pytest.mark.usefixtures("big")
def test_a_dump_that_nobody_reads_to_its_end_is_stopped(live):
    with postgresql_dump.dumping(live) as archive:
        archive.read(10)
    assert "pg_dump" not in [child.name() for child in psutil.Process().children()]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (
            "echo half; echo 'pg_dump: error: no room' >&2; echo 'detail: 138' >&2; exit 1",
            "no room",
        ),
        ("echo 'it is over' >&2; exit 1", "failed: it is over"),
        ("exit 3", "status 3"),
        ("echo 'ERROR:  canceling statement due to lock timeout' >&2; exit 1", "Try again"),
    ],
)
def test_a_program_that_fails_after_half_is_refused(engine, program, tmp_path, script, reason):
    version = '[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.1" && exit 0'
    program("pg_dump", f"{version}\necho half\n{script}")
    with pytest.raises(BackupRefused, match=reason) as refused:
        keep(engine, tmp_path / "backup")
    assert "138" not in str(refused.value)
    assert not (tmp_path / "backup" / "database").exists()


def test_a_program_of_an_older_version_is_refused(engine, program):
    program("pg_dump", 'echo "pg_dump (PostgreSQL) 12.22"')
    said = engine.refusal(BackupKind.FULL, parent=None)
    assert said is not None
    assert "pg_dump is of version 12 and the server of 1" in said
    assert "postgresql-client-1" in said
    assert "PG_TOOLS_DIR" in said


@pytest.mark.parametrize("script", [None, "echo 'pg_dump (of another house) 99'"])
def test_a_program_that_is_missing_or_another_is_refused(engine, program, script):
    if script:
        program("pg_dump", script)
    assert "pg_dump is missing" in engine.refusal(BackupKind.FULL, parent=None)


def test_a_program_that_does_not_run_is_refused(engine, program, settings):
    program("pg_dump", "")
    os.truncate(f"{settings.PG_TOOLS_DIR}/pg_dump", 0)
    os.chmod(f"{settings.PG_TOOLS_DIR}/pg_dump", 0o600)
    assert "pg_dump is missing" in engine.refusal(BackupKind.FULL, parent=None)


def test_without_a_setting_the_nearest_fitting_program_is_found(settings, monkeypatch, tmp_path):
    settings.PG_TOOLS_DIR = ""
    monkeypatch.setattr(tools, "INSTALLED", tmp_path / "installed")
    for folder, version in (("path", 15), ("installed/20/bin", 20), ("installed/19/bin", 19)):
        path = tmp_path / folder / "pg_dump"
        path.parent.mkdir(parents=True)
        path.write_text(f'#!/bin/sh\necho "pg_dump (PostgreSQL) {version}.1"\n')
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/path:/usr/bin:/bin")
    assert tools.find("pg_dump", server=15) == tmp_path / "path" / "pg_dump"
    assert tools.find("pg_dump", server=18) == tmp_path / "installed/19/bin/pg_dump"
    with pytest.raises(BackupRefused, match="version 20 and the server of 21"):
        tools.find("pg_dump", server=21)
    with pytest.raises(BackupRefused, match="Install postgresql-client-16"):
        tools.find("pg_dump", server=16)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.find("pg_dump", server=20) == tmp_path / "installed/20/bin/pg_dump"


def test_a_table_that_a_migration_holds_is_waited_for_and_then_named(
    engine, live, monkeypatch, tmp_path
):
    monkeypatch.setattr(tools, "_OPTIONS", "-c lock_timeout=50")
    with psycopg.connect(**live) as migration:
        migration.execute("ALTER TABLE entry ADD remark text")
        with pytest.raises(BackupRefused, match="such as a migration"):
            keep(engine, tmp_path / "backup")
        migration.rollback()


def test_a_server_that_does_not_let_in_is_said_in_one_line(live):
    password = "not the password"
    engine = DumpEngine(parameters={**live, "password": password})
    said = engine.refusal(BackupKind.FULL, parent=None)
    assert said is not None
    assert "password authentication failed" in said
    assert "\n" not in said
    assert password not in said


def test_an_archive_that_is_none_is_refused_and_nothing_stays(live, tmp_path):
    with (
        postgresql_dump.spooled(BytesIO(b"PGDMP, and no more"), scratch=tmp_path) as archive,
        pytest.raises(BackupRefused, match="pg_restore failed"),
        side_database.created(live) as side,
    ):
        postgresql_dump.fill(side, archive, scratch=tmp_path)
    is_untouched(live)


@pytest.mark.parametrize("place", [0.5, -1])
def test_a_damaged_backup_is_refused_before_anything_is_made(live, backup, tmp_path, place):
    """The role may not even make a database."""
    piece = backup.folder / "database"
    content = bytearray(piece.read_bytes())
    content[int(len(content) * place) if place > 0 else place] ^= 1
    piece.write_bytes(content)
    with own_role(of=live) as parameters:
        with (
            pytest.raises(BackupRefused, match=r"cannot be decrypted|无法解密"),
            DumpEngine(parameters=parameters).restored([backup], scratch=tmp_path),
        ):
            pass
        is_untouched(live)


def test_a_disk_that_takes_no_more_is_said_in_one_line(tmp_path):
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with (
            pytest.raises(BackupRefused, match=f"{tmp_path}: File too large"),
            postgresql_dump.spooled(BytesIO(b"." * (3 << 19)), scratch=tmp_path),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))


@pytest.mark.usefixtures("big")
def test_a_password_stands_on_no_command_line(live):
    with postgresql_dump.dumping(live) as archive:
        archive.read(10)
        (started,) = [one for one in psutil.Process().children() if one.name() == "pg_dump"]
        assert "--format=custom" in started.cmdline()
        assert live["password"] not in " ".join(started.cmdline())
        assert started.environ()["PGPASSWORD"] == live["password"]


# --- Rights ---------------------------------------------------------------------------------------
def test_a_role_that_may_not_create_databases_is_told_how_it_may(live, backup, tmp_path):
    with own_role(of=live) as parameters:
        with (
            pytest.raises(BackupRefused, match=f"ALTER ROLE {parameters['user']} CREATEDB"),
            DumpEngine(parameters=parameters).restored([backup], scratch=tmp_path),
        ):
            pass
        is_untouched(live)


def test_a_role_that_does_not_own_the_live_database_is_told(live, backup, tmp_path):
    with own_role("CREATEDB", of=live) as parameters:
        engine = DumpEngine(parameters=parameters)
        with (
            pytest.raises(BackupRefused, match=f"OWNER TO {parameters['user']}"),
            engine.restored([backup], scratch=tmp_path) as alive,
        ):
            alive.become_live(keep_as=f"{live['dbname']}_before")
        is_untouched(live)


@contextmanager
def owned_by_a_plain_role(live):
    """The live database as platforms have it: of a role that may create databases, and no more."""
    with own_role("CREATEDB", of=live) as parameters:
        run(
            live,
            f"ALTER DATABASE {live['dbname']} OWNER TO {parameters['user']}",
            *(
                f"ALTER TABLE {table} OWNER TO {parameters['user']}"
                for table in ("person", "entry", "sums", "year", "year_1", "other.entry")
            ),
            f"ALTER SEQUENCE numbers OWNER TO {parameters['user']}",
            f"ALTER FUNCTION refuse() OWNER TO {parameters['user']}",
            f"ALTER TYPE mood OWNER TO {parameters['user']}",
            f"ALTER SCHEMA other OWNER TO {parameters['user']}",
        )
        yield parameters


def test_a_plain_role_restores_without_what_only_a_superuser_makes(live, tmp_path):
    with owned_by_a_plain_role(live) as parameters:
        run(
            live,
            "CREATE EXTENSION pg_stat_statements",
            "CREATE EXTENSION pg_trgm",
            f"ALTER DATABASE {live['dbname']} SET log_statement = 'none'",
        )
        engine = DumpEngine(parameters=parameters)
        backup = keep(engine, tmp_path / "backup")
        with engine.restored([backup], scratch=tmp_path) as alive:
            found = rows(alive.parameters, "SELECT extname FROM pg_extension ORDER BY 1")
            assert found == [("pg_trgm",), ("plpgsql",)]
            with pytest.raises(BackupRefused, match="log_statement"):
                alive.become_live(keep_as=f"{live['dbname']}_before")
            run(live, f"ALTER DATABASE {live['dbname']} RESET log_statement")
            alive.become_live(keep_as=f"{live['dbname']}_before")
        assert rows(parameters, "SELECT count(*) FROM entry") == [(100,)]
        assert rows(parameters, "SELECT count(*) FROM person") == [(100,)]


# --- Taking the place of the live one -------------------------------------------------------------
def test_it_takes_the_place_of_a_live_database_that_is_in_use(engine, live, backup, tmp_path):
    run(live, "INSERT INTO person (name) VALUES ('since')")
    before = f"{live['dbname']}_before"
    with ExitStack() as stack:
        others = [stack.enter_context(psycopg.connect(**live)) for _number in range(3)]
        others[0].execute("INSERT INTO person (name) VALUES ('never committed')")
        others[1].execute("SELECT 1 FROM person FOR UPDATE")
        with engine.restored([backup], scratch=tmp_path) as alive:
            where = alive.become_live(keep_as=before)
            assert alive.count_rows() == ROWS
        assert before in where
        for other in others:
            with pytest.raises(psycopg.OperationalError):
                other.execute("SELECT 1")
    assert rows(live, "SELECT count(*) FROM person") == [(100,)]
    kept = rows({**live, "dbname": before}, "SELECT count(*) FROM person WHERE name = 'since'")
    assert kept == [(1,)]
    assert named(live["dbname"]) == [live["dbname"], before]
    with psycopg.connect(**live) as session, pytest.raises(psycopg.errors.RaiseException):
        session.execute("UPDATE entry SET points = 8")


@pytest.mark.django_db(transaction=True)
def test_this_process_goes_on_with_the_restored_one(engine, live, backup, tmp_path):
    def people():
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM person")
            return cursor.fetchone()[0]

    run(live, "INSERT INTO person (name) VALUES ('since')")
    with default_connection(live), engine.restored([backup], scratch=tmp_path) as alive:
        assert people() == 101
        alive.become_live(keep_as=f"{live['dbname']}_before")
        assert people() == 100


@pytest.mark.parametrize("held", ["live", "side"])
def test_who_cannot_be_ended_stops_it_and_the_live_one_stays(live, tmp_path, held):
    """By then the first rename was done, where it is the restored one that somebody holds."""
    with owned_by_a_plain_role(live) as parameters, ExitStack() as stack:
        engine = DumpEngine(parameters=parameters)
        backup = keep(engine, tmp_path / "backup")
        alive = stack.enter_context(engine.restored([backup], scratch=tmp_path))
        name = {"live": live["dbname"], "side": alive.name}[held]
        of_a_superuser = stack.enter_context(psycopg.connect(**{**live, "dbname": name}))
        with pytest.raises(BackupRefused, match="GRANT pg_signal_backend"):
            alive.become_live(keep_as=f"{live['dbname']}_before")
        assert of_a_superuser.execute("SELECT current_database()").fetchone() == (name,)
        stack.close()
        is_untouched(live)
        assert rows(parameters, "SELECT count(*) FROM entry") == [(100,)]


def test_whose_things_are_and_who_may_use_them_is_carried_over(live, backup, tmp_path):
    name = live["dbname"]
    reader, owner = (f"{name}_{part}" for part in ("reader", "owner"))
    run(live, f"CREATE ROLE {reader} LOGIN PASSWORD 'reader'", f"CREATE ROLE {owner}")
    try:
        run(
            live,
            f"GRANT SELECT ON person TO {reader} WITH GRANT OPTION",
            f"GRANT SELECT (id), UPDATE (points) ON entry TO {reader}",
            f"GRANT USAGE ON SEQUENCE numbers TO {reader}",
            f"GRANT USAGE ON SCHEMA other TO {reader}",
            "REVOKE ALL ON FUNCTION refuse() FROM PUBLIC",
            "REVOKE ALL ON TYPE mood FROM PUBLIC",
            f"GRANT EXECUTE ON FUNCTION refuse() TO {reader}",
            f"ALTER TABLE other.entry OWNER TO {owner}",
            f"ALTER SEQUENCE numbers OWNER TO {owner}",
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {reader}",
            "ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC",
            f"ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO {reader} WITH GRANT OPTION",
            f"ALTER DATABASE {name} SET search_path = public, other",
            f"ALTER DATABASE {name} SET shop.remark = 'it''s open'",
            f"ALTER ROLE {reader} IN DATABASE {name} SET work_mem = '8MB'",
            f"ALTER DATABASE {name} CONNECTION LIMIT 77",
            f"COMMENT ON DATABASE {name} IS 'Shops'",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
            f"GRANT CONNECT ON DATABASE {name} TO {reader}",
            f"ALTER DATABASE {name} OWNER TO {owner}",
            # Since the backup: there is nothing to be given away.
            "CREATE TABLE newer ()",
            f"GRANT SELECT ON newer TO {reader}",
        )
        due = beside_the_data(live)
        assert len(due["settings"]) == 3
        engine = DumpEngine(parameters=live)
        with engine.restored([backup], scratch=tmp_path) as alive:
            path = rows(alive.parameters, "SHOW search_path")
            assert path == [("public, other",)], "before it is checked"
            alive.become_live(keep_as=f"{name}_before")
        found = beside_the_data(live)
        del due["things"]["TABLE public.newer"]
        assert found == due
        as_reader = {**live, "user": reader, "password": "reader"}
        assert rows(as_reader, "SELECT count(*) FROM person") == [(100,)]
        assert rows(as_reader, "SHOW work_mem") == [("8MB",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rows(as_reader, "SELECT points FROM entry")
    finally:
        for one in named(name):
            run({**live, "dbname": one}, f"DROP OWNED BY {reader}, {owner} CASCADE")
        run(server(), *(f"ALTER DATABASE {one} OWNER TO CURRENT_USER" for one in named(name)))
        run(server(), f"DROP ROLE {reader}", f"DROP ROLE {owner}")


def beside_the_data(parameters):
    """What a database has beside its data, by the catalogues of the server."""
    name = parameters["dbname"]
    with tools.connected(parameters) as session:
        things = left_out._things(session)
    return {
        "things": things,
        "tables": rows(
            parameters,
            "SELECT relname, pg_get_userbyid(relowner), "
            "ARRAY(SELECT one::text FROM unnest(relacl) one ORDER BY 1) FROM pg_class "
            "WHERE relname IN ('person', 'entry', 'numbers', 'sums') ORDER BY oid::regclass::text",
        ),
        "defaults": rows(
            parameters,
            "SELECT defaclnamespace::regnamespace, defaclobjtype, "
            "ARRAY(SELECT one::text FROM unnest(defaclacl) one ORDER BY 1) "
            "FROM pg_default_acl ORDER BY 1, 2",
        ),
        "settings": rows(
            parameters,
            "SELECT setrole::regrole, unnest(setconfig) FROM pg_db_role_setting "
            "JOIN pg_database d ON d.oid = setdatabase WHERE datname = %s ORDER BY 1, 2",
            name,
        ),
        "database": rows(
            parameters,
            "SELECT pg_get_userbyid(datdba), datconnlimit, "
            "ARRAY(SELECT one::text FROM unnest(datacl) one ORDER BY 1), encoding, datcollate, "
            "datlocprovider, shobj_description(oid, 'pg_database') FROM pg_database "
            "WHERE datname = %s",
            name,
        ),
    }


@pytest.mark.parametrize(
    "locale",
    [
        "LOCALE_PROVIDER libc LOCALE 'C'",
        "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C' LOCALE 'POSIX'",
    ],
)
def test_it_sorts_and_writes_as_the_live_one_does(live, locale):
    other = {**live, "dbname": f"{live['dbname']}_other"}
    run(server(), f"CREATE DATABASE {other['dbname']} TEMPLATE template0 {locale} ENCODING 'UTF8'")
    how = (
        "SELECT encoding, datlocprovider, datlocale, datcollate, datctype FROM pg_database "
        "WHERE datname = current_database()"
    )
    with side_database.created(other) as side:
        assert rows(side.parameters, how) == rows(other, how) != rows(live, how)


# --- What a killed command leaves -----------------------------------------------------------------
FILLING = """
from ops.backups.postgresql_dump import spooled
class Archive:
    chunks = [b"person 7"]
    def read(self, size):
        return self.chunks.pop() if self.chunks else wait()
with side_database.created(live):
    with spooled(Archive(), scratch=Path(sys.argv[1])):
        pass
"""
SWAPPING = """
with side_database.created(live) as side:
    say()
    side.become_live(keep_as=live["dbname"] + "_before")
"""
COMMAND = """
import os, sys, django
from pathlib import Path
django.setup()
from ops.backups import side_database
live = dict(part.split("=", 1) for part in os.environ["LIVE"].split())
def say():
    print("here", flush=True)
def wait():
    say()
    sys.stdin.read()
"""


@contextmanager
def command(live, *, which, scratch):
    """A process that is at work on a side database, and says where it is."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LIVE": " ".join(f"{name}={one}" for name, one in live.items()),
    }
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND + which, str(scratch)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        try:
            yield process
        finally:
            process.kill()


def test_what_a_killed_command_leaves_is_removed_and_nothing_else(engine, live, tmp_path):
    with command(live, which=FILLING, scratch=tmp_path) as process:
        process.kill()
    assert list(tmp_path.iterdir()) == [], "no plain text"
    assert len(scratch_of(live)) == 1
    name = live["dbname"]
    others = sorted(
        [
            f"{name}_scratch_abcdef0",
            f"{name}_scratch_abcdeg",
            f"{name}_scratch_",
            f"{name}2_scratch_abcdef",
            f"a_{name}_scratch_abcdef",
        ]
    )
    run(server(), *(f"CREATE DATABASE {one} TEMPLATE template0" for one in others))
    # Others are at work in it, such as the pg_restore of that command.
    (remains,) = set(scratch_of(live)) - set(others)
    with psycopg.connect(**{**live, "dbname": remains}):
        wait_until(engine.remove_remains)
    assert named(name) == sorted([name, *others])
    assert engine.remove_remains() == 0


def test_what_another_machine_is_at_work_on_stays(engine, backup, tmp_path):
    with engine.restored([backup], scratch=tmp_path) as alive:
        assert engine.remove_remains() == 0
        assert alive.count_rows() == ROWS


def is_being_renamed(name):
    return rows(
        server(),
        "SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = objid "
        "WHERE classid = 'pg_database'::regclass AND mode = 'AccessExclusiveLock' AND granted "
        "AND datname = %s",
        name,
    )


def test_a_kill_while_databases_are_renamed_leaves_the_live_one_reachable(live, tmp_path):
    with owned_by_a_plain_role(live) as parameters:
        # A superuser's, which holds it up.
        with (
            psycopg.connect(**live),
            command(parameters, which=SWAPPING, scratch=tmp_path) as process,
        ):
            wait_until(partial(is_being_renamed, live["dbname"]))
            process.kill()
        assert rows(parameters, "SELECT count(*) FROM entry") == [(100,)]
        wait_until(DumpEngine(parameters=parameters).remove_remains)
        is_untouched(live)


def test_a_block_that_fails_leaves_nothing(engine, live, backup, tmp_path):
    with pytest.raises(KeyError), engine.restored([backup], scratch=tmp_path):
        raise KeyError
    is_untouched(live)
    assert list((tmp_path).iterdir()) == [tmp_path / "backup"]


def fail_with_a_template(live, name):
    run(live, f"ALTER DATABASE {name} IS_TEMPLATE true")
    raise KeyError


def test_what_failed_is_told_before_what_stayed(engine, live, backup, tmp_path):
    """The scratch database is nobody's to drop here, and the next command looks again."""
    with pytest.raises(KeyError), engine.restored([backup], scratch=tmp_path) as alive:
        fail_with_a_template(live, alive.name)
    assert scratch_of(live) == [alive.name]
    run(live, f"ALTER DATABASE {alive.name} IS_TEMPLATE false")
    assert engine.remove_remains() == 1


def test_a_database_that_cannot_be_made_like_the_live_one_is_dropped(live, monkeypatch):
    def fail(_connection, _name):
        raise BackupRefused("no")

    monkeypatch.setattr(left_out, "set_like", fail)
    with pytest.raises(BackupRefused, match="no"), side_database.created(live):
        pass
    is_untouched(live)


def test_a_long_name_has_scratch_databases_of_its_own(live):
    long = "店" * 20
    stems = {side_database._stem(long), side_database._stem(long[:-1] + "铺")}
    assert len(stems) == 2
    assert all(len(stem.encode()) + side_database.DIGITS <= 63 for stem in stems)


def test_a_service_may_say_which_database_it_is(live, monkeypatch, tmp_path):
    file = tmp_path / "services"
    file.write_text("\n".join(["[shop]", *(f"{name}={one}" for name, one in live.items())]))
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    engine = DumpEngine(parameters={"service": "shop"})
    backup = keep(engine, tmp_path / "backup")
    with engine.restored([backup], scratch=tmp_path) as alive:
        assert alive.name.startswith(live["dbname"])
        assert alive.count_rows() == ROWS
    assert engine.remove_remains() == 0


# --- Addresses ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "parameters",
    [
        {"user": "a b", "password": "p/#@:%", "host": "db.example", "port": "5433", "dbname": "店"},
        {"user": "u", "host": "10.0.0.1", "dbname": "shop", "sslmode": "verify-full"},
        {"user": "u", "dbname": "shop", "sslmode": "require", "sslrootcert": "/a b/root.pem"},
        {"user": "u", "host": "/run/postgresql", "port": "5433", "dbname": "shop"},
        {"user": "u", "host": "one,two", "port": "5432,5433", "dbname": "shop"},
        {"service": "shop", "dbname": "shop"},
    ],
)
def test_an_address_says_the_same_as_parameters(parameters, monkeypatch):
    monkeypatch.setenv("ADDRESS", tools.address(parameters))
    read = EnvironmentReader().database("ADDRESS")
    found = {
        "user": read["USER"],
        "password": read["PASSWORD"],
        "host": read["HOST"],
        "port": read["PORT"],
        "dbname": read["NAME"],
        **read.get("OPTIONS", {}),
    }
    assert {name: str(one) for name, one in found.items() if one} == parameters


def test_the_settings_say_where_the_live_one_is(settings):
    given = settings.DATABASES["default"]
    found = tools.live_parameters()
    assert found["user"] == given["USER"]
    assert found["connect_timeout"] == "5"
    assert "options" not in found
    assert "pool" not in found
    assert tools.environment(found)["PGPASSWORD"] == given["PASSWORD"]
    assert secrets.token_hex() not in tools.environment(found)["PGOPTIONS"]
