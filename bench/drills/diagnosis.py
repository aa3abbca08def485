"""Faults are planted in a database, and `diagnose_db` finds each, says what helps, and mends it.

The command runs as staff run it, in the role that owns the database and is no superuser. What it
says it can mend, `--fix` mends; where it prints statements for somebody else, that somebody (the
superuser) runs them as printed; in either case it finds nothing more. Where people have to decide,
the remedy has to be there.

In its small form those that can stand beside each other are planted together.
"""

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from bench.drills import DidNotHold, Say
from bench.drills.cluster import (
    FORGETFUL,
    PLATFORM,
    SUPERUSER,
    Cluster,
    clusters,
    manage,
    running,
)
from bench.drills.mounts import fill, may_mount, read_only, small_disk
from bench.programs import free_port

FIX, STATEMENTS, PEOPLE = "--fix", "its statements", "people"  # who mends it
GIGANTIC = 9 * 10**18  # of 9.22 * 10**18, where a bigint ends
CONNECTIONS = 40


@dataclass(kw_only=True)
class Scene:
    """A database, the environment in which the platform finds it, and where more can be made."""

    folder: Path
    environment: dict[str, str]
    cluster: Cluster | None = None
    more: tuple[str, ...] = ()  # arguments of diagnose_db

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Do something in the database of the platform, as somebody who may do everything."""
        assert self.cluster is not None
        return self.cluster.sql(*statements, database=PLATFORM)

    def diagnose(self, *arguments: str) -> dict[str, Any]:
        """What diagnose_db says. Raises DidNotHold when it ends otherwise than it says."""
        done = manage("diagnose_db", "--json", *self.more, *arguments, environment=self.environment)
        try:
            said: dict[str, Any] = json.loads(done.stdout)
        except json.JSONDecodeError:
            raise DidNotHold(
                f"diagnose_db said no JSON and ended with {done.returncode}: "
                f"{done.stdout[-300:]} {done.stderr[-600:]}"
            ) from None
        due = {"good": 0, "warning": 1, "error": 2}[said["severity"]]
        if done.returncode != due:
            raise DidNotHold(f"it says {said['severity']} and ends with {done.returncode}")
        return said


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something wrong, the finding that is due, and who mends it."""

    what: str
    plant: Callable[[Scene], AbstractContextManager[object]]  # wrong inside, mended outside
    finding: str  # its name, of ops/diagnosis
    names: str = ""  # what its reason has to name
    helps: str = ""  # what its remedy or its statements have to say
    mended_by: str = PEOPLE
    is_together: bool = True  # with others, in the small form
    is_small: bool = True  # else it is left out of the small form, which has one like it
    needs_mounts: bool = False
    more: tuple[str, ...] = ()


def sql(fault: str, undo: str = "") -> Callable[[Scene], AbstractContextManager[object]]:
    """A fault that is statements, divided by semicolons; `undo` where nothing else mends it."""

    @contextmanager
    def plant(scene: Scene) -> Iterator[None]:
        scene.sql(*filter(None, fault.split(";")))
        try:
            yield
        finally:
            if undo:
                scene.sql(*undo.split(";"))

    return plant


