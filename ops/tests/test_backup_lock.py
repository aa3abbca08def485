"""One command at a time works on the backups of a folder, and on those of a database."""

import pytest
from django.db import connection
from django.utils import translation

from ops.backups.errors import BackupRefused
from ops.backups.lock import NUMBER, alone


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


def test_a_second_command_in_the_same_folder_is_refused(tmp_path, db):
    with (
        alone(tmp_path),
        pytest.raises(BackupRefused, match="wait until it is done"),
        alone(tmp_path),
    ):
        raise AssertionError("the lock was held twice")
    with alone(tmp_path):
        pass


@pytest.mark.postgresql
def test_another_machine_with_the_same_database_is_refused(tmp_path, db):
    mine, others = tmp_path / "mine", tmp_path / "others"
    mine.mkdir()
    others.mkdir()
    with alone(mine), pytest.raises(BackupRefused, match="Another machine works"), alone(others):
        raise AssertionError("the lock was held twice")
    with alone(others):
        pass


@pytest.mark.postgresql
def test_whoever_loses_the_session_of_the_lock_ends_in_peace(tmp_path, db):
    """As a restore does, which ends all sessions of the database that it swaps."""
    find = (
        "SELECT pid FROM pg_locks JOIN pg_database AS held ON held.oid = pg_locks.database "
        "WHERE locktype = 'advisory' AND objid = %s AND granted AND datname = current_database()"
    )
    with alone(tmp_path), connection.cursor() as cursor:
        cursor.execute(find, [NUMBER & 0xFFFFFFFF])
        (found,) = cursor.fetchall()
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", found)
    with alone(tmp_path):
        pass


@pytest.mark.postgresql
def test_a_server_that_is_away_keeps_nobody_from_the_folder(tmp_path, db, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "HOST", str(tmp_path))  # no socket is there
    with alone(tmp_path), pytest.raises(BackupRefused, match="in "), alone(tmp_path):
        raise AssertionError("the lock was held twice")
