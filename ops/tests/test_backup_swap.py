"""A restored file becomes the live one when nobody has that open, in one step, whatever happens."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest
from django.utils import translation

from ops.backups import sqlite_swap
from ops.backups.errors import BackupRefused
from ops.backups.sqlite_files import count_rows, opened
from ops.backups.sqlite_pages import PagesEngine
from ops.tests import backup_links as links

ROWS = 40_000  # some megabytes, more than SQLite keeps in memory before it writes


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


def connect(path):
    connection = sqlite3.connect(path, timeout=20, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def make(path, memo):
    path.parent.mkdir(exist_ok=True)
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, memo TEXT)")
        connection.execute("BEGIN")
        rows = ((f"{memo} {number} ".ljust(150, "."),) for number in range(ROWS))
        connection.executemany("INSERT INTO entry (memo) VALUES (?)", rows)
        connection.execute("COMMIT")
    return path


def state_of(path):
    """Which of the two a file is: all of its rows are, and SQLite finds nothing wrong."""
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = connection.execute(
            "SELECT substr(memo, 1, 3), count(*) FROM entry GROUP BY 1"
        ).fetchall()
    ((memo, count),) = found
    assert count == ROWS
    return memo


@pytest.fixture
def live(tmp_path):
    return make(tmp_path / "live" / "db.sqlite3", "old")


@pytest.fixture
def restored(tmp_path):
    return make(tmp_path / "side" / "restored.sqlite3", "new")


@pytest.fixture
def kept(live):
    return live.with_name("kept.sqlite3")


OPEN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("SELECT count(*) FROM entry").fetchone()
print("open", flush=True)
sys.stdin.read()
"""