# --- PostgreSQL: rights, tables -------------------------------------------------------------------
MISSING_TABLE = Fault(
    what="the favorites table is gone",
    plant=sql("DROP TABLE favorites_favorite CASCADE"),
    finding="missing-table",
    names="favorites_favorite",
    helps='CREATE TABLE "favorites_favorite" (',
    mended_by=FIX,
)
FAULTS = [
    MISSING_TABLE,
    Fault(
        what="no right to change a table",
        plant=sql(
            "ALTER TABLE reviews_receipt OWNER TO drill;"
            "REVOKE ALL ON reviews_receipt FROM platform;"
            "GRANT SELECT ON reviews_receipt TO platform",
            "ALTER TABLE reviews_receipt OWNER TO platform",
        ),
        finding="no-right",
        names="INSERT, UPDATE, DELETE on reviews_receipt",
        helps='GRANT INSERT, UPDATE, DELETE ON "reviews_receipt" TO "platform"',
        mended_by=STATEMENTS,
    ),
    Fault(
        what="a table belongs to somebody else",
        plant=sql(
            "ALTER TABLE lottery_wheel OWNER TO drill;GRANT ALL ON lottery_wheel TO platform"
        ),
        finding="not-owner",
        names="lottery_wheel",
        helps="OWNER TO",
        mended_by=STATEMENTS,
    ),
    Fault(
        what="no right to number the rows of a table",
        plant=sql(
            "ALTER TABLE reviews_receipt OWNER TO drill;"
            "GRANT ALL ON reviews_receipt TO platform;"
            "REVOKE ALL ON SEQUENCE reviews_receipt_id_seq FROM platform",
            "ALTER TABLE reviews_receipt OWNER TO platform",
        ),
        finding="no-right",
        names="USAGE on reviews_receipt_id_seq",
        helps="GRANT USAGE ON SEQUENCE",
        mended_by=STATEMENTS,
        is_together=False,
        is_small=False,
    ),
    Fault(
        what="no right to create tables",
        plant=sql(
            "ALTER SCHEMA public OWNER TO drill; REVOKE CREATE ON SCHEMA public FROM platform",
            "ALTER SCHEMA public OWNER TO pg_database_owner",
        ),
        finding="cannot-create",
        helps="GRANT USAGE, CREATE ON SCHEMA",
        mended_by=STATEMENTS,
        # Whoever may not create, cannot mend what others planted.
        is_together=False,
        is_small=False,
    ),
    Fault(
        what="an index is gone",
        plant=sql("DROP INDEX order_newest_of_person"),
        finding="missing-index",
        names="order_newest_of_person",
        helps="CREATE INDEX CONCURRENTLY order_newest_of_person",
        mended_by=FIX,
    ),
    Fault(
        what="a unique index is gone",
        plant=sql("DROP INDEX pointsentry_once_per_cause"),
        finding="missing-index",
        names="pointsentry_once_per_cause",
        helps="CREATE UNIQUE INDEX pointsentry_once_per_cause",
        mended_by=FIX,
    ),
    Fault(
        what="an index is on other columns",
        plant=sql(
            "DROP INDEX order_to_expire; SET ROLE platform;"
            "CREATE INDEX order_to_expire ON catalog_order (status)"
        ),
        finding="drifted-index",
        names="order_to_expire",
        helps="DROP INDEX",
        mended_by=FIX,
    ),
    Fault(
        what="a column has another type",
        plant=sql(
            "ALTER TABLE catalog_order ALTER quantity TYPE integer",
            "ALTER TABLE catalog_order ALTER quantity TYPE smallint",
        ),
        finding="drifted-column",
        names="quantity of catalog_order is integer",
        helps="ALTER COLUMN",
    ),
    Fault(
        what="a column takes longer texts",
        plant=sql(
            "ALTER TABLE accounts_user ALTER nickname TYPE varchar(400)",
            "ALTER TABLE accounts_user ALTER nickname TYPE varchar(40)",
        ),
        finding="drifted-column",
        names="character varying(400)",
        helps="ALTER COLUMN",
    ),
    Fault(
        what="a column may be null",
        plant=sql(
            "ALTER TABLE catalog_product ALTER description DROP NOT NULL",
            "ALTER TABLE catalog_product ALTER description SET NOT NULL",
        ),
        finding="drifted-column",
        names="description of catalog_product",
        helps="ALTER COLUMN",
    ),
    Fault(
        what="a column is there that nobody knows",
        plant=sql(
            "ALTER TABLE catalog_category ADD remark text",
            "ALTER TABLE catalog_category DROP remark",
        ),
        finding="unknown-column",
        names="remark of catalog_category",
        helps="drop it by hand",
    ),
    Fault(
        what="a trigger is gone: points could be altered",
        plant=sql("DROP TRIGGER accounts_pointsentry_append_only ON accounts_pointsentry"),
        finding="missing-trigger",
        names="accounts_pointsentry_append_only",
        helps="CREATE TRIGGER",
        mended_by=FIX,
    ),
    Fault(
        what="a trigger is switched off: draws could be altered",
        plant=sql("ALTER TABLE lottery_draw DISABLE TRIGGER lottery_draw_append_only"),
        finding="missing-trigger",
        names="lottery_draw_append_only",
        helps="CREATE TRIGGER",
        mended_by=FIX,
    ),
    Fault(
        what="the function of a trigger guards nothing",
        plant=sql(
            "CREATE OR REPLACE FUNCTION catalog_stockentry_append_only() RETURNS trigger "
            "LANGUAGE plpgsql AS 'BEGIN END'"
        ),
        finding="drifted-function",
        names="catalog_stockentry_append_only",
        helps="CREATE OR REPLACE FUNCTION",
        mended_by=FIX,
    ),
    Fault(
        what="a constraint is gone: balances could be negative",
        plant=sql(
            "ALTER TABLE accounts_pointsentry DROP CONSTRAINT pointsentry_balance_never_negative"
        ),
        finding="missing-constraint",
        names="pointsentry_balance_never_negative",
        helps="ADD CONSTRAINT",
        mended_by=FIX,
    ),
    Fault(
        what="a foreign key is gone",
        plant=sql(
            "ALTER TABLE lottery_draw DROP CONSTRAINT "
            "lottery_draw_order_id_98e5b767_fk_catalog_order_id"
        ),
        finding="missing-constraint",
        names="lottery_draw_order_id_98e5b767_fk_catalog_order_id",
        helps="FOREIGN KEY (order_id) REFERENCES catalog_order(id)",
        mended_by=FIX,
    ),
    Fault(
        what="a migration was not applied",
        plant=sql(
            "CREATE TABLE aside AS SELECT * FROM django_migrations WHERE app = 'favorites';"
            "DELETE FROM django_migrations WHERE app = 'favorites'",
            "INSERT INTO django_migrations OVERRIDING SYSTEM VALUE SELECT * FROM aside;"
            "DROP TABLE aside",
        ),
        finding="unapplied-migrations",
        names="favorites.0001_initial",
        helps="manage.py migrate",
        is_together=False,
    ),
    Fault(
        what="a newer version was here",
        plant=sql(
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('favorites', '9999_newer', now())",
            "DELETE FROM django_migrations WHERE name = '9999_newer'",
        ),
        finding="newer-version",
        names="favorites.9999_newer",
        helps="of that version",
        is_together=False,
        is_small=False,
    ),
    # --- PostgreSQL: health ---------------------------------------------------------------------
    Fault(
        what="a sequence is near its end",
        plant=sql(
            f"SELECT setval('lottery_prize_id_seq', {GIGANTIC})",
            "SELECT setval('lottery_prize_id_seq', 1)",
        ),
        finding="sequence-end",
        names="lottery_prize_id_seq",
        helps="migration",
    ),
    Fault(
        what="dead rows pile up",
        plant=sql(
            "SET ROLE platform; CREATE TABLE probe_dead (n int) WITH (autovacuum_enabled = off);"
            "INSERT INTO probe_dead SELECT generate_series(1, 50000); DELETE FROM probe_dead;"
            "SELECT pg_stat_force_next_flush()",
            "DROP TABLE probe_dead",
        ),
        finding="bloat",
        names="probe_dead",
        helps="VACUUM (ANALYZE)",
        mended_by=FIX,
    ),
    Fault(
        what="an index that nobody asks by",
        plant=sql(
            "CREATE TABLE probe_idle (n int);"
            "INSERT INTO probe_idle SELECT generate_series(1, 700000);"
            "CREATE INDEX probe_idle_n ON probe_idle (n); ANALYZE probe_idle;"
            "GRANT ALL ON probe_idle TO platform; ALTER TABLE probe_idle OWNER TO platform",
            "DROP TABLE probe_idle",
        ),
        finding="unused-index",
        names="probe_idle_n",
        helps="migration",
    ),
    Fault(
        what="an index is missing: a table is read from end to end time and again",
        plant=sql(
            "SET ROLE platform;"
            "CREATE TABLE probe_read AS SELECT generate_series(1, 11000) AS n;"
            # What was written and not told yet would be counted beside what ANALYZE counts.
            "SELECT pg_stat_force_next_flush(); ANALYZE probe_read;"
            "SELECT (SELECT count(*) FROM probe_read WHERE n > i) FROM generate_series(1, 1100) i;"
            "SELECT pg_stat_force_next_flush()",
            "DROP TABLE probe_read",
        ),
        finding="missing-index",
        names="probe_read",
        helps="SLOW_QUERY_MS",
    ),
]


