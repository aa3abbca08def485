"""What diagnose_db finds of planted faults, what it advises, and what it mends."""

import json
import os
from contextlib import contextmanager
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import translation

from catalog.tests.factories import make_product
from ops import life_signs
from ops.diagnosis import connecting, diagnosis, health, rights, schema, structure
from ops.diagnosis.diagnosis import diagnose, mend
from ops.diagnosis.findings import Finding, Severity, worst
from ops.models import OperationalEvent, ProcessBeat
from ops.services import processes
from ops.tests.databases import elsewhere, on_sqlite, other_parameters, wait_until
from tests.people import make_person

pytestmark = pytest.mark.django_db

FAVORITES = "favorites_favorite"
INSERT = "INSERT INTO favorites_favorite (person_id, product_id, created_at) VALUES "
ENTRIES = "accounts_pointsentry"


def run(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def names(findings):
    return [one.name for one in findings if one.severity]


def named(findings, name):
    """The one finding of this name."""
    (found,) = [one for one in findings if one.name == name]
    return found


def drop(table):
    cascade = " CASCADE" if connection.vendor == "postgresql" else ""
    run(f"DROP TABLE {table}{cascade}")


OTHER_CONSTRAINT = (
    f"ALTER TABLE {FAVORITES} DROP CONSTRAINT favorite_kept_once, "
    "ADD CONSTRAINT favorite_kept_once UNIQUE (person_id, id)"
)
OTHER_FUNCTION = (
    f"CREATE OR REPLACE FUNCTION {ENTRIES}_append_only() RETURNS trigger "
    "LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
)
OTHER_TABLE = (
    f'CREATE TABLE {FAVORITES} ("id" integer, "created_at" datetime, "person_id" bigint, '
    '"product_id" bigint, "updated_at" datetime)'
)


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture
def sqlite():
    """The default connection of this thread is a SQLite as its migrations make it."""
    with on_sqlite() as connected:
        made = schema.recorded().tables.values()
        run(*(one.sql for one in made))
        run(*(sql for one in made for sql in (*one.indexes.values(), *one.triggers.values())))
        for app, name in MigrationLoader(None).disk_migrations:
            MigrationRecorder(connected).record_applied(app, name)
        yield


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request):
    """Each kind of database, one after another."""
    if request.param == "sqlite":
        request.getfixturevalue("sqlite")


# --- Structure ------------------------------------------------------------------------------------
@pytest.mark.story
def test_what_is_recorded_is_what_the_migrations_make():
    """Else run `make schema`, after a migration was added."""
    assert schema.found().as_json() == schema.recorded().as_json()
    assert names(structure.look()) == []


@pytest.mark.parametrize("table", [FAVORITES, "catalog_product", ENTRIES])
def test_a_table_that_is_gone_is_made_again_as_the_migrations_made_it(database, table):
    due = schema.digest(schema.found().tables[table])
    drop(table)
    found = list(structure.look())
    gone = named(found, "missing-table")
    assert gone.severity == Severity.ERROR
    assert gone.is_safe
    assert table in gone.reason
    assert gone.statements[0].startswith(f'CREATE TABLE "{table}" (')
    assert {one.error for one in mend(found)} == {""}
    assert schema.digest(schema.found().tables[table]) == due
    assert names(structure.look()) == [], "foreign keys of other tables as well"


