"""SQLite's file comes back as it was at one moment, from a full backup and what changed since."""

import errno
import hashlib
import os
import random
import sqlite3
import stat
import struct
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace

import pytest
from django.conf import settings
from django.db import connections
from django.utils import translation

from ops.backups.byte_stream import ByteStream, read_fully
from ops.backups.engine import Stored
from ops.backups.errors import BackupRefused
from ops.backups.sqlite_pages import PagesEngine, live_file
from ops.models.backups import BackupKind
from ops.tests import backup_links as links

ROWS = 20_000


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


def connect(path):
    connection = sqlite3.connect(path, timeout=20, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


@pytest.fixture
def live(tmp_path):
    """A database of some megabytes, whose rows are found by a column of chance as well."""
    path = tmp_path / "live" / "db.sqlite3"
    path.parent.mkdir()
    chance = random.Random(1)
    with closing(connect(path)) as connection:
        connection.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, hash TEXT, memo TEXT)")
        connection.execute('CREATE TABLE "odd ""name" (id INTEGER PRIMARY KEY AUTOINCREMENT)')
        connection.execute("BEGIN")
        add(connection, ROWS, chance)
        connection.execute("COMMIT")
    return path


def add(connection, count, chance):
    connection.executemany(
        "INSERT INTO entry (hash, memo) VALUES (?, ?)",
        ((chance.randbytes(32).hex(), "spent on something " * 8) for _ in range(count)),
    )


@pytest.fixture
def engine(live):
    return PagesEngine(live=live, let_go=lambda: None)


@pytest.fixture
def scratch(tmp_path):
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def change(live, statement, *parameters):
    with closing(connect(live)) as connection:
        connection.execute(statement, parameters)


def refuses(engine, chain, scratch, words):
    """A chain is refused in these words, and nothing is left of it."""
    before = sorted(scratch.iterdir())
    with pytest.raises(BackupRefused, match=words), engine.restored(chain, scratch=scratch):
        pass
    assert sorted(scratch.iterdir()) == before