# --- PostgreSQL: what others do with it -----------------------------------------------------------
@contextmanager
def _lock_held(scene: Scene) -> Iterator[None]:
    """Somebody holds a lock, and somebody else waits for it."""
    address = scene.environment["DATABASE_URL"]
    with psycopg.connect(address) as holding, psycopg.connect(address) as waiting:
        holding.execute("LOCK TABLE favorites_favorite IN ACCESS EXCLUSIVE MODE")

        def wait() -> None:
            with suppress(psycopg.Error):
                waiting.execute("SELECT 1 FROM favorites_favorite")

        waiter = threading.Thread(target=wait)
        waiter.start()
        while not scene.sql("SELECT 1 FROM pg_locks WHERE NOT granted AND waitstart IS NOT NULL"):
            pass
        try:
            yield
        finally:
            holding.close()  # if nobody ended it
            waiter.join()


@contextmanager
def _long_transaction(scene: Scene) -> Iterator[None]:
    with psycopg.connect(scene.environment["DATABASE_URL"]) as one:
        one.execute("SELECT 1")
        try:
            yield
        finally:
            one.close()


@contextmanager
def _exhausted(scene: Scene) -> Iterator[None]:
    with ExitStack() as held:
        try:
            while True:
                held.enter_context(psycopg.connect(scene.environment["DATABASE_URL"]))
        except psycopg.OperationalError:
            yield


