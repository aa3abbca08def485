"""The WAL is received from before a backup on, taken away without holes, and read to a moment."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest

from ops.backups.errors import BackupRefused
from ops.backups.postgresql_pages import PagesEngine
from ops.backups.wal import WalReceiver
from ops.backups.wal_folder import reached
from ops.models.backups import BackupKind
from ops.tests.page_backups import FolderArchive, kept, own_server, rows_of

PIT = BackupKind.POINT_IN_TIME
PATIENCE = 60.0


@pytest.fixture(scope="module")
def server():
    with own_server() as lent:
        lent.run("CREATE TABLE entry (id serial PRIMARY KEY)")
        yield lent


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    return FolderArchive(folder)


@contextmanager
def receiving(receiver):
    """Let a receiver work in a thread until the block ends."""
    stop = threading.Event()
    worker = threading.Thread(target=receiver.receive, args=(stop,))
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_to_a_moment(server, archive, tmp_path):
    receiver = WalReceiver(
        cluster=server.cluster, folder=tmp_path / "wal", take=archive.take, every=0.1
    )
    engine = PagesEngine(cluster=server.cluster, archive=archive)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with receiving(receiver):
        wait_for(lambda: engine.refusal(PIT, parent=None) is None)
        made = kept(engine, PIT, scratch)
        server.run(*["INSERT INTO entry DEFAULT VALUES"] * 20)
        server.run("SELECT pg_switch_wal()")
        server.run(*["INSERT INTO entry DEFAULT VALUES"] * 20)
        times = dict(server.rows("SELECT id, pg_xact_commit_timestamp(xmin) FROM entry"))
        wait_for(lambda: (has := reached(archive)) and has.at > max(times.values()))
    chosen = times[30]
    with engine.restored([made], scratch=scratch, at=chosen) as alive:
        found = {one for (one,) in rows_of(alive, "SELECT id FROM entry")}
    assert found == {one for one, at in times.items() if at <= chosen}
    has = reached(archive)
    assert has is not None
    newest = has.at
    with engine.restored([made], scratch=scratch, at=newest) as alive:
        assert alive.count_rows() == {"entry": 40}
    with (
        pytest.raises(BackupRefused) as refused,
        engine.restored([made], scratch=scratch, at=newest + timedelta(seconds=1)),
    ):
        pass
    assert newest.isoformat() in str(refused.value)