def test_the_statements_name_table_indexes_constraints_and_foreign_keys(database):
    drop(FAVORITES)
    said = "\n".join(named(structure.look(), "missing-table").statements)
    parts = ("CREATE TABLE", "CREATE INDEX", "favorite_kept_once", "REFERENCES")
    assert all(part in said for part in parts), said


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("fault", "name", "is_mended"),
    [
        (f"ALTER TABLE {FAVORITES} DROP CONSTRAINT favorite_kept_once", "missing-constraint", True),
        (f"ALTER TABLE {FAVORITES} DROP COLUMN product_id", "missing-column", False),
        (f"ALTER TABLE {FAVORITES} ALTER created_at DROP NOT NULL", "drifted-column", False),
        (f"ALTER TABLE {FAVORITES} ALTER person_id TYPE integer", "drifted-column", False),
        (f"ALTER TABLE {FAVORITES} ALTER updated_at DROP DEFAULT", "drifted-column", False),
        (f"ALTER TABLE {FAVORITES} ADD remark text", "unknown-column", False),
        (OTHER_CONSTRAINT, "drifted-constraint", False),
        (f"DROP TRIGGER {ENTRIES}_append_only ON {ENTRIES}", "missing-trigger", True),
        (f"ALTER TABLE {ENTRIES} DISABLE TRIGGER {ENTRIES}_append_only", "missing-trigger", True),
        (OTHER_FUNCTION, "drifted-function", True),
        (f"DROP FUNCTION {ENTRIES}_append_only() CASCADE", "drifted-function", True),
    ],
)
def test_drift_is_found_and_mended_where_nothing_is_taken_away(fault, name, is_mended):
    run(fault)
    found = list(structure.look())
    one = next(one for one in found if one.name == name)
    assert one.severity
    assert one.remedy
    assert one.is_safe is is_mended
    if is_mended:
        assert not [one.error for one in mend(found) if one.error]
        assert names(structure.look()) == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_indexes_are_made_again_beside_the_work_of_others():
    run("DROP INDEX favorite_newest_of_person", "DROP INDEX favorites_favorite_person_id_04dbdf62")
    run(f"CREATE INDEX favorites_favorite_person_id_04dbdf62 ON {FAVORITES} (product_id)")
    found = list(structure.look())
    assert sorted(names(found)) == ["drifted-index", "missing-index"]
    assert all("CONCURRENTLY" in one.statements[-1] for one in found)
    assert [one.error for one in mend(found)] == ["", ""]
    assert names(structure.look()) == []


@pytest.mark.postgresql
def test_a_constraint_that_rows_break_is_named_and_left():
    run(f"ALTER TABLE {FAVORITES} DROP CONSTRAINT favorite_kept_once")
    person, product = make_person(), make_product()
    for _time in range(2):
        run(f"{INSERT} ({person.pk}, {product.pk}, now())")
    run("SET CONSTRAINTS ALL IMMEDIATE")
    (mended,) = mend(list(structure.look()))
    assert "favorite_kept_once" in mended.error
    assert names(structure.look()) == ["missing-constraint"]


@pytest.mark.postgresql
def test_a_unique_index_is_a_rule():
    """It is made wholly or not at all, and one that was altered is left to people."""
    run("DROP INDEX pointsentry_once_per_cause")
    missing = named(structure.look(), "missing-index")
    assert missing.severity == Severity.ERROR
    assert "CONCURRENTLY" not in missing.statements[0]
    run("CREATE INDEX pointsentry_once_per_cause ON accounts_pointsentry (source)")
    drifted = named(structure.look(), "drifted-index")
    assert (drifted.severity, drifted.is_safe) == (Severity.ERROR, False)


@pytest.mark.parametrize(
    ("fault", "name", "is_mended"),
    [
        (["DROP INDEX favorite_newest_of_person"], "missing-index", True),
        ([f"DROP TRIGGER {ENTRIES}_no_update"], "missing-trigger", True),
        ([f"ALTER TABLE {FAVORITES} ADD remark text"], "unknown-column", False),
        ([f"DROP TABLE {FAVORITES}", OTHER_TABLE], "drifted-table", False),
    ],
)
def test_drift_of_a_file_is_found_as_well(sqlite, fault, name, is_mended):
    run(*fault)
    found = list(structure.look())
    assert name in names(found)
    list(mend(found))
    assert (names(structure.look()) == []) is is_mended


def test_migrations_that_wait_are_named_and_nothing_else_is_compared(database):
    run("DELETE FROM django_migrations WHERE app = 'favorites'")
    drop(FAVORITES)
    (found,) = structure.look()
    assert found.name == "unapplied-migrations"
    assert "favorites.0001_initial" in found.reason
    assert not found.is_safe