@contextmanager
def _wrong_password(scene: Scene) -> Iterator[None]:
    assert scene.cluster is not None
    scene.sql(f"ALTER ROLE {PLATFORM} PASSWORD 'another'")
    yield
    scene.sql(f"ALTER ROLE {PLATFORM} PASSWORD '{scene.cluster.role_password}'")


@contextmanager
def _away(scene: Scene) -> Iterator[None]:
    assert scene.cluster is not None
    scene.cluster.stop()
    yield
    scene.cluster.start()


@contextmanager
def _no_database(scene: Scene) -> Iterator[None]:
    address = scene.environment["DATABASE_URL"]
    scene.environment["DATABASE_URL"] = f"{address}_of_somebody_else"
    yield
    scene.environment["DATABASE_URL"] = address


@contextmanager
def _unused_slot(scene: Scene) -> Iterator[None]:
    scene.sql("SELECT pg_create_physical_replication_slot('probe', true)")
    yield
    scene.sql(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
        "WHERE slot_name = 'probe'"
    )


OTHERS = [
    Fault(
        what="a lock is held that somebody waits for",
        plant=_lock_held,
        finding="lock-held",
        helps="SELECT pg_terminate_backend",
        mended_by=STATEMENTS,
        is_together=False,
        more=("--longer-than", "0"),
    ),
    Fault(
        what="a transaction stays open",
        plant=_long_transaction,
        finding="long-transaction",
        names="idle in transaction",
        helps="SELECT pg_terminate_backend",
        mended_by=STATEMENTS,
        is_together=False,
        is_small=False,
        more=("--longer-than", "0"),
    ),
    Fault(
        what="all connections are taken",
        plant=_exhausted,
        finding="away",
        names="no connection left",
        helps="DB_POOL_SIZE",
        is_together=False,
    ),
    Fault(
        what="another password",
        plant=_wrong_password,
        finding="away",
        names="password of platform",
        helps="DATABASE_URL",
        is_together=False,
    ),
    Fault(
        what="no such database",
        plant=_no_database,
        finding="away",
        names="platform_of_somebody_else",
        helps="CREATE DATABASE",
        is_together=False,
        is_small=False,
    ),
    Fault(
        what="the server is away",
        plant=_away,
        finding="away",
        names="No server answers",
        helps="Start it",
        is_together=False,
    ),
    Fault(
        what="the database was made read-only",
        plant=sql(
            "ALTER DATABASE platform SET default_transaction_read_only = on",
            "SET default_transaction_read_only = off;"
            "ALTER DATABASE platform RESET default_transaction_read_only",
        ),
        finding="read-only",
        helps="ALTER DATABASE",
        is_together=False,
    ),
    Fault(
        what="a replication slot that nobody reads",
        plant=_unused_slot,
        finding="slot-unused",
        names="probe",
        helps="SELECT pg_drop_replication_slot('probe')",
        mended_by=STATEMENTS,
    ),
]


