"""What changed of a ledger is kept, and little more; without one link of a chain nothing lives.

A table like a ledger, with hashes that nothing compresses and an index by person, on PostgreSQL and
on SQLite: as many rows as one in a hundred are appended, then one page in a hundred of the table's
is changed, then as many rows anywhere. Each time an increment is stored as a backup is, compressed
and encrypted, and compared with the full one.
"""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from bench.drills import DidNotHold, Say
from bench.drills._pages import Kept, keep, live, platform, restored, settings_of_its_own
from bench.drills.cluster import PLATFORM, Cluster, clusters

if TYPE_CHECKING:  # it wants Django's settings
    from ops.backups.postgresql_pages import PagesEngine

MOST = 0.05  # of a full backup
ROWS, ROWS_SMALL = 2_000_000, 150_000
PEOPLE = 20_000
SHARE = 100  # one in so many is changed

TABLE = """
    CREATE TABLE entry (
        id bigserial PRIMARY KEY, person_id int NOT NULL, amount int NOT NULL,
        made_at timestamptz NOT NULL DEFAULT now(), hash bytea NOT NULL
    ) WITH (fillfactor = 90)
"""
APPEND = """
    INSERT INTO entry (person_id, amount, hash)
    SELECT (random() * %(people)s)::int, (random() * 100)::int, sha256((random()::text || n)::bytea)
    FROM generate_series(1, %(rows)s) AS n
"""
# Some rows on each of so many pages that lie side by side. A page has room for them, so that no
# other one changes.
PAGES = """
    UPDATE entry SET amount = amount + 1
    WHERE ctid >= '(1000,0)'::tid AND ctid < ('(' || 1000 + %(pages)s || ',0)')::tid
    AND id %% 20 = 0
"""
SCATTERED = f"UPDATE entry SET amount = amount + 1 WHERE id %% {SHARE} = 0"  # noqa: S608

SUM = "SELECT ARRAY[count(*), sum(amount), sum(hashtext(hash::text))] FROM entry"


def drill(*, small: bool, say: Say) -> None:
    rows = ROWS_SMALL if small else ROWS
    with settings_of_its_own():
        with platform(summarize_wal="on") as (folder, cluster):
            _make_ledger(cluster, rows)
            _keep_changes(folder, cluster, say)
        with clusters() as folder:
            _on_sqlite(folder, rows, say)


def _make_ledger(cluster: Cluster, rows: int) -> None:
    _run(cluster, TABLE)
    # Vacuum would mark pages when it likes; here only what is said to change does.
    _run(cluster, "ALTER TABLE entry SET (autovacuum_enabled = off)")
    _run(cluster, APPEND, rows=rows, people=PEOPLE)
    _run(cluster, "CREATE INDEX entry_of_person ON entry (person_id, id)")
    cluster.sql("VACUUM (FREEZE, ANALYZE)", database=PLATFORM)