def test_tables_of_a_newer_version_are_not_compared_and_not_mended_back(database):
    run(
        "INSERT INTO django_migrations (app, name, applied) "
        "VALUES ('favorites', '9999_newer', '2026-11-27'), ('gone', '0001_initial', '2026-11-27')",
        "DROP INDEX favorite_newest_of_person",
    )
    (found,) = structure.look()
    assert (found.name, found.severity) == ("newer-version", Severity.WARNING)
    assert "favorites.9999_newer" in found.reason
    assert "gone" not in found.reason


# --- Connection -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ('FATAL: password authentication failed for user "x"', "DATABASE_URL"),
        ("FATAL: sorry, too many clients already", "DB_POOL_SIZE"),
        ('FATAL: database "x" does not exist', "CREATE DATABASE"),
        ("FATAL: the database system is starting up", "Wait if it starts"),
        ("FATAL: could not write init file: No space left on device", "Make room"),
        ('FATAL: no pg_hba.conf entry for host "10.0.0.1"', "pg_hba.conf"),
    ],
)
def test_a_database_that_is_not_reached_is_told_by_its_reason(said, remedy):
    found = connecting.away(OperationalError(said))
    assert found.severity == Severity.ERROR
    assert remedy in found.remedy


@pytest.mark.parametrize(("vendor", "remedy"), [("sqlite", "rights"), ("postgresql", "firewall")])
def test_where_nothing_answers_is_said(monkeypatch, vendor, remedy):
    monkeypatch.setattr(connection, "vendor", vendor)
    assert remedy in connecting.away(OperationalError("connection refused")).remedy


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_a_server_that_is_away_nothing_else_is_said():
    with other_parameters(port=1, timeout=0.2):
        (found,) = diagnose()
        assert (found.part, found.name) == ("connection", "away")
        assert "firewall" in found.remedy


@pytest.mark.postgresql
def test_what_the_server_says_is_heard_behind_the_pool(monkeypatch):
    """A pool says of every failure that it waited for too long."""
    monkeypatch.setitem(connection.settings_dict, "NAME", "no_such_database")
    (found,) = diagnose()
    assert "no_such_database" in found.reason
    assert "CREATE DATABASE" in found.remedy


@pytest.mark.postgresql
def test_a_server_that_takes_no_changes_is_told():
    assert "read-only" not in names(connecting.look())
    run("SET LOCAL default_transaction_read_only = on")
    assert "read-only" in names(connecting.look())


def test_a_slow_way_to_the_database_is_told(monkeypatch):
    monkeypatch.setattr(connecting, "SLOW", -1)
    assert "slow-connection" in names(connecting.look())


@pytest.mark.postgresql
def test_connections_that_run_out_are_told(monkeypatch):
    monkeypatch.setattr(connecting, "NEARLY_ALL", 0)
    assert "connections" in names(connecting.look())


@pytest.mark.postgresql
def test_processes_that_may_want_more_than_there_are_are_told(monkeypatch):
    ProcessBeat.objects.all().delete()
    monkeypatch.setattr(life_signs, "_kind", ["web"])
    processes.beat()
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", {"max_size": 10**6})
    assert "room" in names(connecting.look())


def test_a_file_that_nobody_can_write_to_is_told(sqlite, monkeypatch, tmp_path):
    path = tmp_path / "db.sqlite3"
    path.touch()
    monkeypatch.setitem(connection.settings_dict, "NAME", str(path))
    assert "read-only" not in names(connecting.look())
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "read-only" in names(connecting.look())


def test_another_journal_is_told(tmp_path):
    with on_sqlite(name=str(tmp_path / "db.sqlite3")):
        run("PRAGMA journal_mode = DELETE")
        assert "delete" in named(connecting.look(), "journal").reason


def test_a_damaged_file_is_told(tmp_path):
    path = tmp_path / "db.sqlite3"
    with on_sqlite(name=str(path)):
        run("CREATE TABLE probe (text)", "CREATE INDEX i ON probe (text)")
        run(*["INSERT INTO probe VALUES (randomblob(500))"] * 100)
    bytes_ = bytearray(path.read_bytes())
    bytes_[6000:30000] = bytes(24000)
    path.write_bytes(bytes_)
    with on_sqlite(name=str(path)):
        assert "damaged" in names(health._file_is_whole())