# --- PostgreSQL: a replica, a full disk -----------------------------------------------------------
@contextmanager
def _replica(scene: Scene) -> Iterator[Cluster]:
    """A real one, which has applied everything; the database is reached through the primary."""
    primary = scene.cluster
    assert primary is not None
    replica = Cluster(scene.folder / "replica", free_port(), **FORGETFUL)
    replica.password, replica.role_password = primary.password, primary.role_password
    primary.run(
        *("pg_basebackup", f"--pgdata={replica.data}", "--write-recovery-conf", "--no-sync"),
        *("--host=127.0.0.1", f"--port={primary.port}", f"--username={SUPERUSER}"),
        *("--checkpoint=fast", "--wal-method=stream"),
    )
    with running(replica):
        replica.start()
        while not scene.sql("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"):
            pass
        yield replica


@contextmanager
def _replica_behind(scene: Scene) -> Iterator[None]:
    scene.sql(f"GRANT pg_monitor TO {PLATFORM}")
    with _replica(scene) as replica:
        replica.sql("SELECT pg_wal_replay_pause()")
        scene.sql(
            "CREATE TABLE probe_much AS SELECT repeat('x', 1000) FROM generate_series(1, 90000)"
        )
        while not scene.sql(
            "SELECT 1 FROM pg_stat_replication WHERE flush_lsn - replay_lsn > 80000000"
        ):
            pass
        try:
            yield
        finally:
            scene.sql("DROP TABLE probe_much", f"REVOKE pg_monitor FROM {PLATFORM}")
    shutil.rmtree(scene.folder / "replica")


@contextmanager
def _replica_unseen(scene: Scene) -> Iterator[None]:
    with _replica(scene):
        yield
    scene.sql(f"REVOKE pg_monitor FROM {PLATFORM}")
    shutil.rmtree(scene.folder / "replica")


@contextmanager
def _on_a_replica(scene: Scene) -> Iterator[None]:
    address = scene.environment["DATABASE_URL"]
    with _replica(scene) as replica:
        scene.environment["DATABASE_URL"] = replica.url
        yield
        scene.environment["DATABASE_URL"] = address
    shutil.rmtree(scene.folder / "replica")


