"""Files of the storages: stored once for all backups, and given back without touching others."""

import io
import json
import re
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.utils import timezone, translation

from ops.backups import media
from ops.backups.errors import BackupRefused
from ops.models import FilePurpose, StoredFile
from ops.services import files
from ops.tests.storages import Renaming, folder_failing, small_s3

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


class Place:
    """Pieces in memory; a piece whose reading broke off is not there."""

    def __init__(self):
        self.pieces = {}

    def put_file(self, name, source):
        self.pieces[name] = b"".join(iter(lambda: source.read(5), b""))

    @contextmanager
    def open_file(self, name):
        yield io.BytesIO(self.pieces[name])

    def store(self):
        return media.store(known=self.pieces.__contains__, put_file=self.put_file)

    def restore(self, stored, into=None):
        return media.restore(
            media.read_listing(stored.listing),
            open_file=self.open_file,
            into=into or {name: storages[name] for name in ("default", "seals")},
        )


@pytest.fixture
def place():
    return Place()


def make_file(content=b"a picture", **fields):
    return files.store(
        content=content, purpose=FilePurpose.RECEIPT, media_type="image/png", **fields
    )


def overwrite(path, content, storage="default"):
    storages[storage].delete(path)
    storages[storage].save(path, ContentFile(content))


def content_of(path, storage="default"):
    with storages[storage].open(path) as opened:
        return opened.read()


@pytest.fixture
def two():
    """A picture, and the file of a seal."""
    storages["seals"].save("2026-01-02.json.gz", ContentFile(b"a seal"))
    storages["seals"].save("set-aside/2026-01-01.json.gz", ContentFile(b"another course"))
    storages["seals"].save("notes.txt", ContentFile(b"not ours"))
    return make_file()


# --- Storing --------------------------------------------------------------------------------------
def test_permanent_files_and_those_of_the_seals_are_stored(place, two):
    make_file(b"soon gone", expires_at=timezone.now() + timedelta(hours=1))
    stored = place.store()
    assert [(file.storage, file.path) for file in stored.listed] == [
        ("default", two.path),
        ("seals", "2026-01-02.json.gz"),
        ("seals", "set-aside/2026-01-01.json.gz"),
    ]
    assert sorted(place.pieces.values()) == [b"a picture", b"a seal", b"another course"]
    assert (stored.count, stored.bytes, stored.new_files, stored.new_bytes) == (3, 29, 3, 29)
    assert stored.wrong == []


def test_what_is_known_is_not_stored_again(place, two):
    first = place.store()
    make_file(b"a picture of later")
    pieces, place.pieces = place.pieces, dict.fromkeys(place.pieces, b"not written again")
    second = place.store()
    assert (second.count, second.new_files, second.new_bytes) == (4, 1, 18)
    assert set(first.listed) < set(second.listed)
    assert {name: content for name, content in place.pieces.items() if name in pieces} == (
        dict.fromkeys(pieces, b"not written again")
    )


def test_a_name_says_nothing_and_is_another_one_under_another_key(place, two, settings):
    (before, *_others) = place.store().listed
    assert re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{64}\.age", before.name)
    assert before.name.split("/")[0] == before.name.split("/")[1][:2]
    assert two.path not in before.name
    assert two.sha256 not in before.name
    settings.FIELD_ENCRYPTION_KEYS = ["k" * 40, *settings.FIELD_ENCRYPTION_KEYS]
    after = place.store()
    assert after.new_files == 3
    assert after.listed[0].name != before.name


def test_the_same_content_twice_is_two_files(place):
    make_file()
    make_file()
    assert place.store().new_files == 2


def test_a_file_that_is_not_what_its_row_says_is_named_and_not_kept(place, two):
    other, gone, longer = make_file(b"good one"), make_file(b"lost"), make_file(b"long")
    overwrite(other.path, b"bad  one")
    overwrite(longer.path, b"longer than before")
    storages["default"].delete(gone.path)
    stored = place.store()
    assert stored.wrong == [
        f"default:{other.path} is not what was stored.",
        f"default:{gone.path} is missing.",
        f"default:{longer.path} is not what was stored.",
    ]
    assert stored.count == 3
    assert b"bad  one" not in place.pieces.values()


