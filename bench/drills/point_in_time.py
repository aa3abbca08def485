"""PostgreSQL is lost under load, and lives again to a moment: nothing before it is missing.

Two writers commit as fast as they can while their WAL is received and taken away, packed. Once the
server and the receiver are killed together, as when their machine is lost; once the server alone,
which waited for the receiver with each commit. Then the state of a chosen second is restored, and
compared with the moments at which the commits were made, commit by commit.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from bench.drills import DidNotHold, Say
from bench.drills._pages import Packed, keep, live, platform, restored, settings_of_its_own
from bench.drills.cluster import KILLED, PLATFORM, Cluster

LOST_AT_MOST = 5.0  # seconds of acknowledged commits
WRITERS = 2
LOAD, LOAD_SMALL = 20.0, 4.0  # seconds
PATIENCE = 60.0


class Load:
    """Writers who commit one row after another until the server is gone."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        # When each row was acknowledged, by the clock of this process.
        self.acknowledged: dict[int, float] = {}
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)
        ]
        self._stopped = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write until the block ends."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in self._threads:
                thread.join()

    def _write(self, number: int) -> None:
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(self.cluster.url, autocommit=True) as connection,
        ):
            while not self._stopped.is_set():
                row = connection.execute(
                    "INSERT INTO entry (writer) VALUES (%s) RETURNING id", [number]
                ).fetchone()
                assert row
                self.acknowledged[row[0]] = time.monotonic()


def drill(*, small: bool, say: Say) -> None:
    seconds = LOAD_SMALL if small else LOAD
    with settings_of_its_own():
        with platform(track_commit_timestamp="on") as (folder, cluster):
            _lose_a_machine(folder, cluster, say, seconds=seconds)
        with platform() as (folder, cluster):
            _lose_a_server(folder, cluster, say, seconds=seconds / 2)


def _lose_a_machine(folder: Path, cluster: Cluster, say: Say, *, seconds: float) -> None:
    from ops.backups.postgresql_pages import PagesEngine
    from ops.backups.wal_folder import NEWEST, reached
    from ops.models.backups import BackupKind

    _make_table(cluster)
    archive = Packed(folder / "archive")
    engine = PagesEngine(parameters=live(cluster), archives=archive)
    # Before there are threads: it is a process of its own, to be killed.
    receiver = _receiver(folder, cluster, archive)
    try:
        _wait_for(lambda: BackupKind.POINT_IN_TIME in engine.kinds())
        load = Load(cluster)
        with load.running():
            made = keep(engine, BackupKind.POINT_IN_TIME, folder)
            time.sleep(seconds)
            commits = _commits(cluster)
            killed_at = time.monotonic()
            cluster.stop(KILLED)
            os.killpg(receiver, signal.SIGKILL)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(receiver, signal.SIGKILL)
        os.waitpid(receiver, 0)

    begun = time.monotonic()
    with restored(engine, [made], folder, at=NEWEST) as ask:
        found = {one for (one,) in ask("SELECT id FROM entry")}
        took = time.monotonic() - begun
    lost = {one: at for one, at in load.acknowledged.items() if one not in found}
    behind = killed_at - min(lost.values(), default=killed_at)
    say(
        f"Server and receiver killed at once under load: {len(load.acknowledged):,} commits were "
        f"acknowledged, {len(lost):,} are lost, those of the last {behind:.2f} s "
        f"(promised: at most {LOST_AT_MOST:.0f} s); restored in {took:.1f} s."
    )
    if behind > LOST_AT_MOST:
        raise DidNotHold(f"{behind:.2f} s of acknowledged commits are lost.")

    has = reached(archive)
    assert has
    latest = max(at for at in commits.values() if at < has.at)
    second = latest.astimezone(UTC).replace(microsecond=0)
    begun = time.monotonic()
    with restored(engine, [made], folder, at=second) as ask:
        found = {one for (one,) in ask("SELECT id FROM entry WHERE writer = 0")}
        took = time.monotonic() - begun
    wanted = {one for one, at in commits.items() if at <= second}
    say(
        f"Restored to {second:%H:%M:%S}: {len(found & wanted):,} of {len(wanted):,} commits of one "
        f"writer until then, {len(found - wanted):,} of those after it; in {took:.1f} s."
    )
    if found != wanted:
        raise DidNotHold(f"To {second} differs by {len(found ^ wanted)} commits.")


def _lose_a_server(folder: Path, cluster: Cluster, say: Say, *, seconds: float) -> None:
    from ops.backups.postgresql_pages import PagesEngine
    from ops.backups.wal import SLOT, WalReceiver
    from ops.backups.wal_folder import NEWEST
    from ops.models.backups import BackupKind

    _make_table(cluster)
    archive = Packed(folder / "archive")
    engine = PagesEngine(parameters=live(cluster), archives=archive)
    receiver = WalReceiver(parameters=live(cluster), folder=folder / "wal", take=archive.take)
    stop = threading.Event()
    receiving = threading.Thread(target=receiver.receive, args=(stop,))
    receiving.start()
    try:
        _wait_for(lambda: BackupKind.POINT_IN_TIME in engine.kinds())
        cluster.sql(
            f"ALTER SYSTEM SET synchronous_standby_names = '{SLOT}'", "SELECT pg_reload_conf()"
        )
        standby = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        _wait_for(lambda: cluster.sql(standby))
        load = Load(cluster)
        with load.running():
            made = keep(engine, BackupKind.POINT_IN_TIME, folder)
            time.sleep(seconds)
            cluster.stop(KILLED)
    finally:
        stop.set()
        receiving.join()
    with restored(engine, [made], folder, at=NEWEST) as ask:
        found = {one for (one,) in ask("SELECT id FROM entry")}
    lost = load.acknowledged.keys() - found
    say(
        f"Server killed that waits for the receiver (synchronous_standby_names): "
        f"{len(load.acknowledged):,} commits were acknowledged, {len(lost):,} are lost."
    )
    if lost:
        raise DidNotHold(f"{len(lost)} acknowledged commits are lost.")


def _make_table(cluster: Cluster) -> None:
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE entry (id bigserial PRIMARY KEY, writer int NOT NULL)")


def _receiver(folder: Path, cluster: Cluster, archive: Packed) -> int:
    """A process that receives, and what it starts: a group of its own."""
    from ops.backups.wal import WalReceiver

    pid = os.fork()
    if not pid:
        os.setsid()
        try:
            WalReceiver(parameters=live(cluster), folder=folder / "wal", take=archive.take).receive(
                threading.Event()
            )
        finally:
            os._exit(1)
    return pid


def _wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise DidNotHold(f"It was waited for {PATIENCE:.0f} s, and never so.")
        time.sleep(0.05)


def _commits(cluster: Cluster) -> dict[int, datetime]:
    return dict(cluster.sql(_COMMITS, database=PLATFORM))


# Those of one writer: two who commit at once may be written down in another order than their
# moments, by some microseconds, and PostgreSQL ends at the first that is too late.
_COMMITS = "SELECT id, pg_xact_commit_timestamp(xmin) FROM entry WHERE writer = 0"