@pytest.mark.parametrize("damage", [b"no header", b"SQLite format 3\0"])
def test_a_file_that_cannot_be_read_is_told_once(tmp_path, damage):
    path = tmp_path / "db.sqlite3"
    with on_sqlite(name=str(path)) as connected:
        run("CREATE TABLE django_migrations (id integer)")
        connected.close()
        size = path.stat().st_size
        path.write_bytes(damage + b"\xff" * (size - len(damage)))
        assert [one.name for one in diagnose() if one.severity == Severity.ERROR] == ["damaged"]
        connected.ensure_connection()


def test_damage_that_is_met_at_once_is_told_alone(sqlite, monkeypatch):
    def fail():
        raise DatabaseError("file is not a database")

    monkeypatch.setattr(connecting, "reach", fail)
    assert [one.name for one in diagnose()] == ["damaged"]


def test_a_part_that_meets_damage_says_so(sqlite, monkeypatch):
    def fail():
        raise OperationalError("database disk image is malformed")

    monkeypatch.setitem(diagnosis.PARTS, "rights", fail)
    monkeypatch.setitem(diagnosis.PARTS, "structure", fail)
    found = diagnose()
    assert [one.name for one in found if one.name in {"damaged", "failed"}] == ["damaged"]


def test_why_a_file_cannot_be_opened_is_told_beside_it(settings, monkeypatch, tmp_path):
    settings.LEAST_FREE_DISK_MB = 10**9
    settings.DATA_DIR.mkdir(exist_ok=True)
    path = tmp_path / "db.sqlite3"
    path.touch()

    def fail():
        raise OperationalError("unable to open database file")

    monkeypatch.setattr(connecting, "reach", fail)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with on_sqlite() as connected:
        monkeypatch.setitem(connected.settings_dict, "NAME", str(path))
        assert [one.name for one in diagnose()] == ["away", "read-only", "disk"]


def test_a_disk_that_is_nearly_full_is_told(sqlite, settings):
    settings.LEAST_FREE_DISK_MB = 10**9
    settings.DATA_DIR.mkdir(exist_ok=True)
    assert "disk" in names(connecting.look())


@pytest.mark.postgresql
def test_a_disk_that_is_nearly_full_here_is_told_beside_a_server(settings):
    settings.LEAST_FREE_DISK_MB = 10**9
    settings.DATA_DIR.mkdir(exist_ok=True)
    assert "files and logs" in named(connecting.look(), "disk").reason


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_server_that_cannot_write_is_told():
    """Nothing fills its disk here, so it raises what it raises then; a drill fills one."""
    assert "disk-full" not in names(connecting.look())

    def fail(execute, sql, parameters, many, context):
        if "OFFSET 0" in sql:
            full = "'could not write: No space left on device' USING ERRCODE = 'disk_full'"
            sql, parameters = f"DO $$ BEGIN RAISE {full}; END $$", None
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(fail):
        found = list(connecting.look())
    full = named(found, "disk-full")
    assert full.severity == Severity.ERROR
    assert "No space left on device" in full.reason
    assert "connections" in {one.name for one in found}, "it goes on"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_another_failure_of_writing_is_not_taken_for_a_full_disk(monkeypatch):
    monkeypatch.setattr(
        connecting, "_TAKE_ROOM", "SELECT pg_terminate_backend(pg_backend_pid()), %s"
    )
    with pytest.raises(OperationalError):
        list(connecting.look())
    connection.close()


# --- Rights ---------------------------------------------------------------------------------------
@pytest.fixture
def poor_role():
    run("CREATE ROLE poor NOLOGIN", "GRANT USAGE ON SCHEMA public TO poor")
    run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor")
    run("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO poor")
    run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    return "poor"


@contextmanager
def acting_as(role):
    run(f"SET LOCAL ROLE {role}")
    try:
        yield
    finally:
        run("RESET ROLE")


