"""A backup is believed piece by piece, and only with all that it follows."""

import io
import random
import shutil

import pytest
from django.utils import translation

from ops.backups import manifest, reading, sealing
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Piece
from ops.backups.places import MANIFEST, Folder
from ops.models import BackupKind
from ops.services import key_ring
from ops.tests.test_backup_manifest import make_manifest

FULL, NEXT, LAST = (f"2026112{day}T020000Z-0a1b2c" for day in (5, 6, 7))
PIECES = {"database": b"row 4711\n" * 30_000, "configuration": b'{"DEBUG": "0"}'}


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


@pytest.fixture
def place(tmp_path):
    return Folder(tmp_path / "backups")


def keep(place, tmp_path, identifier, *, parent=None, **facts):
    """Keep a backup of PIECES, which follows `parent`; returns its manifest."""
    draft = tmp_path / f"draft-{identifier}"
    draft.mkdir()
    key, pieces = key_ring.newest("field"), []
    for name, content in PIECES.items():
        out = io.BytesIO()
        plain, stored = sealing.pack(io.BytesIO(content), out, key=key)
        (draft / f"{name}.age").write_bytes(out.getvalue())
        pieces.append(
            Piece(
                name=name,
                size=stored.size,
                sha256=stored.sha256,
                plain_size=plain.size,
                plain_sha256=plain.sha256,
            )
        )
    one = make_manifest(
        id=identifier,
        kind=BackupKind.INCREMENTAL if parent else BackupKind.FULL,
        parent=parent and parent.id,
        parent_seal=parent and parent.seal,
        pieces=pieces,
        **facts,
    )
    (draft / MANIFEST).write_bytes(manifest.written(one))
    place.take(identifier, draft)
    return one


@pytest.fixture
def three(place, tmp_path):
    full = keep(place, tmp_path, FULL)
    following = keep(place, tmp_path, NEXT, parent=full)
    return [full, following, keep(place, tmp_path, LAST, parent=following)]


def test_what_was_kept_is_found_and_read(place, three):
    found = reading.find(place, FULL)
    assert found.manifest == three[0]
    found.verify()
    with found.reading("database") as plain:
        assert plain.read() == PIECES["database"]
    with pytest.raises(KeyError), found.reading("media"):
        pass


def test_a_chain_begins_with_its_full_backup(place, three):
    assert [link.manifest for link in reading.chain(place, LAST)] == three
    assert [link.manifest for link in reading.chain(place, FULL)] == three[:1]


def test_a_link_that_is_missing_is_named(place, three):
    place.remove(NEXT)
    with pytest.raises(BackupRefused, match=NEXT):
        reading.chain(place, LAST)
    assert reading.chain(place, FULL)


def test_a_link_that_was_exchanged_is_named(place, three, tmp_path):
    """By another whole backup, whose seal fits."""
    place.remove(NEXT)
    shutil.rmtree(tmp_path / f"draft-{NEXT}")
    keep(place, tmp_path, NEXT, parent=three[0], row_counts={"ops_backup": 4})
    reading.find(place, NEXT).verify()
    with pytest.raises(BackupRefused, match=f"{NEXT} is not the one that {LAST} follows"):
        reading.chain(place, LAST)


@pytest.mark.parametrize("identifier", ["", "..", f"../{FULL}", FULL.upper(), f"{FULL}\n"])
def test_what_is_no_identifier_is_refused(place, three, identifier):
    with pytest.raises(BackupRefused, match="no identifier"):
        reading.find(place, identifier)


def test_a_manifest_under_another_name_is_refused(place, three, tmp_path):
    (tmp_path / "backups" / FULL / MANIFEST).write_bytes(manifest.written(three[1]))
    with pytest.raises(BackupRefused, match=f"{FULL}: its manifest is that of {NEXT}"):
        reading.find(place, FULL)


def test_an_altered_manifest_is_refused_by_name(place, three, tmp_path):
    path = tmp_path / "backups" / FULL / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"points"', b'"pints"'))
    with pytest.raises(BackupRefused, match=f"{FULL}: The manifest was altered"):
        reading.find(place, FULL)


def test_a_piece_of_another_backup_is_refused(place, three, tmp_path):
    """It can be decrypted, and is whole."""
    shutil.copy(
        tmp_path / "backups" / FULL / "configuration.age",
        tmp_path / "backups" / FULL / "database.age",
    )
    found = reading.find(place, FULL)
    with pytest.raises(BackupRefused, match="piece database: It is not what was written"):
        found.verify()
    with (
        pytest.raises(BackupRefused, match="piece database: It is not what was written"),
        found.reading("database") as plain,
    ):
        plain.read()


def test_a_missing_piece_is_named(place, three, tmp_path):
    (tmp_path / "backups" / FULL / "database.age").unlink()
    found = reading.find(place, FULL)
    with pytest.raises(BackupRefused, match="piece database: It is missing"):
        found.verify()
    with pytest.raises(BackupRefused, match="It is missing"), found.reading("database"):
        pass


def test_what_was_put_behind_the_end_is_refused(place, three, tmp_path):
    path = tmp_path / "backups" / FULL / "configuration.age"
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BackupRefused, match="piece configuration"):
        reading.find(place, FULL).verify()


def test_a_hundred_damages_of_chance_are_all_refused(place, three, tmp_path):
    """Flipped bits and missing ends, of pieces and manifests."""
    chance = random.Random(20261127)
    folder = tmp_path / "backups" / FULL
    for number in range(100):
        path = folder / chance.choice(["database.age", "configuration.age", MANIFEST])
        whole = path.read_bytes()
        at = chance.randrange(len(whole) - 1)
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged if number % 2 else whole[:at])
        with pytest.raises(BackupRefused):
            reading.find(place, FULL).verify()
        path.write_bytes(whole)
    reading.find(place, FULL).verify()