def test_without_files_there_is_nothing(place):
    stored = place.store()
    assert (stored.count, stored.bytes, list(stored.listing)) == (0, 0, [])


def test_a_storage_that_is_away_is_no_missing_file(place, two):
    with folder_failing("open"), pytest.raises(OSError, match="no open today"):
        place.store()


def test_files_in_a_bucket_are_stored_and_given_back(place):
    with small_s3():
        file = make_file()
        gone = make_file(b"lost")
        stored = place.store()
        storages["default"].delete(file.path)
        storages["default"].delete(gone.path)
        assert place.restore(stored).written == 2
        assert content_of(file.path) == b"a picture"
        storages["default"].delete(gone.path)
        place.pieces.clear()
        assert place.store().wrong == [f"default:{gone.path} is missing."]


# --- Giving back ----------------------------------------------------------------------------------
def test_what_is_missing_comes_back_and_the_rest_stays(place, two):
    stored = place.store()
    storages["default"].delete(two.path)
    storages["seals"].delete("2026-01-02.json.gz")
    later = make_file(b"of later")
    restored = place.restore(stored)
    assert (restored.there, restored.written, restored.set_aside) == (1, 2, [])
    assert content_of(two.path) == b"a picture"
    assert content_of("2026-01-02.json.gz", "seals") == b"a seal"
    assert content_of(later.path) == b"of later"
    assert place.restore(stored).there == 3


def test_another_content_is_set_aside_and_not_deleted(place, two):
    stored = place.store()
    for number in range(2):
        overwrite(two.path, b"painted over %d" % number)
        restored = place.restore(stored)
        (aside,) = restored.set_aside
        assert content_of(aside) == b"painted over %d" % number
        assert content_of(two.path) == b"a picture"
    assert restored.there == 2


def test_it_goes_to_the_storages_that_are_named(place, two, tmp_path):
    elsewhere = FileSystemStorage(location=tmp_path)
    restored = place.restore(place.store(), into={"seals": elsewhere})
    assert restored.written == 2
    assert elsewhere.exists("2026-01-02.json.gz")
    assert not elsewhere.exists(two.path)


@pytest.mark.parametrize("damaged", [b"a pictura", b"a picture and more", b"a pic", b""])
def test_a_piece_that_is_another_one_is_refused_before_its_file_is_touched(place, two, damaged):
    stored = place.store()
    place.pieces[stored.listed[0].name] = damaged
    overwrite(two.path, b"painted over")
    with pytest.raises(BackupRefused, match=f"default:{two.path} in the backup is not what was"):
        media.check(stored.listed, open_file=place.open_file)
    with pytest.raises(BackupRefused, match=f"default:{two.path} in the backup is not what was"):
        place.restore(stored)
    assert content_of(two.path) == b"painted over"


def test_a_piece_that_is_gone_is_refused(place, two):
    stored = place.store()
    assert media.check(stored.listed, open_file=place.open_file) == 3
    place.pieces.clear()
    with pytest.raises(KeyError):
        media.check(stored.listed, open_file=place.open_file)


def test_a_list_that_is_another_one_is_refused(place, two):
    (line, *_others) = place.store().listing
    assert list(media.read_listing([line])) == place.store().listed[:1]
    assert json.loads(line)["sha256"] == StoredFile.objects.get().sha256
    for damaged in (b"{", b"[1]", b"{}", line.replace(b"path", b"Path")):
        with pytest.raises(BackupRefused, match="list of files is not what was written"):
            list(media.read_listing([damaged]))


def test_a_storage_that_chooses_names_is_refused(place, two, tmp_path):
    stored = place.store()
    with pytest.raises(BackupRefused, match="nobody would find it"):
        place.restore(stored, into={"default": Renaming(location=tmp_path)})


def test_all_of_a_file_is_read_at_once_as_well(place):
    (file,) = [make_file()]
    whole = media._Checked(io.BytesIO(b"a picture"), size=9, sha256=file.sha256)
    assert whole.read() == b"a picture"
    with pytest.raises(media._Other):
        media._Checked(io.BytesIO(b"a pictura"), size=9, sha256=file.sha256).read()