@pytest.mark.postgresql
def test_rights_that_are_missing_are_named_with_the_grant_that_mends_them(poor_role):
    assert names(rights.look()) == []
    run("REVOKE USAGE ON SEQUENCE favorites_favorite_id_seq FROM poor")
    with acting_as(poor_role):
        found = list(rights.look())
    assert {"cannot-create", "no-right", "not-owner"} == set(names(found))
    (of_favorites,) = [
        one for one in found if one.name == "no-right" and f" {FAVORITES}." in one.reason
    ]
    assert of_favorites.statements == (f'GRANT INSERT, UPDATE, DELETE ON "{FAVORITES}" TO "poor"',)
    for one in found:
        run(*one.statements)
    with acting_as(poor_role):
        assert names(rights.look()) == []


def test_sqlite_knows_no_rights(sqlite):
    assert list(rights.look()) == []


# --- Health ---------------------------------------------------------------------------------------
def test_a_database_that_does_well_is_told_so(sqlite):
    (found,) = health.look()
    assert found.severity == Severity.GOOD


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_who_waits_for_a_lock_and_for_whom_is_told(monkeypatch):
    monkeypatch.setattr(health, "LOCK_WAITS_TOO_LONG", 0)

    def wait():
        try:
            run("SELECT count(*) FROM favorites_favorite")
        finally:
            connection.close()

    with elsewhere(autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {FAVORITES} IN ACCESS EXCLUSIVE MODE")
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
        waiting = Thread(target=wait)
        waiting.start()
        wait_until(lambda: "lock-held" in names(health.look()))
        assert "long-transaction" not in names(health.look())
        assert "long-transaction" in names(health.look(longer_than=0))
        monkeypatch.setattr(health, "TRANSACTION_TOO_LONG", -1)
        found = list(health.look())
        assert named(found, "lock-held").statements == (f"SELECT pg_terminate_backend({pid})",)
        assert "long-transaction" in names(found)
    waiting.join()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_statement_that_takes_long_is_told(monkeypatch):
    monkeypatch.setattr(health, "STATEMENT_TOO_LONG", -1)
    pids, ended = [], []

    def work():
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                pids.append(cursor.fetchone()[0])
                cursor.execute("SELECT pg_sleep_until(clock_timestamp() + interval '1 minute')")
        except DatabaseError as error:
            ended.append(error)
        finally:
            connection.close()

    def told():
        """What is said of that session, not of others that are at work."""
        end = [(f"SELECT pg_terminate_backend({pid})",) for pid in pids]
        return [one for one in health.look() if one.name == "slow-query" and one.statements in end]

    worker = Thread(target=work)
    worker.start()
    wait_until(told)
    (found,) = told()
    run(*found.statements)
    worker.join()
    assert len(ended) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_dead_rows_scans_and_idle_indexes_are_told(monkeypatch):
    monkeypatch.setattr(health, "FEW_ROWS", 10)
    monkeypatch.setattr(health, "MANY_SCANS", 0)
    monkeypatch.setattr(health, "LARGE", 0)
    run(
        "CREATE TABLE probe (number integer) WITH (autovacuum_enabled = off)",
        "CREATE INDEX probe_unused ON probe (number)",
        "INSERT INTO probe SELECT generate_series(1, 1000)",
        "DELETE FROM probe WHERE mod(number, 2) = 0",
        "ANALYZE probe",
        "CREATE TABLE probe_scanned AS SELECT generate_series(1, 1000) AS number",
        "SELECT count(number) FROM probe_scanned",
    )
    try:
        due = {"bloat", "unused-index", "missing-index"}

        def told():
            run("SELECT pg_stat_force_next_flush()")
            return {one.name for one in health.look() if "probe" in one.reason}

        wait_until(lambda: due <= told())
        dead = [one for one in health.look() if one.name == "bloat" and "probe" in one.reason]
        assert [one.error for one in mend(dead)] == [""]
        wait_until(lambda: "bloat" not in told())
    finally:
        run("DROP TABLE probe, probe_scanned")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_slot_that_nobody_reads_is_told():
    slot = f"probe_{uuid4().hex}"  # the server may be others' as well

    def told():
        return [one for one in health.look() if one.name == "slot-unused" and slot in one.reason]

    with elsewhere() as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_create_physical_replication_slot(%s, true)", [slot])
        try:
            (found,) = told()
            run(*found.statements)
            assert told() == []
        finally:
            cursor.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                "WHERE slot_name = %s",
                [slot],
            )


