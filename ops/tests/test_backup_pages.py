"""PostgreSQL's pages are kept, all or those that changed, and live again beside the server."""

import pytest

from ops.backups.postgresql_pages import PagesEngine
from ops.models.backups import BackupKind
from ops.tests.page_backups import kept, own_server, rows_of

FULL, INCREMENTAL = BackupKind.FULL, BackupKind.INCREMENTAL


@pytest.fixture(scope="module")
def server():
    with own_server() as lent:
        lent.run(
            "CREATE TABLE entry AS "
            "SELECT n AS id, 'row ' || n AS text FROM generate_series(1, 1000) AS n"
        )
        yield lent


@pytest.fixture
def engine(server):
    return PagesEngine(cluster=server.cluster)


def test_a_full_backup_lives_again(engine, server, tmp_path):
    made = kept(engine, FULL, tmp_path)
    assert made.manifest.row_counts["entry"] == 1000
    assert made.manifest.row_counts_after == made.manifest.row_counts
    with engine.restored([made], scratch=tmp_path) as alive:
        assert alive.count_rows() == made.manifest.row_counts
        assert rows_of(alive, "SELECT text FROM entry WHERE id = 7") == [("row 7",)]


def test_increments_follow_one_another(engine, server, tmp_path):
    made = [kept(engine, FULL, tmp_path)]
    for _number in range(2):
        server.run("INSERT INTO entry VALUES (2000, 'later')")
        made.append(kept(engine, INCREMENTAL, tmp_path, parent=made[-1]))
    with engine.restored(made, scratch=tmp_path) as alive:
        assert alive.count_rows() == made[-1].manifest.row_counts
        assert rows_of(alive, "SELECT count(*) FROM entry WHERE text = 'later'") == [(2,)]