@contextmanager
def _full_server(scene: Scene) -> Iterator[None]:
    """Another server, whose data folder is a small file system, which is full."""
    cluster = Cluster(scene.folder / "full", free_port(), max_wal_size="64MB", min_wal_size="32MB")
    cluster.data.mkdir(mode=0o700)
    os.chown(cluster.data, cluster.account.uid, cluster.account.gid)
    address = scene.environment["DATABASE_URL"]
    with small_disk(cluster.data, megabytes=160), running(cluster):
        cluster.make()
        # Whoever comes first into a database has it write a file, and would not come in.
        cluster.sql("CHECKPOINT", database=PLATFORM)
        fill(cluster.data)
        scene.environment["DATABASE_URL"] = cluster.url
        yield
        scene.environment["DATABASE_URL"] = address


@contextmanager
def _copied_to_a_small_disk(scene: Scene) -> Iterator[Path]:
    """The folder of the platform lies on a small file system."""
    before = Path(scene.environment["DATA_DIR"])
    folder = scene.folder / "small"
    folder.mkdir(mode=0o700)
    with small_disk(folder, megabytes=64):
        shutil.copytree(before, folder, dirs_exist_ok=True)
        scene.environment["DATA_DIR"] = str(folder)
        yield folder
        scene.environment["DATA_DIR"] = str(before)
    folder.rmdir()


@contextmanager
def _full_folder(scene: Scene) -> Iterator[None]:
    with _copied_to_a_small_disk(scene) as folder:
        fill(folder)
        yield


LONG = [
    Fault(
        what="a replica stands still and is behind",
        plant=_replica_behind,
        finding="replica-behind",
        names="walreceiver",
        helps="pg_wal_replay_resume",
    ),
    Fault(
        what="the role may not see how far a replica is behind",
        plant=_replica_unseen,
        finding="replica-unseen",
        names=PLATFORM,
        helps='GRANT pg_monitor TO "platform"',
        mended_by=STATEMENTS,
    ),
    Fault(
        what="the address is that of a replica",
        plant=_on_a_replica,
        finding="read-only",
        names="replica",
        helps="Name the primary",
    ),
    Fault(
        what="the disk of the server is full",
        plant=_full_server,
        finding="disk-full",
        names="No space left on device",
        helps="Make room",
        needs_mounts=True,
    ),
    Fault(
        what="the disk of the platform is full",
        plant=_full_folder,
        finding="disk",
        names="0 MB are free",
        helps="Make room",
        needs_mounts=True,
    ),
]


# --- SQLite ---------------------------------------------------------------------------------------
def _file(scene: Scene) -> Path:
    return Path(scene.environment["DATA_DIR"]) / "db.sqlite3"


def in_file(*statements: str, undo: str = "") -> Callable[[Scene], AbstractContextManager[object]]:
    """A fault that is statements in the file."""

    @contextmanager
    def plant(scene: Scene) -> Iterator[None]:
        with closing(sqlite3.connect(_file(scene), autocommit=True)) as database:
            for statement in statements:
                database.execute(statement)
        yield
        if undo:
            with closing(sqlite3.connect(_file(scene), autocommit=True)) as database:
                database.execute(undo)

    return plant


@contextmanager
def _damaged(scene: Scene) -> Iterator[None]:
    path = _file(scene)
    before = path.read_bytes()
    damaged = bytearray(before)
    middle = len(damaged) // 2 // 4096 * 4096
    damaged[middle : middle + 10 * 4096] = b"\xff" * 10 * 4096
    path.write_bytes(damaged)
    yield
    for one in path.parent.glob("db.sqlite3-*"):
        one.unlink()
    path.write_bytes(before)


@contextmanager
def _nearly_full_disk_of_file(scene: Scene) -> Iterator[None]:
    with _copied_to_a_small_disk(scene):
        yield


@contextmanager
def _read_only_disk_of_file(scene: Scene) -> Iterator[None]:
    with _copied_to_a_small_disk(scene) as folder:
        read_only(folder, yes=True)
        yield
        read_only(folder, yes=False)


