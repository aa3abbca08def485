"""Backups in a bucket: a server that does what S3 does, and the storage as the settings make it."""

import hashlib
import os
from datetime import timedelta

import pytest
from django.utils import timezone, translation

from ops.backups import deployment, inventory, media, reading, retention, shared_files, taking
from ops.backups.errors import BackupRefused
from ops.backups.places import MANIFEST
from ops.backups.retention import Policy
from ops.models import Backup, BackupTrigger, FilePurpose, RunStatus
from ops.services import files
from ops.tests import backup_shelf as shelf
from ops.tests.dump_backups import programs
from ops.tests.storages import BUCKET, client_of, storage_of_backups, whole_s3
from tests.kept_servers import LOOPBACK
from tests.live import free_port

pytestmark = pytest.mark.django_db
ID = "20261126T020000Z-0a1b2c"
LARGE = 20 << 20  # more than boto sends at once


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with whole_s3(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture
def server(running):
    """An S3 with an empty bucket."""
    client = client_of(running)
    for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client.delete_object(Bucket=BUCKET, Key=one["Key"])
    return running


@pytest.fixture
def places(settings, tmp_path):
    """The folder and the bucket of a deployment, once it is told where that is."""
    settings.BACKUP_DIR = tmp_path / "backups"
    settings.PG_TOOLS_DIR = str(programs())
    settings.BACKUP_STORAGE_BUCKET = BUCKET

    def at(address, bucket=BUCKET):
        settings.STORAGES = settings.STORAGES | {"backups": storage_of_backups(address, bucket)}
        return deployment.places()

    return at


@pytest.fixture
def bucket(places, server):
    return places(server)[1]


@pytest.fixture
def draft(tmp_path):
    folder = tmp_path / "draft"
    folder.mkdir()
    (folder / "database.age").write_bytes(b"d" * 100)
    (folder / MANIFEST).write_bytes(b"{}")
    return folder


def keys_of(address):
    listed = client_of(address).list_objects_v2(Bucket=BUCKET).get("Contents", ())
    return sorted(one["Key"] for one in listed)


def content_of(file):
    with file:
        return file.read()


def take():
    return taking.back_up(trigger=BackupTrigger.HAND)


# --- As a place -----------------------------------------------------------------------------------
def test_what_is_taken_is_listed_opened_and_removed(bucket, draft, server):
    assert bucket.identifiers() == []
    bucket.take(ID, draft)
    assert bucket.name == f"s3://{BUCKET}/backups"
    assert bucket.identifiers() == [ID]
    assert content_of(bucket.open(ID, "database.age")) == b"d" * 100
    assert keys_of(server) == [f"backups/{ID}/database.age", f"backups/{ID}/{MANIFEST}"]
    with pytest.raises(BackupRefused, match="There is a backup"):
        bucket.take(ID, draft)
    for wanted in ((ID, "other.age"), ("20261127T020000Z-0a1b2c", MANIFEST)):
        with pytest.raises(FileNotFoundError):
            bucket.open(*wanted)
    bucket.remove(ID)
    bucket.remove(ID)
    assert (bucket.identifiers(), keys_of(server)) == ([], [])


def test_a_large_piece_goes_in_parts_and_comes_back(bucket, draft, server):
    large = draft / "database.age"
    large.write_bytes(os.urandom(LARGE))
    bucket.take(ID, draft)
    about = client_of(server).head_object(Bucket=BUCKET, Key=f"backups/{ID}/database.age")
    assert about["ContentLength"] == LARGE
    assert about["ETag"].endswith('-3"')  # so many parts
    with bucket.open(ID, "database.age") as file, large.open("rb") as written:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        assert found == hashlib.file_digest(written, "sha256").hexdigest()


def test_files_that_many_backups_share(bucket, draft, server):
    file = draft / "database.age"
    names = [f"ab/{number:064x}.age" for number in range(3)]
    client = client_of(server)
    for name in names[1:]:
        client.put_object(Bucket=BUCKET, Key=f"backups/shared/{name}", Body=b"x")
    bucket.take_shared(names[0], file)
    file.write_bytes(b"other")
    bucket.take_shared(names[0], file)  # the name says what is in it
    assert content_of(bucket.open_shared(names[0])) == b"d" * 100
    assert bucket.has_shared(names[0])
    assert sorted(bucket.shared_names()) == names
    bucket.remove_shared(names[0])
    assert not bucket.has_shared(names[0])
    with pytest.raises(FileNotFoundError):
        bucket.open_shared(names[0])
    for name in names[1:]:
        bucket.remove_shared(name)


def test_a_small_file_is_replaced_in_one_step(bucket, draft, server):
    file = draft / "database.age"
    for content in (b"first", b"second"):
        file.write_bytes(content)
        bucket.take_wal("7000000000000000001/reached.json.age", file)
        assert content_of(bucket.open_wal("7000000000000000001/reached.json.age")) == content
    assert keys_of(server) == ["backups/wal/7000000000000000001/reached.json.age"]
    assert list(bucket.wal_names()) == ["7000000000000000001/reached.json.age"]
    bucket.remove_wal("7000000000000000001/reached.json.age")
    assert list(bucket.wal_names()) == []


# --- Of a deployment ------------------------------------------------------------------------------
@pytest.mark.postgresql
def test_a_backup_lives_in_the_bucket_alone(places, server):
    files.store(content=b"a picture", purpose=FilePurpose.RECEIPT, media_type="image/png")
    _folder, bucket = places(server)
    made = take()
    (stored,) = inventory.known(bucket).backups
    assert stored.manifest == made
    for link in reading.chain(bucket, made.id):
        link.verify()
    listed = shared_files.listing(stored)
    assert media.check(listed, open_file=shared_files.opener(bucket, made)) == 1


@pytest.mark.postgresql
def test_one_that_was_damaged_there_is_refused(places, server):
    _folder, bucket = places(server)
    made, client = take(), client_of(server)
    key = f"backups/{made.id}/database.age"
    content = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    for damaged in (content[:-1], content[:50] + bytes([content[50] ^ 1]) + content[51:]):
        client.put_object(Bucket=BUCKET, Key=key, Body=damaged)
        with pytest.raises(BackupRefused, match=made.id):
            reading.find(bucket, made.id).verify()
    client.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(BackupRefused, match="piece database: It is missing"):
        reading.find(bucket, made.id).verify()


@pytest.mark.postgresql
def test_what_is_old_goes_there_as_well(places, server):
    _folder, bucket = places(server)
    old = shelf.put(bucket, age=timedelta(days=40), files=[shelf.shared_name()])
    young = take()
    retention.prune(now=timezone.now(), policy=Policy(days=30))
    assert bucket.identifiers() == [young.id]
    assert not any(old.id in key for key in keys_of(server))
    assert list(bucket.shared_names()) == []


# --- Away -----------------------------------------------------------------------------------------
@pytest.fixture(params=["nobody answers", "no such bucket"])
def away(request, places, server):
    if request.param == "nobody answers":
        return places(f"http://{LOOPBACK}:{free_port()}")
    return places(server, bucket="somebody-elses")


def test_a_bucket_that_is_away_is_said_in_one_line(away, draft):
    _folder, bucket = away
    file = draft / "database.age"
    for ask in (
        bucket.identifiers,
        lambda: bucket.take(ID, draft),
        lambda: bucket.take_shared("ab/cd.age", file),
        lambda: list(bucket.shared_names()),
        lambda: bucket.take_wal("7/reached.json.age", file),
    ):
        with pytest.raises(
            BackupRefused, match=r"s3://shop-backups/backups does not answer"
        ) as why:
            ask()
        assert "\n" not in str(why.value)


@pytest.mark.postgresql
def test_a_backup_without_its_bucket_is_told_and_stays_in_the_folder(away):
    folder, _bucket = away
    with pytest.raises(BackupRefused, match=r"is not in s3://shop-backups/backups") as why:
        take()
    assert "\n" not in str(why.value)
    (identifier,) = folder.identifiers()
    reading.find(folder, identifier).verify()
    row = Backup.objects.get()
    assert (row.identifier, row.status) == (identifier, RunStatus.SUCCEEDED)
    assert "s3://shop-backups/backups" in row.log