@contextmanager
def somebody(live):
    """Another process that has looked at the file, and does nothing now."""
    with subprocess.Popen(
        [sys.executable, "-c", OPEN, str(live)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.stdin.close()


def test_the_restored_state_is_the_live_one_and_the_old_one_is_kept(live, restored, kept):
    inode = live.stat().st_ino
    sqlite_swap.swap(live, restored, keep_as=kept)
    assert (state_of(live), state_of(kept), state_of(restored)) == ("new", "old", "new")
    assert live.stat().st_ino == inode
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with closing(sqlite3.connect(live)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert sorted(path.name for path in live.parent.iterdir()) == ["db.sqlite3", "kept.sqlite3"]


def test_it_is_refused_while_another_process_has_the_file_open(live, restored, kept):
    with somebody(live) as process:
        with pytest.raises(BackupRefused, match=r"stop the server and its workers") as refused:
            sqlite_swap.swap(live, restored, keep_as=kept)
        if sqlite_swap.LOCKS.exists():
            assert f"in use by process {process.pid}:" in str(refused.value)
        assert not kept.exists()
        assert state_of(live) == "old"
        with closing(sqlite3.connect(live)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    sqlite_swap.swap(live, restored, keep_as=kept)
    assert state_of(live) == "new"


def test_it_is_refused_where_the_system_says_nothing_of_locks(
    live, restored, kept, tmp_path, monkeypatch
):
    for told in (tmp_path / "nowhere", tmp_path / "nothing"):
        monkeypatch.setattr(sqlite_swap, "LOCKS", told)
        (tmp_path / "nothing").touch()
        with (
            somebody(live),
            pytest.raises(BackupRefused, match=r"db.sqlite3 is in use: stop the server"),
        ):
            sqlite_swap.swap(live, restored, keep_as=kept)
    assert state_of(live) == "old"


def test_whoever_opens_it_meanwhile_waits_and_sees_the_new_one(live, restored):
    with closing(sqlite3.connect(live, timeout=0, isolation_level=None)) as late:
        with opened(live, "rw") as connection, sqlite_swap._alone(connection, live):
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                late.execute("SELECT count(*) FROM entry")
            with opened(restored, "ro") as source:
                source.backup(connection)
        assert late.execute("SELECT substr(memo, 1, 3) FROM entry LIMIT 1").fetchone() == ("new",)


def test_renaming_would_mix_the_old_one_into_it(live, restored):
    """The twin: whoever had opened the old file writes its pages into the -wal of that name."""
    with closing(sqlite3.connect(live, isolation_level=None)) as late:
        os.replace(restored, live)
        late.execute("INSERT INTO entry (memo) VALUES ('late')")
    with closing(sqlite3.connect(live)) as connection:
        found = connection.execute("SELECT DISTINCT substr(memo, 1, 3) FROM entry").fetchall()
    assert {("old",), ("new",)} < set(found)


def test_the_name_for_the_old_state_has_to_be_free(live, restored, kept):
    kept.write_text("of somebody")
    with pytest.raises(BackupRefused, match=r"kept.sqlite3 exists already"):
        sqlite_swap.swap(live, restored, keep_as=kept)
    assert kept.read_text() == "of somebody"
    assert state_of(live) == "old"


def test_a_name_that_cannot_be_given_leaves_the_live_one(live, restored):
    nowhere = live.parent / "nowhere" / "kept"
    with pytest.raises(BackupRefused, match=r"cannot be kept as .*nowhere/kept: No such file"):
        sqlite_swap.swap(live, restored, keep_as=nowhere)
    assert state_of(live) == "old"
    assert [path.name for path in live.parent.iterdir()] == [live.name]


def test_a_name_that_is_taken_meanwhile_stays_whose_it_is(live, restored, kept, monkeypatch):
    def link(_draft, target):
        target.write_text("of somebody")
        raise FileExistsError(target)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(BackupRefused, match=r"kept.sqlite3 exists already"):
        sqlite_swap.swap(live, restored, keep_as=kept)
    assert kept.read_text() == "of somebody"
    assert state_of(live) == "old"


def test_where_there_is_no_live_file_yet_it_is_made(restored, tmp_path):
    live, kept = tmp_path / "db.sqlite3", tmp_path / "kept"
    sqlite_swap.swap(live, restored, keep_as=kept)
    assert state_of(live) == "new"
    assert stat.S_IMODE(live.stat().st_mode) == 0o600
    with closing(sqlite3.connect(kept)) as connection:
        assert count_rows(connection) == {}


def test_a_live_file_that_is_no_database_is_left_to_people(live, restored, kept):
    live.write_bytes(b"no database " * 1000)
    with pytest.raises(BackupRefused, match=r"no database any more .* move it and its -wal away"):
        sqlite_swap.swap(live, restored, keep_as=kept)
    assert live.read_bytes() == b"no database " * 1000
    assert not kept.exists()


def test_what_sqlite_cannot_open_is_refused_in_its_words(live, restored, kept):
    live.unlink()
    live.mkdir()
    with pytest.raises(BackupRefused, match=r"SQLite refuses .*: unable to open database file"):
        sqlite_swap.swap(live, restored, keep_as=kept)


def test_a_live_file_that_cannot_be_written_is_refused_in_sqlites_words(live, restored, kept):
    """Neither busy nor broken: what SQLite says is said."""
    live.with_name("db.sqlite3-journal").mkdir()
    with pytest.raises(BackupRefused, match=r"SQLite refuses .*db.sqlite3: "):
        sqlite_swap.swap(live, restored, keep_as=kept)
    assert not kept.exists()


def test_a_restored_file_that_cannot_be_read_leaves_the_live_one(live, restored, kept):
    restored.write_bytes(b"no database " * 1000)
    with pytest.raises(BackupRefused, match=r"restored.sqlite3.* live database is what it was"):
        sqlite_swap.swap(live, restored, keep_as=kept)
    assert (state_of(live), state_of(kept)) == ("old", "old")


# --- Killed ---------------------------------------------------------------------------------------
# Copies go in small steps, and the process kills itself after so many of them.
KILLED = """
import os, pathlib, signal, sqlite3, sys
import django
django.setup()
from ops.backups import sqlite_swap

live, restored, kept, which, left = sys.argv[1:]
copies, left = [], int(left)

class Dying(sqlite3.Connection):
    def backup(self, target, **options):
        copies.append(self)
        steps = []
        def after_a_step(*_told):
            steps.append(1)
            if len(copies) == int(which) and len(steps) == left:
                os.kill(os.getpid(), signal.SIGKILL)
        super().backup(target, pages=200, sleep=0, progress=after_a_step)

connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Dying, **options)
sqlite_swap.swap(pathlib.Path(live), pathlib.Path(restored), keep_as=pathlib.Path(kept))
if which == "3":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _has_hot_journal(path):
    """Whether SQLite has something to take back: a journal that begins with its magic number."""
    journal = path.with_name(f"{path.name}-journal")
    return journal.exists() and journal.read_bytes()[:8] == bytes.fromhex("d9d505f920a163d7")


@pytest.mark.parametrize(
    ("copy", "steps", "state", "is_kept", "is_half_done"),
    [
        (1, 1, "old", False, False),  # while the old state is kept
        (1, 5, "old", False, False),
        (2, 1, "old", True, False),  # while the new one comes in, and is in memory yet
        (2, 4, "old", True, True),
        (2, 7, "old", True, True),
        (3, 0, "new", True, False),  # right after
    ],
)
def test_killed_at_any_moment_it_is_the_old_or_the_new_one(
    live, restored, kept, copy, steps, state, is_kept, is_half_done
):
    before = live.read_bytes()
    killed = subprocess.run(
        [
            *(sys.executable, "-c", KILLED),
            *map(str, (live, restored, kept, copy, steps)),
        ],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert _has_hot_journal(live) is is_half_done
    if copy == 2 and steps > 1:
        assert live.read_bytes() != before  # the new one is half there, until somebody looks
    assert state_of(live) == state
    assert kept.exists() is is_kept
    assert not is_kept or state_of(kept) == "old"
    engine = PagesEngine(live=live)
    assert engine.remove_remains() == (0 if is_kept else 1)
    assert engine.remove_remains() == 0
    sqlite_swap.swap(live, restored, keep_as=live.with_name("again"))
    assert state_of(live) == "new"


# --- By the engine --------------------------------------------------------------------------------
def test_a_backup_becomes_the_live_database(live, tmp_path):
    """Our own connections are let go of first; what was changed in the restored one comes along."""
    own = connect(live)
    own.execute("SELECT count(*) FROM entry").fetchone()
    engine = PagesEngine(live=live, let_go=own.close)
    full = links.store(engine, tmp_path)
    own.execute("DELETE FROM entry WHERE id > 5")
    with engine.restored([full], scratch=tmp_path) as restored:
        with closing(connect(restored.path)) as connection:
            connection.execute("INSERT INTO entry (memo) VALUES ('after the restore')")
        where = restored.become_live(keep_as="before.sqlite3")
    assert where == f"the file {live.with_name('before.sqlite3')}"
    with closing(sqlite3.connect(live)) as connection:
        assert connection.execute("SELECT count(*) FROM entry").fetchone() == (ROWS + 1,)
    with closing(sqlite3.connect(live.with_name("before.sqlite3"))) as connection:
        assert connection.execute("SELECT count(*) FROM entry").fetchone() == (5,)