OF_FILES = [
    Fault(
        what="the favorites table is gone",
        plant=in_file("DROP TABLE favorites_favorite"),
        finding="missing-table",
        names="favorites_favorite",
        helps='CREATE TABLE "favorites_favorite" (',
        mended_by=FIX,
    ),
    Fault(
        what="an index is gone",
        plant=in_file("DROP INDEX draw_of_the_day"),
        finding="missing-index",
        names="draw_of_the_day",
        helps="CREATE INDEX",
        mended_by=FIX,
    ),
    Fault(
        what="a trigger is gone: points could be altered",
        plant=in_file("DROP TRIGGER accounts_pointsentry_no_update"),
        finding="missing-trigger",
        names="accounts_pointsentry_no_update",
        helps="CREATE TRIGGER",
        mended_by=FIX,
    ),
    Fault(
        what="a column is there that nobody knows",
        plant=in_file(
            "ALTER TABLE favorites_favorite ADD remark text",
            undo="ALTER TABLE favorites_favorite DROP remark",
        ),
        finding="unknown-column",
        names="remark",
        helps="drop it by hand",
    ),
    Fault(
        what="the file is damaged",
        plant=_damaged,
        finding="damaged",
        helps="restore the last backup",
        is_together=False,
    ),
    Fault(
        what="the disk is nearly full",
        plant=_nearly_full_disk_of_file,
        finding="disk",
        names="MB are free",
        helps="Make room",
        needs_mounts=True,
    ),
    Fault(
        what="the disk is full",
        plant=_full_folder,
        finding="disk",
        names="0 MB are free",
        helps="Make room",
        needs_mounts=True,
    ),
    Fault(
        what="nothing can be written",
        plant=_read_only_disk_of_file,
        finding="read-only",
        names="cannot be written to",
        helps="chown",
        needs_mounts=True,
    ),
]


# --- The drill ------------------------------------------------------------------------------------
@dataclass
class Tally:
    """What came of the faults so far."""

    say: Say
    found: int = 0
    mended: dict[str, int] = field(default_factory=lambda: dict.fromkeys((FIX, STATEMENTS), 0))
    missed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def miss(self, fault: Fault, why: str) -> None:
        self.missed.append(fault.what)
        self.say(f"| {fault.what} | **missed** | {why} |")


def drill(*, small: bool, say: Say) -> None:
    tally = Tally(say)
    say("| planted | found as | mended by |")
    say("|---|---|---|")
    with clusters() as folder:
        _on_postgresql(folder, tally, small=small)
        if not small:
            _on_sqlite(folder, tally)
    say("")
    if tally.left_out:
        say(f"not tried, since nothing can be mounted here: {'; '.join(tally.left_out)}")
    say(
        f"{tally.found} faults found, {tally.mended[FIX]} of them mended by --fix, "
        f"{tally.mended[STATEMENTS]} by the printed statements; missed: {len(tally.missed)}"
    )
    if tally.missed:
        raise DidNotHold("; ".join(tally.missed))


def _environment(folder: Path, database_url: str) -> dict[str, str]:
    data = folder / ("data" if database_url else "data-of-sqlite")
    data.mkdir(mode=0o700)
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": "",
        "DATA_DIR": str(data),
        "LANGUAGE_CODE": "en",
        "DEBUG": "1",
        # What is free on the machine of the drill is nobody's business but that of its small disks.
        "LEAST_FREE_DISK_MB": "100",
    }


def _migrate(scene: Scene) -> None:
    made = manage("migrate", "--verbosity=0", environment=scene.environment)
    assert made.returncode == 0, made.stderr
    if said := _bad(scene.diagnose()):
        raise DidNotHold(f"with nothing planted it says {said}")


