"""A backup is whole in each of its places, or was not made and says why."""

import errno
import io
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest
from django.core.files.storage import InMemoryStorage
from django.utils import translation

from ops.backups import reading
from ops.backups.engine import Stored
from ops.backups.errors import BackupRefused
from ops.backups.lock import FILE, alone
from ops.backups.making import Wanted, make
from ops.backups.places import WORK, Bucket, Folder
from ops.models import Backup, BackupKind, BackupTrigger, OperationalEvent, RunStatus

pytestmark = pytest.mark.django_db
CONTENT = b"a row of points\n" * 1000


class Notebook:
    """The smallest engine: a database that is one text, kept whole or by what was added."""

    name: ClassVar[str] = "notebook"

    def __init__(self, content=CONTENT):
        self.content = content
        self.scratch = Path()
        self.remains = 0

    def kinds(self):
        return [BackupKind.FULL, BackupKind.INCREMENTAL]

    def refusal(self, kind, *, parent):
        return "No point in time here." if kind == BackupKind.POINT_IN_TIME else None

    def store(self, put, *, kind, parent, scratch):
        self.scratch = scratch
        assert list(scratch.iterdir()) == []
        content = self.content
        if parent:
            with parent.reading("database") as before:
                content = content.removeprefix(before.read())
        put("database", io.BytesIO(content))
        lines = self.content.count(b"\n")
        return Stored(
            server_version="notebook 1",
            row_counts={"lines": lines},
            row_counts_after={"lines": lines} if parent else None,
            facts={"bytes": len(self.content)},
        )

    def restored(self, chain, *, scratch, at=None):
        raise NotImplementedError

    def check_name(self, name):
        raise NotImplementedError

    def check_live(self):
        raise NotImplementedError

    def remove_remains(self):
        self.remains += 1
        return 0


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


@pytest.fixture
def root(tmp_path):
    return tmp_path / "backups"


@pytest.fixture
def folder(root):
    return Folder(root)


def told():
    return list(OperationalEvent.objects.order_by("pk").values_list("kind", flat=True))


FULL = Wanted(kind=BackupKind.FULL, trigger=BackupTrigger.HAND)


def test_a_backup_is_kept_in_every_place_and_written_down(root, folder, settings):
    settings.VERSION = "1.2.3"
    bucket, engine = Bucket(InMemoryStorage(), name="s3://backups"), Notebook()
    manifest = make(engine=engine, root=root, places=[folder, bucket], wanted=FULL)
    for place in (folder, bucket):
        found = reading.find(place, manifest.id)
        found.verify()
        assert found.manifest == manifest
        with found.reading("database") as plain:
            assert plain.read() == CONTENT
    row = Backup.objects.get()
    assert (row.identifier, row.status, row.engine) == (
        manifest.id,
        RunStatus.SUCCEEDED,
        "notebook",
    )
    assert (row.code_version, row.server_version) == ("1.2.3", "notebook 1")
    assert row.row_counts == {"lines": 1000}
    assert (row.size, row.key_id) == (manifest.size, manifest.key_id)
    assert "ops.0001_initial" in row.migrations
    assert told() == ["backup_started", "backup_made"]
    assert engine.remains == 1


def test_an_increment_names_what_it_follows(root, folder):
    engine = Notebook()
    full = make(engine=engine, root=root, places=[folder], wanted=FULL)
    engine.content += b"one more\n"
    wanted = Wanted(
        kind=BackupKind.INCREMENTAL,
        trigger=BackupTrigger.SCHEDULE,
        parent=reading.find(folder, full.id),
    )
    following = make(engine=engine, root=root, places=[folder], wanted=wanted)
    assert [link.manifest for link in reading.chain(folder, following.id)] == [full, following]
    assert following.row_counts_after == {"lines": 1001}
    with reading.find(folder, following.id).reading("database") as plain:
        assert plain.read() == b"one more\n"
    row = Backup.objects.get(identifier=following.id)
    assert row.parent == Backup.objects.get(identifier=full.id)
    assert following.piece("database").plain_size == len(b"one more\n")


def test_what_goes_beside_the_database_is_a_piece_of_its_own(root, folder):
    wanted = Wanted(
        kind=BackupKind.FULL,
        trigger=BackupTrigger.DEPLOY,
        beside={"configuration": lambda: io.BytesIO(b"{}")},
    )
    manifest = make(engine=Notebook(), root=root, places=[folder], wanted=wanted)
    assert [piece.name for piece in manifest.pieces] == ["database", "configuration"]
    reading.find(folder, manifest.id).verify()


def test_nothing_of_a_row_lies_anywhere_in_plain(root, folder):
    engine = Notebook()
    make(engine=engine, root=root, places=[folder], wanted=FULL)
    for path in root.rglob("*"):
        if path.is_file():
            assert b"a row of points" not in path.read_bytes()
    assert not engine.scratch.exists()


