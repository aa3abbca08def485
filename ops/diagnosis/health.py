"""How the database is doing: locks, long work, bloat, indexes, replicas, numbers that run out."""

from collections.abc import Callable, Iterator
from typing import Any

from django.db import DatabaseError, connection
from django.utils.translation import gettext as _

from ops.diagnosis.findings import Finding, Severity

PART = "health"
LOCK_WAITS_TOO_LONG = 5  # seconds
TRANSACTION_TOO_LONG = 300
STATEMENT_TOO_LONG = 30
SLOW_ON_AVERAGE = 0.5  # seconds, of pg_stat_statements
LARGE = 10_000_000  # bytes of an index that is worth a word
BLOATED = 0.2  # dead rows of all
FEW_ROWS = 10_000
MANY_SCANS = 1_000
LAGS = 30  # seconds
LAGS_BY = 64_000_000  # bytes of the log that a replica has not applied
NEARLY_ALL = 0.8  # of the numbers of a sequence, of transactions
OLD_TRANSACTIONS = 1_500_000_000  # the server stops at about 2,100,000,000


def look(*, longer_than: float | None = None) -> Iterator[Finding]:
    """Ask for everything that slows a database down or stops it.

    `longer_than`: seconds after which a wait, a transaction or a statement is told, instead of
    those of each. Raises DatabaseError.
    """
    looks = _ON_POSTGRESQL if connection.vendor == "postgresql" else _ON_SQLITE
    found = [finding for one in looks for finding in one()]
    if connection.vendor == "postgresql":
        found += [*_locks(longer_than), *_long_work(longer_than)]
    yield from found
    if not found:
        yield Finding(PART, "health", Severity.GOOD, _("Nothing slows it down"))