def rows_of(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT id, hash, memo FROM entry ORDER BY id").fetchall()


# --- Full ones ------------------------------------------------------------------------------------
def test_a_full_backup_comes_back(engine, live, scratch):
    full = links.store(engine, scratch)
    assert full.manifest.row_counts == {"entry": ROWS, 'odd "name': 0}
    change(live, "DELETE FROM entry")
    with engine.restored([full], scratch=scratch) as restored:
        assert restored.count_rows() == full.manifest.row_counts
        assert restored.environment == {
            "DATABASE_URL": "",
            "DATABASE_URL_FILE": "",
            "SQLITE_FILE": str(restored.path),
        }
        assert stat.S_IMODE(restored.path.stat().st_mode) == 0o600
    assert not restored.path.exists()
    assert rows_of(live) == []


def test_counts_are_those_of_the_moment_while_somebody_writes(engine, live, scratch):
    """Each transaction of the writer adds a row to both tables: so have they to agree."""
    done, has_begun = threading.Event(), threading.Event()

    def write():
        with closing(connect(live)) as connection:
            while not done.is_set():
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO entry (memo) VALUES ('more')")
                connection.execute('INSERT INTO "odd ""name" DEFAULT VALUES')
                connection.execute("COMMIT")
                has_begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert has_begun.wait(30)
        kept = [links.store(engine, scratch, name=f"number {number}") for number in range(3)]
    finally:
        done.set()
        writer.join(30)
    for backup in kept:
        counts = backup.manifest.row_counts
        assert counts["entry"] - ROWS == counts['odd "name'] > 0
        with engine.restored([backup], scratch=scratch) as restored:
            assert restored.count_rows() == counts


def test_a_copy_is_for_its_owner_alone(engine, scratch):
    links.store(engine, scratch)
    (copy,) = (scratch / "of first").iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_damaged_live_database_is_no_backup(engine, live, scratch):
    change(live, "CREATE INDEX by_hash ON entry (hash)")
    with live.open("r+b") as file:
        file.seek(4096 * 30)
        file.write(bytes(4096 * 20))
    with pytest.raises(BackupRefused, match=r"live database .* is damaged"):
        links.store(engine, scratch)


def test_what_is_no_database_is_refused_with_its_name(engine, live, scratch):
    live.write_bytes(b"no database " * 1000)
    with pytest.raises(BackupRefused, match=r"SQLite refuses .*db.sqlite3: file is not a database"):
        links.store(engine, scratch)


# --- Increments -----------------------------------------------------------------------------------
@pytest.fixture
def full(engine, scratch):
    return links.store(engine, scratch)


def test_appended_rows_store_no_more_than_a_twentieth(engine, live, scratch, full):
    with closing(connect(live)) as connection:
        add(connection, ROWS // 100, random.Random(2))
    after = links.store(engine, scratch, parent=full, name="second")
    assert len(after.pieces["database"]) + len(after.pieces["pages"]) <= full.size / 20
    with engine.restored([full, after], scratch=scratch) as restored:
        assert restored.count_rows()["entry"] == ROWS + ROWS // 100
        assert rows_of(restored.path) == rows_of(live)


def test_one_page_in_a_hundred_stores_no_more_than_a_twentieth(engine, live, scratch, full):
    """Rows that lie together: as many as one page in a hundred has."""
    change(live, "UPDATE entry SET hash = upper(hash) WHERE id BETWEEN 900 AND 1099")
    after = links.store(engine, scratch, parent=full, name="second")
    assert 0 < after.manifest.facts["changed"] <= full.manifest.facts["pages"] / 50
    assert after.size <= full.size / 20
    with engine.restored([full, after], scratch=scratch) as restored:
        assert rows_of(restored.path) == rows_of(live)


def test_scattered_rows_store_a_page_each(engine, live, scratch, full, capsys):
    change(live, "UPDATE entry SET hash = upper(hash) WHERE id % 100 = 7")
    after = links.store(engine, scratch, parent=full, name="second")
    with capsys.disabled():
        print(f"\n1 % of the rows, scattered: {after.size / full.size:.0%} of a full backup")  # noqa: T201
    assert after.manifest.facts["changed"] >= ROWS // 100
    with engine.restored([full, after], scratch=scratch) as restored:
        assert rows_of(restored.path) == rows_of(live)


def test_a_chain_follows_the_file_as_it_grows_shrinks_and_stays(engine, live, scratch, full):
    chain = [full]
    for number, statement in enumerate(
        [
            "INSERT INTO entry (memo) SELECT memo FROM entry",
            "DELETE FROM entry WHERE id > 500",
            "VACUUM",
            "SELECT 1",
        ]
    ):
        change(live, statement)
        chain.append(links.store(engine, scratch, parent=chain[-1], name=f"number {number}"))
        with engine.restored(chain, scratch=scratch) as restored:
            assert rows_of(restored.path) == rows_of(live)
    assert chain[3].manifest.facts["pages"] < full.manifest.facts["pages"]
    assert chain[-1].manifest.facts["changed"] <= 1


def test_pages_of_another_size_are_all_new(engine, live, scratch, full):
    with closing(sqlite3.connect(live, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("VACUUM")
    after = links.store(engine, scratch, parent=full, name="second")
    assert after.manifest.facts["changed"] == after.manifest.facts["pages"]
    with engine.restored([full, after], scratch=scratch) as restored:
        assert rows_of(restored.path) == rows_of(live)


# --- Refusals -------------------------------------------------------------------------------------
def test_what_it_can_make(engine, full, tmp_path):
    assert engine.kinds() == [BackupKind.INCREMENTAL, BackupKind.FULL]
    assert engine.refusal(BackupKind.FULL, parent=None) is None
    assert engine.refusal(BackupKind.INCREMENTAL, parent=full.manifest) is None
    of_others = replace(full.manifest, engine="pg_dump")
    nowhere = PagesEngine(live=tmp_path / "nowhere")
    for one, kind, parent, words in [
        (engine, BackupKind.INCREMENTAL, None, "make a full one first"),
        (engine, BackupKind.INCREMENTAL, of_others, "first is no backup of SQLite"),
        (engine, BackupKind.POINT_IN_TIME, None, "only PostgreSQL"),
        (nowhere, BackupKind.FULL, None, "no database at"),
    ]:
        assert words in str(one.refusal(kind, parent=parent))


def test_what_it_cannot_make_it_does_not_begin(engine, scratch):
    with pytest.raises(BackupRefused, match="full one first"):
        engine.store(None, kind=BackupKind.INCREMENTAL, parent=None, scratch=scratch)
    assert list(scratch.iterdir()) == []


def test_it_goes_to_no_moment_between(engine, scratch, full):
    with (
        pytest.raises(BackupRefused, match="one moment"),
        engine.restored([full], scratch=scratch, at=links.MOMENT),
    ):
        pass


@pytest.fixture
def chain(engine, live, scratch, full):
    """A full one and three increments."""
    made = [full]
    for number in range(1, 4):
        change(live, "UPDATE entry SET memo = 'changed' WHERE id = ?", number * 1000)
        made.append(links.store(engine, scratch, parent=made[-1], name=f"link {number}"))
    return made


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (0, "first is missing, which link 1 follows"),
        (1, "link 1 is missing, which link 2 follows"),
        (2, "link 2 is missing, which link 3 follows"),
    ],
)
def test_a_link_that_is_missing_is_named(engine, scratch, chain, without, words):
    del chain[without]
    refuses(engine, chain, scratch, words)


def test_a_link_that_was_exchanged_is_named(engine, scratch, chain):
    other = replace(chain[1], manifest=replace(chain[1].manifest, seal="another"))
    refuses(engine, [chain[0], other, *chain[2:]], scratch, "link 1 was exchanged: .* link 2")


def test_a_full_one_does_not_follow(engine, scratch, chain):
    refuses(engine, [chain[0], chain[0]], scratch, "first is no part of this chain")


def test_a_piece_of_another_link_is_refused(engine, scratch, chain):
    chain[1] = replace(chain[1], pieces={})
    with pytest.raises(KeyError), engine.restored(chain, scratch=scratch):
        pass
    chain[1] = replace(chain[1], pieces=chain[2].pieces)
    refuses(engine, chain, scratch, "link 3 is not what was written")


def test_a_flipped_bit_is_refused(engine, scratch, chain):
    """Here nobody looks at the pieces before the engine does."""
    chance = random.Random(3)
    for number, link in enumerate(chain):
        size = len(link.pieces["database"])
        for at in {0, 5, 11, 12, 19, 20, size - 1, *(chance.randrange(size) for _ in range(10))}:
            # A page that a later link has as well comes from there.
            damaged = [*chain[:number], link.flipped("database", at)]
            refuses(engine, damaged, scratch, "is not what was written")


@pytest.mark.parametrize("left", [0, 5, 12 + 8, -1])
def test_an_increment_that_was_cut_off_is_refused(engine, scratch, chain, left):
    pieces = chain[3].pieces
    chain[3] = replace(chain[3], pieces={**pieces, "database": pieces["database"][:left]})
    refuses(engine, chain, scratch, "link 3 is not what was written")


def test_a_page_beyond_the_end_is_refused(engine, scratch, chain):
    content = bytearray(chain[3].pieces["database"])
    content[12:20] = struct.pack(">Q", 2**50)
    chain[3].pieces["database"] = bytes(content)
    refuses(engine, chain, scratch, "link 3 is not what was written")


def test_a_parent_without_its_pages_has_no_increment(engine, scratch, full):
    pieces = {**full.pieces, "pages": full.pieces["pages"][:-16]}
    with pytest.raises(BackupRefused, match="The pages of first are not what was written"):
        links.store(engine, scratch, parent=replace(full, pieces=pieces), name="second")


def test_what_was_damaged_before_it_was_written_is_refused(engine, live, scratch, full):
    """The checksum fits; SQLite says what does not."""
    content = bytearray(full.pieces["database"])
    content[4096 * 30 : 4096 * 50] = bytes(4096 * 20)
    live.with_name("damaged").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    stored = Stored(server_version="", row_counts={}, facts={"sha256": sha256})
    manifest = links.manifest_of(stored, kind=BackupKind.FULL, parent=None, name="damaged")
    damaged = links.Kept(manifest, {"database": bytes(content)})
    refuses(engine, [damaged], scratch, "database in damaged is damaged: ")


SHOW = """
from django.conf import settings
from django.db import connection
cursor = connection.cursor()
cursor.execute("SELECT count(*) FROM entry")
print(*cursor.fetchone(), settings.SEALS_DIR, settings.MEDIA_ROOT, settings.LOG_DIR)
print(settings.FIELD_ENCRYPTION_KEYS[0])
"""


def test_a_command_works_on_it_with_the_live_keys_seals_and_files(engine, scratch, full, tmp_path):
    data = tmp_path / "data"
    (data / "secrets").mkdir(parents=True)
    (data / "secrets" / "field_encryption_keys").write_text("k" * 40)
    inherited = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(data),
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing",
        **dict.fromkeys(("REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS", "HASH_KEYS"), ""),
        **dict.fromkeys(("FIELD_ENCRYPTION_KEYS", "TOKEN_KEYS", "SEAL_KEYS"), ""),
    }
    with engine.restored([full], scratch=scratch) as restored:
        finished = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", SHOW],
            cwd=settings.BASE_DIR,
            env={**inherited, **restored.environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert finished.returncode == 0, finished.stderr
    told, key = finished.stdout.strip().splitlines()[-2:]
    assert told.split() == [str(ROWS), *(str(data / name) for name in ("seals", "media", "logs"))]
    assert key == "k" * 40
    assert not (data / "db.sqlite3").exists()


# --- Staying --------------------------------------------------------------------------------------
def test_it_stays_as_another_file_beside_the_live_one(engine, live, scratch, full):
    with engine.restored([full], scratch=scratch) as restored:
        change(restored.path, "INSERT INTO entry (memo) VALUES ('after the restore')")
        restored.become("other.sqlite3")
    other = live.with_name("other.sqlite3")
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    assert rows_of(other) == [*rows_of(live), (ROWS + 1, None, "after the restore")]
    assert sorted(path.name for path in live.parent.glob("other*")) == ["other.sqlite3"]


def test_it_takes_nobodys_name(engine, live, scratch, full):
    taken = live.with_name("taken")
    taken.write_text("of somebody")
    with engine.restored([full], scratch=scratch) as restored:
        for name in ("taken", str(taken), live.name):
            with pytest.raises(BackupRefused, match="exists already"):
                restored.become(name)
        with pytest.raises(BackupRefused, match=r"nowhere/file cannot be written: No such file"):
            restored.become("nowhere/file")
    assert taken.read_text() == "of somebody"
    assert len(rows_of(live)) == ROWS


def test_it_goes_to_another_disk(engine, scratch, full, tmp_path, monkeypatch):
    def other_disk(*_paths):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", other_disk)
    target = tmp_path / "elsewhere"
    with engine.restored([full], scratch=scratch) as restored:
        restored.become(str(target))
        with pytest.raises(BackupRefused, match="exists already"):
            restored.become(str(target))
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert len(rows_of(target)) == ROWS


def test_a_copy_that_breaks_off_on_another_disk_leaves_nothing(
    engine, scratch, full, tmp_path, monkeypatch
):
    def no_link(*_paths):
        raise OSError(errno.EPERM, "no links here")

    def full_disk(*_descriptors):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "elsewhere"
    with engine.restored([full], scratch=scratch) as restored:
        monkeypatch.setattr(os, "link", no_link)
        monkeypatch.setattr("shutil.copyfile", full_disk)
        with pytest.raises(BackupRefused, match="cannot be written: No space left"):
            restored.become(str(target))
    assert not target.exists()


def test_the_live_file_is_the_one_of_the_settings():
    assert str(live_file()) == str(connections["default"].settings_dict["NAME"])


# --- Streams --------------------------------------------------------------------------------------
def test_parts_are_read_as_a_file_is():
    parts = [b"abc", b"", b"defgh"]
    assert ByteStream(parts).read() == b"abcdefgh"
    assert read_fully(ByteStream(parts), 5) == b"abcde"
    stream = ByteStream(parts)
    assert [stream.read(2), stream.read(2), stream.read(99), stream.read(1)] == [
        b"ab",
        b"c",
        b"defgh",
        b"",
    ]
    assert (stream.read(), stream.read(0)) == (b"", b"")