def _keep_changes(folder: Path, cluster: Cluster, say: Say) -> None:
    from ops.backups.postgresql_pages import PagesEngine
    from ops.models.backups import BackupKind

    ((rows, pages),) = cluster.sql(
        "SELECT count(*), pg_relation_size('entry') / 8192 FROM entry", database=PLATFORM
    )
    engine = PagesEngine(parameters=live(cluster))
    chain = [keep(engine, BackupKind.FULL, folder)]
    say(f"{_told('Full', chain[0])}: {rows:,} rows, {pages:,} pages of the table")

    appended = rows // SHARE
    few, all_of_them = PEOPLE // SHARE, PEOPLE
    changes: list[tuple[str, str, int, float | None]] = [
        (f"{appended:,} rows appended, of {few:,} people", APPEND, few, MOST),
        (f"{pages // SHARE:,} pages changed, 1 % of the table's", PAGES, 0, MOST),
        # The table grows at its end, but an index by people everywhere.
        (f"{appended:,} rows appended, of {all_of_them:,} people", APPEND, all_of_them, None),
        (f"{appended:,} scattered rows changed", SCATTERED, 0, None),
    ]
    for what, statement, people, most in changes:
        _run(cluster, statement, rows=appended, pages=pages // SHARE, people=people)
        chain.append(keep(engine, BackupKind.INCREMENTAL, folder, parent=chain[-1]))
        _compare(what, chain, most=most, say=say)

    wanted = cluster.sql(SUM, database=PLATFORM)
    begun = time.monotonic()
    with restored(engine, chain, folder) as ask:
        found = ask(SUM)
    say(f"All {len(chain)} links restored in {time.monotonic() - begun:.1f} s")
    if found != wanted:
        raise DidNotHold(f"Restored is {found}, live is {wanted}.")
    for missing in chain[:-1]:
        _check_refusal(engine, chain, folder, missing=missing)
    say(f"Without any one of {len(chain) - 1} links: refused, and the link named")


def _on_sqlite(folder: Path, rows: int, say: Say) -> None:
    from ops.backups.errors import BackupRefused
    from ops.backups.sqlite_pages import PagesEngine
    from ops.models.backups import BackupKind

    file = folder / "db.sqlite3"
    engine = PagesEngine(live=file, let_go=lambda: None)
    with closing(sqlite3.connect(file, autocommit=True)) as database:
        database.executescript(TABLE_OF_SQLITE)
        _append(database, rows, people=PEOPLE)
        chain = [keep(engine, BackupKind.FULL, folder)]
        pages = chain[0].manifest.facts["pages"]
        say(f"SQLite, {_told('full', chain[0])}: {rows:,} rows, {pages:,} pages")
        appended, few = rows // SHARE, PEOPLE // SHARE
        first = rows // 2
        changes: list[tuple[str, Callable[[], object], float | None]] = [
            (
                f"{appended:,} rows appended, of {few:,} people",
                lambda: _append(database, appended, people=few),
                MOST,
            ),
            (
                f"{appended:,} rows that lie side by side changed: 1 % of the table's pages",
                lambda: database.execute(
                    "UPDATE entry SET amount = amount + 1 WHERE id BETWEEN ? AND ?",
                    [first, first + appended],
                ),
                MOST,
            ),
            (
                f"{appended:,} rows appended, of {PEOPLE:,} people",
                lambda: _append(database, appended, people=PEOPLE),
                None,
            ),
            (
                f"{appended:,} scattered rows changed",
                lambda: database.execute(
                    "UPDATE entry SET amount = amount + 1 WHERE id % ? = 0", [SHARE]
                ),
                None,
            ),
        ]
        for what, change, most in changes:
            change()
            chain.append(keep(engine, BackupKind.INCREMENTAL, folder, parent=chain[-1]))
            _compare(f"SQLite, {what}", chain, most=most, say=say)
        wanted = database.execute(SUM_OF_SQLITE).fetchone()
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        engine.restored(chain, scratch=Path(scratch)) as alive,
        closing(sqlite3.connect(alive.environment["SQLITE_FILE"])) as copy,
    ):
        if copy.execute(SUM_OF_SQLITE).fetchone() != wanted:
            raise DidNotHold("SQLite: restored is not what is database.")
    for missing in chain[:-1]:
        rest = [link for link in chain if link is not missing]
        try:
            with engine.restored(rest, scratch=folder):
                raise DidNotHold(f"SQLite: restored without {missing.manifest.id}.")
        except BackupRefused as refusal:
            if missing.manifest.id not in str(refusal):
                raise DidNotHold(f"SQLite: the link is not named: {refusal}") from None
    say(f"SQLite: restored from {len(chain)} links; without any one of them refused, and it named")


def _append(into: sqlite3.Connection, rows: int, *, people: int) -> None:
    into.execute(APPEND_OF_SQLITE, {"rows": rows, "people": people})


def _compare(what: str, chain: list[Kept], *, most: float | None, say: Say) -> None:
    share = chain[-1].size / chain[0].size
    promised = f" (promised: at most {most:.0%})" if most else ""
    say(f"{_told(what, chain[-1])}: {share:.1%} of the full one{promised}")
    if most and share > most:
        raise DidNotHold(f"{what}: {share:.1%} of a full backup")


TABLE_OF_SQLITE = """
    PRAGMA synchronous = OFF;
    CREATE TABLE entry (
        id integer PRIMARY KEY, person_id int NOT NULL, amount int NOT NULL,
        made_at text NOT NULL DEFAULT current_timestamp, hash blob NOT NULL
    );
    CREATE INDEX entry_of_person ON entry (person_id, id);
"""
APPEND_OF_SQLITE = """
    WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < :rows)
    INSERT INTO entry (person_id, amount, hash)
    SELECT abs(random()) % :people, abs(random()) % 100, randomblob(32) FROM number
"""
SUM_OF_SQLITE = "SELECT count(*), sum(amount), sum(unicode(hex(hash))) FROM entry"


def _check_refusal(
    engine: "PagesEngine", chain: list[Kept], folder: Path, *, missing: Kept
) -> None:
    from ops.backups.errors import BackupRefused

    try:
        with restored(engine, [link for link in chain if link is not missing], folder):
            raise DidNotHold(f"Restored without {missing.manifest.id}.")
    except BackupRefused as refusal:
        if missing.manifest.id not in str(refusal):
            raise DidNotHold(f"The link that is missing is not named: {refusal}") from None


def _run(cluster: Cluster, statement: str, **facts: int) -> None:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(statement, facts)


def _told(what: str, made: Kept) -> str:
    return f"{what}: {made.size / 2**20:,.1f} MiB in {made.manifest.seconds:.1f} s"