def _asked(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _warning(
    name: str, reason: str, remedy: str, *statements: str, is_safe: bool = False
) -> Finding:
    return Finding(PART, name, Severity.WARNING, reason, remedy, statements, is_safe)


def _error(name: str, reason: str, remedy: str, *statements: str) -> Finding:
    return Finding(PART, name, Severity.ERROR, reason, remedy, statements)


# --- PostgreSQL: who waits, and for whom -------------------------------------------------------
def _locks(longer_than: float | None) -> Iterator[Finding]:
    too_long = LOCK_WAITS_TOO_LONG if longer_than is None else longer_than
    for waiting, seconds, blockers in _asked(
        "SELECT a.pid, extract(epoch FROM clock_timestamp() - min(l.waitstart)), "
        "pg_blocking_pids(a.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE NOT l.granted AND a.datname = current_database() GROUP BY a.pid "
        "HAVING min(l.waitstart) < clock_timestamp() - make_interval(secs => %s)",
        too_long,
    ):
        held_by = blockers[0] if blockers else 0
        yield _error(
            "lock-held",
            _("Session %(waiting)d has waited for %(seconds)d s for a lock of session %(by)d.")
            % {"waiting": waiting, "seconds": seconds, "by": held_by},
            _("See what it does (pg_stat_activity), and if nobody needs it, end it."),
            f"SELECT pg_terminate_backend({held_by})",
        )


def _long_work(longer_than: float | None) -> Iterator[Finding]:
    transaction_too_long = TRANSACTION_TOO_LONG if longer_than is None else longer_than
    statement_too_long = STATEMENT_TOO_LONG if longer_than is None else longer_than
    for pid, state, in_transaction, in_statement in _asked(
        "SELECT pid, state, extract(epoch FROM clock_timestamp() - xact_start), "
        "extract(epoch FROM clock_timestamp() - query_start) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend' AND xact_start IS NOT NULL"
    ):
        remedy = _("See what it does (pg_stat_activity), and if nobody needs it, end it.")
        end = f"SELECT pg_terminate_backend({pid})"
        if in_transaction > transaction_too_long:
            yield _warning(
                "long-transaction",
                _("Session %(pid)d is in one transaction for %(seconds)d s (%(state)s).")
                % {"pid": pid, "seconds": in_transaction, "state": state},
                remedy,
                end,
            )
        elif state == "active" and in_statement > statement_too_long:
            yield _warning(
                "slow-query",
                _("Session %(pid)d works at one statement for %(seconds)d s.")
                % {"pid": pid, "seconds": in_statement},
                remedy,
                end,
            )


def _slow_on_average() -> Iterator[Finding]:
    """Where pg_stat_statements is there: it is an extension that not everybody has."""
    if _asked("SELECT to_regclass('pg_stat_statements')") == [(None,)]:
        return
    for query, calls, mean in _asked(
        "SELECT left(query, 300), calls, mean_exec_time / 1000 FROM pg_stat_statements s "
        "JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database() "
        "AND calls > 10 AND mean_exec_time > %s ORDER BY total_exec_time DESC LIMIT 10",
        SLOW_ON_AVERAGE * 1000,
    ):
        yield _warning(
            "slow-query",
            _("%(calls)d times %(seconds).1f s on average: %(query)s")
            % {"calls": calls, "seconds": mean, "query": query},
            _("Look at its plan (EXPLAIN ANALYZE): an index may be missing."),
        )


# --- PostgreSQL: tables and indexes -------------------------------------------------------------
def _bloat() -> Iterator[Finding]:
    for table, alive, dead in _asked(
        "SELECT relname, n_live_tup, n_dead_tup FROM pg_stat_user_tables "
        "WHERE schemaname = current_schema() AND n_dead_tup > %s "
        "AND n_dead_tup > %s * (n_live_tup + n_dead_tup) ORDER BY n_dead_tup DESC",
        FEW_ROWS,
        BLOATED,
    ):
        yield _warning(
            "bloat",
            _("%(table)s has %(dead)d dead rows beside %(alive)d living ones.")
            % {"table": table, "dead": dead, "alive": alive},
            _("This statement clears them away beside the work; look why autovacuum does not."),
            f"VACUUM (ANALYZE) {connection.ops.quote_name(table)}",
            is_safe=True,
        )


def _unused_indexes() -> Iterator[Finding]:
    for table, index, size in _asked(
        # As large as it was when it was last analyzed: pg_relation_size waits for locks.
        "SELECT s.relname, s.indexrelname, c.relpages * 8192::bigint "
        "FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid) "
        "JOIN pg_class c ON c.oid = s.indexrelid "
        "WHERE s.schemaname = current_schema() AND s.idx_scan = 0 AND NOT i.indisunique "
        "AND c.relpages * 8192::bigint > %s ORDER BY 3 DESC",
        LARGE,
    ):
        yield _warning(
            "unused-index",
            _("Nobody has asked by the index %(index)s of %(table)s: %(size)d MB.")
            % {"index": index, "table": table, "size": size // 1_000_000},
            _("If that stays so for a month, let a migration take it away."),
        )


def _missing_indexes() -> Iterator[Finding]:
    for table, scans, rows in _asked(
        "SELECT relname, seq_scan, seq_tup_read / seq_scan FROM pg_stat_user_tables "
        "WHERE schemaname = current_schema() AND seq_scan > %s AND n_live_tup > %s "
        "AND seq_tup_read / seq_scan > n_live_tup / 2 AND seq_scan > coalesce(idx_scan, 0) "
        "ORDER BY seq_tup_read DESC",
        MANY_SCANS,
        FEW_ROWS,
    ):
        yield _warning(
            "missing-index",
            _("%(table)s was read from end to end %(scans)d times, %(rows)d rows each.")
            % {"table": table, "scans": scans, "rows": rows},
            _("Find who asks (SLOW_QUERY_MS, pg_stat_statements): an index is missing."),
        )


# --- PostgreSQL: replicas, and numbers that run out ----------------------------------------------
def _replicas() -> Iterator[Finding]:
    for name, seconds, size in _asked(
        "SELECT application_name, coalesce(extract(epoch FROM replay_lag), 0), behind "
        "FROM (SELECT *, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() "
        "THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn) AS behind "
        "FROM pg_stat_replication) AS replicas "
        "WHERE replay_lag > make_interval(secs => %s) OR behind > %s",
        LAGS,
        LAGS_BY,
    ):
        yield _warning(
            "replica-behind",
            _("The replica %(name)s is %(seconds)d s and %(size)d MB behind.")
            % {"name": name, "seconds": seconds, "size": size // 1_000_000},
            _(
                "Look at its disk and network, for a long query that holds it up, and whether "
                "its replay was paused (pg_wal_replay_resume)."
            ),
        )
    # To others than pg_monitor the server shows that there is one, and nothing of it.
    for (name,) in _asked(
        "SELECT DISTINCT current_user FROM pg_stat_replication "
        "WHERE NOT pg_has_role('pg_read_all_stats', 'USAGE')"
    ):
        yield _warning(
            "replica-unseen",
            _("There is a replica, and %(role)s may not see how far it is behind.")
            % {"role": name},
            _("Run this as a superuser."),
            f"GRANT pg_monitor TO {connection.ops.quote_name(name)}",
        )
    for name, size in _asked(
        "SELECT slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) "
        "FROM pg_replication_slots WHERE NOT active AND NOT pg_is_in_recovery() "
        "AND restart_lsn IS NOT NULL"
    ):
        yield _warning(
            "slot-unused",
            _("Nobody reads the replication slot %(name)s, and %(size)d MB of WAL wait for it.")
            % {"name": name, "size": size // 1_000_000},
            _("Start what reads it, or drop it before the disk is full."),
            f"SELECT pg_drop_replication_slot('{name}')",
        )


def _numbers() -> Iterator[Finding]:
    for name, last, most in _asked(
        "SELECT sequencename, last_value, max_value FROM pg_sequences "
        "WHERE schemaname = current_schema() AND NOT cycle AND last_value > %s * max_value",
        NEARLY_ALL,
    ):
        yield _error(
            "sequence-end",
            _("The sequence %(name)s is at %(last)d of %(most)d.")
            % {"name": name, "last": last, "most": most},
            _("Let a migration make its column bigint before it ends."),
        )
    for (age,) in _asked(
        "SELECT age(datfrozenxid) FROM pg_database "
        "WHERE datname = current_database() AND age(datfrozenxid) > %s",
        OLD_TRANSACTIONS,
    ):
        yield _error(
            "transaction-ids",
            _("%(age)d transactions were not frozen: the server will refuse changes.")
            % {"age": age},
            _("Run this when there is little to do, and look why autovacuum does not."),
            "VACUUM (FREEZE)",
        )


# --- SQLite --------------------------------------------------------------------------------------
def is_damage(error: DatabaseError) -> bool:
    """Whether SQLite refused for what it found in its file."""
    return any(words in str(error) for words in ("disk image is malformed", "not a database"))


def damaged(said: str) -> Finding:
    """A file of SQLite that is not whole, in the words of SQLite."""
    return _error(
        "damaged",
        _("The file is damaged: %(said)s") % {"said": said},
        _("Stop the platform, keep the file, and restore the last backup."),
    )


def _file_is_whole() -> Iterator[Finding]:
    for (said,) in _asked("PRAGMA quick_check(10)"):
        if said != "ok":
            yield damaged(said)


def _references() -> Iterator[Finding]:
    found = _asked("PRAGMA foreign_key_check")
    if found:
        tables = ", ".join(sorted({str(row[0]) for row in found}))
        yield _error(
            "reference",
            _("%(count)d rows point to what is not there: %(tables)s")
            % {"count": len(found), "tables": tables},
            _("manage.py check_integrity names them."),
        )


def _free_pages() -> Iterator[Finding]:
    ((free,),) = _asked("PRAGMA freelist_count")
    ((pages,),) = _asked("PRAGMA page_count")
    if pages > FEW_ROWS and free > BLOATED * pages:
        yield _warning(
            "bloat",
            _("%(free)d of %(pages)d pages of the file are empty.")
            % {"free": free, "pages": pages},
            _("Run this while the platform does not run."),
            "VACUUM",
        )


type Looks = tuple[Callable[[], Iterator[Finding]], ...]

_ON_POSTGRESQL: Looks = (
    _slow_on_average,
    _bloat,
    _unused_indexes,
    _missing_indexes,
    _replicas,
    _numbers,
)
_ON_SQLITE: Looks = (_file_is_whole, _references, _free_pages)