@pytest.mark.postgresql
def test_numbers_that_run_out_are_told(monkeypatch):
    run("CREATE SEQUENCE probe AS smallint", "SELECT setval('probe', 32000)")
    assert "probe" in named(health.look(), "sequence-end").reason
    monkeypatch.setattr(health, "OLD_TRANSACTIONS", -1)
    assert "transaction-ids" in names(health.look())


@pytest.mark.postgresql
def test_a_replica_that_is_behind_is_told(monkeypatch):
    """There is none here: a view says what the server's own would."""
    run(
        "CREATE TEMP VIEW pg_stat_replication AS "
        "SELECT 'second' AS application_name, interval '1 minute' AS replay_lag, "
        "pg_current_wal_lsn() AS replay_lsn",
        "SET LOCAL search_path TO pg_temp, pg_catalog, public",
    )
    assert "second is 60 s" in named(health._replicas(), "replica-behind").reason
    run(
        "CREATE OR REPLACE TEMP VIEW pg_stat_replication AS "
        "SELECT 'second' AS application_name, NULL::interval AS replay_lag, "
        "'0/1'::pg_lsn AS replay_lsn"
    )
    monkeypatch.setattr(health, "LAGS_BY", 1)
    assert "second is 0 s and" in named(health._replicas(), "replica-behind").reason, "it is still"


@pytest.mark.postgresql
def test_a_replica_of_which_the_role_sees_nothing_is_told(poor_role):
    run(
        "CREATE TEMP VIEW pg_stat_replication AS SELECT 'second' AS application_name, "
        "NULL::interval AS replay_lag, NULL::pg_lsn AS replay_lsn",
        "GRANT SELECT ON pg_stat_replication TO poor",
        "SET LOCAL search_path TO pg_temp, pg_catalog, public",
    )
    assert names(health._replicas()) == []
    with acting_as(poor_role):
        found = named(health._replicas(), "replica-unseen")
    assert found.statements == ('GRANT pg_monitor TO "poor"',)
    run(*found.statements)
    with acting_as(poor_role):
        assert names(health._replicas()) == []


@pytest.mark.postgresql
def test_a_statement_that_is_slow_time_and_again_is_told():
    """As the extension tells it, which is not loaded here."""
    assert list(health._slow_on_average()) == []
    run(
        "CREATE TEMP VIEW pg_stat_statements AS "
        "SELECT 'SELECT 1' AS query, 20 AS calls, oid AS dbid, "
        "900.0 AS mean_exec_time, 1 AS total_exec_time FROM pg_database "
        "WHERE datname = current_database()"
    )
    assert "20 times 0.9 s" in named(health._slow_on_average(), "slow-query").reason


def test_rows_that_point_to_nothing_and_empty_pages_are_told(sqlite, monkeypatch):
    monkeypatch.setattr(health, "FEW_ROWS", -1)
    monkeypatch.setattr(health, "BLOATED", -1)
    assert "bloat" in names(health.look())
    run("PRAGMA foreign_keys = OFF", f"{INSERT} (1, 1, 'now')")
    assert FAVORITES in named(health.look(), "reference").reason


