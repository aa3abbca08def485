"""What is written of a backup is believed only under a seal of the ring."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from ops.backups import manifest
from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest, Piece
from ops.models import BackupKind, BackupTrigger
from ops.services import key_ring

STARTED = datetime(2026, 11, 27, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


def make_manifest(**facts):
    usual = {
        "id": "20261127T020000Z-0a1b2c",
        "kind": BackupKind.INCREMENTAL,
        "engine": "sqlite",
        "trigger": BackupTrigger.SCHEDULE,
        "parent": "20261126T020000Z-0a1b2d",
        "parent_seal": "ab" * 32,
        "database": "points",
        "started_at": STARTED,
        "finished_at": STARTED + timedelta(seconds=90),
        "code_version": "1.2.3",
        "server_version": "3.46.1",
        "migrations": ["ops.0001_initial"],
        "compression": "zstd",
        "key_id": key_ring.newest("field").id,
        "row_counts": {"ops_backup": 3},
        "row_counts_after": None,
        "pieces": [
            Piece(name="database", size=10, sha256="a", plain_size=30, plain_sha256="b"),
            Piece(name="media", size=5, sha256="c", plain_size=6, plain_sha256="d"),
        ],
        "facts": {"page_size": 4096},
    }
    return manifest.sealed(Manifest(**{**usual, **facts}))


def test_what_is_written_is_read_again():
    one = make_manifest()
    assert manifest.read(manifest.written(one)) == one
    assert (one.seconds, one.size) == (90.0, 15)
    assert one.piece("media").sha256 == "c"
    with pytest.raises(KeyError):
        one.piece("configuration")


def test_identifiers_have_their_form():
    assert manifest.ID.fullmatch(make_manifest().id)
    assert not manifest.ID.fullmatch("../20261127T020000Z-0a1b2c")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("parent", None),
        ("row_counts", {"ops_backup": 2}),
        ("database", "other"),
        ("pieces", []),
        ("facts", {"page_size": 512}),
        ("started_at", "2026-11-26T02:00:00+00:00"),
        ("added", 1),
    ],
)
def test_an_edited_manifest_is_refused(name, value):
    facts = json.loads(manifest.written(make_manifest()))
    facts[name] = value
    with pytest.raises(BackupRefused, match="seal"):
        manifest.read(json.dumps(facts).encode())


def test_what_json_does_not_see_is_refused_as_well():
    whole = manifest.written(make_manifest())
    for other in (whole + b" ", whole[:-1]):
        with pytest.raises(BackupRefused, match="written otherwise"):
            manifest.read(other)


@pytest.mark.parametrize("seal", ["", "00" * 32, "é"])
def test_another_seal_is_refused(seal):
    facts = json.loads(manifest.written(make_manifest()))
    facts["seal"] = seal
    with pytest.raises(BackupRefused, match="seal"):
        manifest.read(json.dumps(facts).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"null",
        b'{"format": 1}',
        b'{"format": 1, "seal": "", "key_id": []}',
        b'{"format": 1, "seal": "", "key_id": "\\ud800"}',
        b'{"format": 1, "seal": "\\ud800", "key_id": ""}',
        pytest.param(b"[" * 1_000_000, id="deep"),
    ],
)
def test_what_is_no_manifest_is_refused(content):
    with pytest.raises(BackupRefused, match="cannot be read"):
        manifest.read(content)


def test_another_format_is_refused_with_both_numbers():
    facts = json.loads(manifest.written(make_manifest()))
    facts["format"] = 2
    with pytest.raises(BackupRefused, match="format 2; this version reads 1"):
        manifest.read(json.dumps(facts).encode())


@pytest.mark.parametrize("more", [{"added": 1}, {"kind": "other"}, {"pieces": [{"name": "a"}]}])
def test_what_another_version_wrote_under_our_seal_is_refused(more):
    facts = json.loads(manifest.written(make_manifest()))
    del facts["format"], facts["seal"]
    facts |= more
    key = key_ring.newest("field")
    content = json.dumps({"format": 1, **facts, "seal": manifest._seal(key, facts)}).encode()
    with pytest.raises(BackupRefused, match="another version"):
        manifest.read(content)


def test_a_key_that_is_gone_is_named(settings):
    content = manifest.written(make_manifest())
    key_id = key_ring.newest("field").id
    settings.FIELD_ENCRYPTION_KEYS = ["another key of forty signs, made up here"]
    with pytest.raises(BackupRefused, match=key_id):
        manifest.read(content)


def test_a_seal_of_another_key_is_refused(settings):
    """Under the id of one key, the seal of another."""
    settings.FIELD_ENCRYPTION_KEYS = ["a" * 40, "b" * 40]
    first, second = key_ring.keys("field")
    one = make_manifest(key_id=first.id)
    forged = replace(one, key_id=second.id)
    with pytest.raises(BackupRefused, match="seal"):
        manifest.read(manifest.written(forged))