def test_what_the_engine_cannot_is_refused_before_anything_is_written(root, folder):
    wanted = Wanted(kind=BackupKind.POINT_IN_TIME, trigger=BackupTrigger.HAND)
    with pytest.raises(BackupRefused, match="No point in time here"):
        make(engine=Notebook(), root=root, places=[folder], wanted=wanted)
    assert not Backup.objects.exists()
    assert told() == []
    assert folder.identifiers() == []


class Full(Notebook):
    """An engine that finds the disk full when half is written."""

    def read(self, _size=-1):
        raise OSError(errno.ENOSPC, "No space left on device")

    def store(self, put, *, kind, parent, scratch):
        put("half", io.BytesIO(b"half"))
        put("database", self)
        return super().store(put, kind=kind, parent=parent, scratch=scratch)


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(root, folder):
    before = make(engine=Notebook(), root=root, places=[folder], wanted=FULL)
    with pytest.raises(BackupRefused, match="could not be written: No space left on device"):
        make(engine=Full(), root=root, places=[folder], wanted=FULL)
    row = Backup.objects.latest("pk")
    assert (row.status, row.size) == (RunStatus.FAILED, 0)
    assert "No space left on device" in row.log
    assert row.finished_at is not None
    assert told()[2:] == ["backup_started", "backup_failed"]
    assert folder.identifiers() == [before.id]
    reading.find(folder, before.id).verify()
    assert list((root / WORK).iterdir()) == []


class Careless(Notebook):
    """An engine that goes on after a piece could not be read, or writes one twice."""

    def __init__(self, *names):
        super().__init__()
        self.names = names

    def read(self, _size=-1):
        raise ValueError("a damaged page")

    def store(self, put, *, kind, parent, scratch):
        with suppress(ValueError):
            put("broken", self)
        for name in self.names:
            put(name, io.BytesIO(CONTENT))
        return super().store(put, kind=kind, parent=parent, scratch=scratch)


def test_a_piece_that_could_not_be_read_is_gone(root, folder):
    manifest = make(engine=Careless(), root=root, places=[folder], wanted=FULL)
    assert [piece.name for piece in manifest.pieces] == ["database"]
    assert not (root / manifest.id / "broken.age").exists()


def test_two_pieces_of_one_name_are_refused(root, folder):
    with pytest.raises(BackupRefused, match="File exists"):
        make(engine=Careless("database"), root=root, places=[folder], wanted=FULL)
    assert folder.identifiers() == []


class Stopped(Notebook):
    """An engine that something else stops than a disk."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def store(self, put, *, kind, parent, scratch):
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("no such page"), KeyboardInterrupt()])
def test_whatever_stops_it_is_written_down(root, folder, error):
    with pytest.raises(type(error)):
        make(engine=Stopped(error), root=root, places=[folder], wanted=FULL)
    row = Backup.objects.get()
    assert row.status == RunStatus.FAILED
    assert row.log == (str(error) or "KeyboardInterrupt")
    assert told() == ["backup_started", "backup_failed"]
    assert folder.identifiers() == []


class Away(InMemoryStorage):
    """A bucket that is away, and says so as its library does."""

    def save(self, name, content, max_length=None):
        raise RuntimeError("no route to the bucket")


def test_a_later_place_that_is_away_is_told_and_the_first_one_keeps_it(root, folder):
    away = Bucket(Away(), name="s3://away")
    third = Bucket(InMemoryStorage(), name="s3://third")
    with pytest.raises(BackupRefused, match=r"is not in s3://away: .*no route to the bucket"):
        make(engine=Notebook(), root=root, places=[folder, away, third], wanted=FULL)
    row = Backup.objects.get()
    for place in (folder, third):
        reading.find(place, row.identifier).verify()
    assert away.identifiers() == []
    assert row.status == RunStatus.SUCCEEDED
    assert "s3://away" in row.log
    assert told() == ["backup_started", "backup_made", "backup_failed"]


def test_a_second_one_at_once_is_refused(root, folder):
    with alone(root), pytest.raises(BackupRefused, match="Another command works on the backups"):
        make(engine=Notebook(), root=root, places=[folder], wanted=FULL)
    assert not Backup.objects.exists()
    make(engine=Notebook(), root=root, places=[folder], wanted=FULL)


HOLDER = """
import fcntl, os, sys, time
descriptor = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_of_a_killed_command_is_free(root, folder):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(root / FILE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BackupRefused), alone(root):
            pass
        holder.kill()
    with alone(root):
        pass


def test_what_a_killed_command_left_is_removed_by_the_next(root, folder):
    left = root / WORK / "of-a-killed-one"
    left.mkdir()
    (left / "plain").write_bytes(b"a row of points")
    make(engine=Notebook(), root=root, places=[folder], wanted=FULL)
    assert list((root / WORK).iterdir()) == []