# --- All of it ------------------------------------------------------------------------------------
def test_a_part_that_fails_holds_up_no_other(monkeypatch):
    def fail():
        raise OperationalError("no such table: pg_class\nLINE 1")

    monkeypatch.setitem(diagnosis.PARTS, "rights", fail)
    found = diagnose()
    failed = named(found, "failed")
    assert "no such table: pg_class" in failed.reason
    assert "LINE" not in failed.reason
    assert {one.part for one in found} >= {"connection", "structure", "health"}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_locked_table_holds_the_diagnosis_up_for_a_moment_alone(monkeypatch):
    def limit():
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            return cursor.fetchone()[0]

    def look():
        seen.append(limit())
        return iter(())

    before = limit()
    seen: list[str] = []
    monkeypatch.setitem(diagnosis.PARTS, "rights", look)
    with elsewhere(autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {FAVORITES} IN ACCESS EXCLUSIVE MODE")
        found = diagnose()
    assert "lock timeout" in named(found, "failed").reason
    assert (seen, limit()) == (["1s"], before)
    assert before != "1s"


def test_the_worst_finding_is_the_severity():
    def finding(severity):
        return Finding("health", "x", severity, "x")

    assert worst([]) == Severity.GOOD
    assert worst([finding(Severity.WARNING), finding(Severity.GOOD)]) == Severity.WARNING


def told(*arguments, capsys):
    """What the command says, and how it ends."""
    status: Any = 0
    try:
        call_command("diagnose_db", *arguments)
    except SystemExit as end:
        status = end.code
    return capsys.readouterr().out, status


def test_the_command_ends_with_the_worst_of_what_it_found(sqlite, capsys, monkeypatch):
    out, status = told(capsys=capsys)
    assert status == 0
    assert "[structure/tables]" in out
    monkeypatch.setattr(connecting, "SLOW", -1)
    assert told(capsys=capsys)[1] == 1
    drop(FAVORITES)
    out, status = told(capsys=capsys)
    assert status == 2
    assert f'CREATE TABLE "{FAVORITES}" (' in out
    assert "--fix" in out


def test_the_command_mends_and_looks_again(sqlite, capsys):
    drop(FAVORITES)
    out, status = told("--fix", capsys=capsys)
    assert status == 0
    assert "missing" in out
    assert OperationalEvent.objects.get(kind="database_mended").facts == {"done": 1, "failed": 0}
    assert told("--fix", capsys=capsys)[1] == 0


def test_what_was_found_is_said_though_the_event_cannot_be_written(sqlite, capsys):
    drop(FAVORITES)
    run("PRAGMA query_only = ON")
    try:
        out, status = told("--fix", capsys=capsys)
    finally:
        run("PRAGMA query_only = OFF")
    assert status == 2
    assert "Not mended" in out
    assert not OperationalEvent.objects.exists()


def test_how_long_is_too_long_can_be_said(sqlite):
    with pytest.raises(CommandError, match="longer-than"):
        call_command("diagnose_db", "--longer-than", "-1")
    with pytest.raises(CommandError, match="longer-than"):
        call_command("diagnose_db", "--longer-than", "long")
    call_command("diagnose_db", "--longer-than", "0.5")


def test_what_could_not_be_mended_is_said(sqlite, capsys, monkeypatch):
    wrong = Finding(
        "health", "x", Severity.WARNING, "it is so", statements=("NO STATEMENT",), is_safe=True
    )
    monkeypatch.setitem(diagnosis.PARTS, "health", lambda: iter([wrong]))
    out, status = told("--fix", capsys=capsys)
    assert status == 1
    assert "syntax error" in out


def test_machines_read_json(sqlite, capsys):
    drop(FAVORITES)
    out, status = told("--json", capsys=capsys)
    said = json.loads(out)
    assert (said["severity"], status) == ("error", 2)
    (gone,) = [one for one in said["findings"] if one["name"] == "missing-table"]
    assert gone["can_be_fixed"]
    assert gone["statements"]
    out, status = told("--json", "--fix", capsys=capsys)
    assert [one["name"] for one in json.loads(out)["mended"]] == ["missing-table"]


def test_only_a_migrated_database_is_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(schema, "FOLDER", tmp_path / "recorded")
    call_command("diagnose_db", "--record")
    assert schema.recorded().as_json() == schema.found().as_json()
    before = schema._file().read_bytes()
    run("DELETE FROM django_migrations WHERE app = 'favorites'")
    with pytest.raises(CommandError):
        call_command("diagnose_db", "--record")
    assert schema._file().read_bytes() == before
