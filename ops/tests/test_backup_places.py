"""A backup lies in a place whole, or not at all; the same of a folder and of a bucket."""

import errno
import os
import stat

import pytest
from django.core.files.storage import FileSystemStorage, InMemoryStorage

from ops.backups.errors import BackupRefused
from ops.backups.places import MANIFEST, Bucket, Folder

FIRST, SECOND = "20261126T020000Z-0a1b2c", "20261127T020000Z-0a1b2d"


@pytest.fixture(params=["folder", "bucket", "bucket in a folder"])
def place(request, tmp_path):
    if request.param == "folder":
        return Folder(tmp_path / "backups")
    if request.param == "bucket":
        return Bucket(InMemoryStorage(), name="s3://backups")
    return Bucket(FileSystemStorage(tmp_path / "bucket"), name="s3://backups")


@pytest.fixture
def draft(tmp_path):
    folder = tmp_path / "draft"
    folder.mkdir()
    (folder / "database.age").write_bytes(b"d" * 100)
    (folder / MANIFEST).write_bytes(b"{}")
    return folder


def content_of(file):
    with file:
        return file.read()


def test_what_is_taken_is_there(place, draft):
    place.take(SECOND, draft)
    place.take(FIRST, draft)
    assert place.identifiers() == [FIRST, SECOND]
    assert content_of(place.open(FIRST, "database.age")) == b"d" * 100
    assert content_of(place.open(FIRST, MANIFEST)) == b"{}"
    assert sorted(file.name for file in draft.iterdir()) == ["database.age", MANIFEST]
    assert place.name


def test_a_backup_is_never_overwritten(place, draft):
    place.take(FIRST, draft)
    (draft / "database.age").unlink()
    (draft / "database.age").write_bytes(b"other")
    with pytest.raises(BackupRefused, match=FIRST):
        place.take(FIRST, draft)
    assert content_of(place.open(FIRST, "database.age")) == b"d" * 100


def test_without_a_manifest_there_is_no_backup(place, draft):
    (draft / MANIFEST).unlink()
    place.take(FIRST, draft)
    assert place.identifiers() == []


def test_an_empty_place_has_nothing(place):
    assert list(place.shared_names()) == []
    with pytest.raises(FileNotFoundError):
        place.open(FIRST, MANIFEST)
    with pytest.raises(FileNotFoundError):
        place.open_shared("ab/one.age")


def test_what_is_removed_is_gone_and_the_others_stay(place, draft):
    place.take(FIRST, draft)
    place.take(SECOND, draft)
    place.remove(FIRST)
    place.remove("20261125T020000Z-0a1b2c")
    assert place.identifiers() == [SECOND]
    with pytest.raises(FileNotFoundError):
        place.open(FIRST, "database.age")
    assert content_of(place.open(SECOND, "database.age")) == b"d" * 100


def test_a_shared_file_is_kept_once(place, draft):
    file = draft / "database.age"
    assert not place.has_shared("ab/one.age")
    place.take_shared("ab/one.age", file)
    place.take_shared("ab/one.age", file)
    assert place.has_shared("ab/one.age")
    assert content_of(place.open_shared("ab/one.age")) == b"d" * 100
    assert list(place.shared_names()) == ["ab/one.age"]
    assert place.identifiers() == []
    place.remove_shared("ab/one.age")
    place.remove_shared("ab/one.age")
    assert list(place.shared_names()) == []


def test_a_folder_is_closed_to_others(tmp_path, draft):
    place = Folder(tmp_path / "backups")
    place.take(FIRST, draft)
    place.take_shared("ab/one.age", draft / "database.age")
    for path in [tmp_path / "backups", *(tmp_path / "backups").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_full_disk_leaves_nothing_under_a_final_name(tmp_path, draft, monkeypatch):
    place = Folder(tmp_path / "backups")
    place.take_shared("ab/before.age", draft / "database.age")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        place.take(FIRST, draft)
    with pytest.raises(OSError, match="No space left"):
        place.take_shared("ab/one.age", draft / "database.age")
    left = [path for path in (tmp_path / "backups").rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["before.age"]
    assert place.identifiers() == []


def test_a_draft_on_another_disk_is_copied(tmp_path, draft, monkeypatch):
    """What the kernel says between two disks; there is one in a test."""

    def another_disk(_source, _target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", another_disk)
    place = Folder(tmp_path / "backups")
    place.take(FIRST, draft)
    assert content_of(place.open(FIRST, "database.age")) == b"d" * 100
    assert stat.S_IMODE((tmp_path / "backups" / FIRST / MANIFEST).stat().st_mode) == 0o600


def test_a_bucket_that_breaks_off_has_no_backup(tmp_path, draft):
    """The manifest goes last: whatever lies there before it is no backup."""
    place = Bucket(BreaksOff(), name="s3://backups")
    with pytest.raises(OSError, match="no more"):
        place.take(FIRST, draft)
    assert place.identifiers() == []


class BreaksOff(InMemoryStorage):
    """A storage that takes one file and no more."""

    saved = 0

    def save(self, name, content, max_length=None):
        self.saved += 1
        if self.saved > 1:
            raise OSError("no more")
        return super().save(name, content, max_length)