def _on_postgresql(folder: Path, tally: Tally, *, small: bool) -> None:
    cluster = Cluster(
        folder / "postgresql",
        free_port(),
        max_connections=CONNECTIONS,
        autovacuum="off",
        **FORGETFUL,
    )
    with running(cluster):
        cluster.make()
        scene = Scene(folder=folder, environment=_environment(folder, cluster.url), cluster=cluster)
        _migrate(scene)
        faults = [*FAULTS, *OTHERS]
        if small:
            tally.say("| *all at once* | | |")
            _try(scene, [one for one in faults if one.is_together], tally)
            faults = [one for one in faults if one.is_small and not one.is_together]
        for one in faults if small else [*faults, *LONG]:
            _try(scene, [one], tally)
        _is_well_again(scene)


def _on_sqlite(folder: Path, tally: Tally) -> None:
    tally.say("| *on SQLite* | | |")
    scene = Scene(folder=folder, environment=_environment(folder, ""))
    _migrate(scene)
    for one in OF_FILES:
        _try(scene, [one], tally)
    _is_well_again(scene)


def _is_well_again(scene: Scene) -> None:
    scene.more = ()
    if said := _bad(scene.diagnose()):
        raise DidNotHold(f"after everything was mended it says {said}")


def _try(scene: Scene, faults: list[Fault], tally: Tally) -> None:
    """Plant them, look whether they are found and who mends them, and take them away."""
    if any(one.needs_mounts for one in faults) and not may_mount():
        tally.left_out += [one.what for one in faults]
        return
    scene.more = faults[0].more
    with ExitStack() as planted:
        for one in faults:
            planted.enter_context(one.plant(scene))
        said = scene.diagnose()
        found = [one for one in faults if _is_found(one, said, tally)]
        tally.found += len(found)
        by_fix = [one for one in found if one.mended_by == FIX]
        by_statements = [one for one in found if one.mended_by == STATEMENTS]
        if by_statements:
            _run_statements(scene, [_finding(one, said) for one in by_statements])
        after = said
        if by_fix:
            after = scene.diagnose("--fix")
            if failed := [one for one in after["mended"] if one["error"]]:
                tally.missed.append(f"--fix failed at {failed}")
        elif by_statements:
            after = scene.diagnose()
        for one in found:
            is_left = _finding(one, after) is not None
            if one in by_fix or one in by_statements:
                if is_left:
                    tally.miss(one, f"{one.mended_by} did not mend it")
                    continue
                tally.mended[one.mended_by] += 1
            elif not is_left:
                tally.miss(one, "it went away by itself")
                continue
            tally.say(f"| {one.what} | {one.finding} | {one.mended_by} |")


def _finding(fault: Fault, said: dict[str, Any]) -> dict[str, Any] | None:
    found: list[dict[str, Any]] = [
        one
        for one in said["findings"]
        if one["name"] == fault.finding
        and fault.names in one["reason"]
        and one["severity"] != "good"
    ]
    return next(iter(found), None)


def _is_found(fault: Fault, said: dict[str, Any], tally: Tally) -> bool:
    one = _finding(fault, said)
    if one is None:
        tally.miss(fault, f"it says {_named(said)}")
    elif fault.helps not in one["remedy"] + "\n".join(one["statements"]) or not one["remedy"]:
        tally.miss(fault, f"the remedy is {one['remedy']} {one['statements']}")
    elif one["can_be_fixed"] != (fault.mended_by == FIX):
        tally.miss(fault, f"it says of --fix {one['can_be_fixed']}")
    else:
        return True
    return False


def _named(said: dict[str, Any]) -> str:
    return _bad(said) or "nothing"


def _bad(said: dict[str, Any]) -> str:
    """What is wrong; how fast a machine answers that does much else is not the drill's."""
    return "; ".join(
        f"{one['name']} ({one['reason']})"
        for one in said["findings"]
        if one["severity"] != "good" and one["name"] != "slow-connection"
    )


def _run_statements(scene: Scene, findings: list[dict[str, Any] | None]) -> None:
    """As the superuser, who was told to."""
    for one in findings:
        assert one is not None
        scene.sql(*one["statements"])
