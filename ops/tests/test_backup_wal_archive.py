"""The WAL in the places: packed, opened after keys changed, the same in a bucket, pruned."""

import io
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.storage import FileSystemStorage
from django.utils import translation

from ops.backups import retention, wal_archive
from ops.backups.errors import BackupRefused
from ops.backups.places import Bucket, Folder
from ops.backups.postgresql_pages import PagesEngine
from ops.backups.retention import Policy
from ops.backups.wal import WalReceiver
from ops.backups.wal_archive import Bringing, PlacesArchive, PlacesArchives, Taking
from ops.backups.wal_folder import REACHED, Reached, reached
from ops.models.backups import BackupKind
from ops.tests import backup_shelf as shelf
from ops.tests.page_backups import kept, newest, own_server, rows_of, wait_for
from ops.tests.storages import FailingFolder

CLUSTER, OTHER = "7000000000000000001", "7000000000000000002"
FIRST, SECOND, THIRD = (f"00000001000000000000000{number}" for number in (1, 2, 3))
SIZE = 16 << 20
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "backups")


@pytest.fixture
def drafts(tmp_path):
    path = tmp_path / "drafts"
    path.mkdir()
    return path


@pytest.fixture
def bucket(tmp_path):
    return Bucket(FileSystemStorage(tmp_path / "bucket"), name="s3://backups")


@pytest.fixture
def archive(folder):
    return PlacesArchives([folder]).of(CLUSTER)


@pytest.fixture
def take(folder, drafts):
    """Take content away under a name."""
    taking = Taking(folder, CLUSTER, drafts)
    return lambda name, content=b"WAL": taking(name, io.BytesIO(content))


@pytest.fixture
def bringing(folder, bucket, drafts):
    return Bringing(folder, bucket, CLUSTER, drafts)


def goes_until(lsn, *, at=NOW):
    return Reached(
        at=at, lsn=lsn, timeline=1, segment_size=SIZE, system_identifier=CLUSTER
    ).written()


def content_of(archive, name):
    with archive.reading(name) as source:
        return source.read()


def names(place):
    return sorted(place.wal_names())


def stored(place, name):
    with place.open_wal(f"{CLUSTER}/{name}.age") as file:
        return file.read()


# --- In a place -----------------------------------------------------------------------------------
def test_what_is_taken_is_packed_and_read_again(take, archive, folder, tmp_path, drafts):
    take(FIRST, b"a phone: 13700000001" * 1000)
    take(REACHED, goes_until("0/2000000"))
    assert sorted(archive.names()) == [FIRST, REACHED]
    assert content_of(archive, FIRST) == b"a phone: 13700000001" * 1000
    held = [path.read_bytes() for path in (tmp_path / "backups").rglob("*") if path.is_file()]
    assert len(held) == 2
    assert not any(b"13700000001" in one or CLUSTER.encode() in one for one in held)
    assert list(drafts.iterdir()) == []
    assert names(folder) == [f"{CLUSTER}/{FIRST}.age", f"{CLUSTER}/{REACHED}.age"]


def test_what_is_there_is_replaced_in_one_step(take, archive, tmp_path):
    take(REACHED, goes_until("0/2000000"))
    open_before = (tmp_path / "backups" / "wal" / CLUSTER / f"{REACHED}.age").open("rb")
    take(REACHED, goes_until("0/3000000"))
    assert newest(archive).lsn == "0/3000000"
    with open_before:  # whoever reads it meanwhile has the whole of the one before
        assert len(open_before.read()) > 100
    # What a killed command left beside it is in nobody's way.
    (tmp_path / "backups" / "wal" / CLUSTER / f".{REACHED}.age").write_bytes(b"half")
    take(REACHED, goes_until("0/4000000"))
    assert newest(archive).lsn == "0/4000000"
    assert archive.names() == [REACHED]


def test_it_is_opened_after_the_keys_changed_as_long_as_the_old_one_is_there(
    take, archive, settings
):
    (key,) = settings.FIELD_ENCRYPTION_KEYS
    take(FIRST, b"before")
    take(REACHED, goes_until("0/2000000"))
    settings.FIELD_ENCRYPTION_KEYS = ["of a later time", key]
    take(SECOND, b"after")
    assert [content_of(archive, name) for name in (FIRST, SECOND)] == [b"before", b"after"]
    settings.FIELD_ENCRYPTION_KEYS = ["of a later time"]
    assert content_of(archive, SECOND) == b"after"
    with pytest.raises(BackupRefused, match=rf"{FIRST} of the WAL in .*: It cannot be decrypted"):
        content_of(archive, FIRST)


def test_a_damaged_file_is_named(take, archive, tmp_path):
    take(FIRST, b"a segment" * 1000)
    take(REACHED, goes_until("0/2000000"))
    path = tmp_path / "backups" / "wal" / CLUSTER / f"{FIRST}.age"
    content = path.read_bytes()
    for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(BackupRefused, match=FIRST):
            content_of(archive, FIRST)


def test_where_there_is_nothing(archive, folder, take):
    assert list(archive.names()) == []
    assert reached(archive) is None
    assert wal_archive.behind(folder, CLUSTER, now=NOW) is None
    take(REACHED, goes_until("0/2000000"))
    with pytest.raises(KeyError):
        content_of(archive, FIRST)
    assert reached(PlacesArchives([folder]).of(OTHER)) is None


def test_how_far_a_place_is_behind(take, folder):
    take(REACHED, goes_until("0/2000000", at=NOW - timedelta(seconds=70)))
    assert wal_archive.behind(folder, CLUSTER, now=NOW) == timedelta(seconds=70)
    take(REACHED, goes_until("0/2000000", at=NOW + timedelta(seconds=1)))  # by another clock
    assert wal_archive.behind(folder, CLUSTER, now=NOW) == timedelta()


# --- To a bucket ----------------------------------------------------------------------------------
def test_a_bucket_is_brought_what_it_lacks(take, bringing, folder, bucket):
    assert not bringing.bring()
    for name in (FIRST, f"{SECOND}.partial", "00000001.history"):
        take(name)
    take(REACHED, goes_until("0/2000000"))
    assert bringing.bring()
    assert names(bucket) == names(folder)
    assert all(stored(bucket, one) == stored(folder, one) for one in (FIRST, REACHED))
    assert not bringing.bring()

    take(f"{SECOND}.partial", b"grew")
    take(REACHED, goes_until("0/2000100"))
    assert bringing.bring()
    assert content_of(PlacesArchive([bucket], CLUSTER), f"{SECOND}.partial") == b"grew"

    take(SECOND, b"whole")
    take(REACHED, goes_until("0/3000000"))
    assert bringing.bring()
    assert content_of(PlacesArchive([bucket], CLUSTER), SECOND) == b"whole"
    assert newest(PlacesArchive([bucket], CLUSTER)).lsn == "0/3000000"


def test_what_the_bucket_has_is_not_brought_again(take, bringing, bucket, tmp_path):
    take(FIRST)
    take(REACHED, goes_until("0/2000000"))
    bringing.bring()
    path = tmp_path / "bucket" / "wal" / CLUSTER / f"{FIRST}.age"
    path.write_bytes(b"as it was brought")
    take(SECOND)
    again = Bringing(bringing.first, bucket, CLUSTER, bringing.drafts)  # the command was restarted
    assert again.bring()
    assert path.read_bytes() == b"as it was brought"
    assert f"{CLUSTER}/{SECOND}.age" in names(bucket)


def test_that_nothing_was_added_is_said_now_and_then(take, bringing, bucket):
    take(REACHED, goes_until("0/2000000"))
    assert bringing.bring()
    take(REACHED, goes_until("0/2000000", at=NOW + timedelta(seconds=2)))
    assert not bringing.bring()
    bringing._told_at -= wal_archive.STILL
    assert bringing.bring()
    assert newest(PlacesArchive([bucket], CLUSTER)).at == NOW + timedelta(seconds=2)


def test_a_bucket_that_was_away_never_says_more_than_it_has(take, folder, drafts, tmp_path):
    for name in (FIRST, SECOND, THIRD):
        take(name)
    take(REACHED, goes_until("0/4000000"))
    bucket = Bucket(FailingFolder(["save"], after=2, location=tmp_path / "bucket"), name="s3://one")
    bringing = Bringing(folder, bucket, CLUSTER, drafts)
    for _time in range(2):
        with pytest.raises(OSError, match="no save today"):
            bringing.bring()
    assert names(bucket) == [f"{CLUSTER}/{FIRST}.age", f"{CLUSTER}/{SECOND}.age"]
    assert reached(PlacesArchive([bucket], CLUSTER)) is None
    bringing.other = Bucket(FileSystemStorage(tmp_path / "bucket"), name="s3://one")
    assert bringing.bring()
    assert names(bucket) == names(folder)


# --- Pruned ---------------------------------------------------------------------------------------
def a_backup(lsn, *, cluster=CLUSTER):
    made = shelf._manifest(NOW, None, [])
    return replace(made, facts={"start_lsn": lsn, "system_identifier": cluster})


def segments(place):
    return [name.split("/")[1].removesuffix(".age") for name in names(place)]


def test_what_is_before_the_oldest_backup_goes(take, folder):
    for name in (FIRST, f"{FIRST}.partial", SECOND, f"{SECOND}.partial", f"{THIRD}.partial"):
        take(name)
    take(REACHED, goes_until("0/3000100"))
    kept_ones = [a_backup("0/3000028"), a_backup("0/2000028")]
    would_go = wal_archive.prune(folder, kept_ones, now=NOW, only_look=True)
    assert would_go == [
        f"{CLUSTER}/{one}" for one in (FIRST, f"{FIRST}.partial", f"{SECOND}.partial")
    ]
    assert len(segments(folder)) == 6
    assert wal_archive.prune(folder, kept_ones, now=NOW) == would_go
    assert segments(folder) == [SECOND, f"{THIRD}.partial", REACHED]
    assert wal_archive.prune(folder, kept_ones, now=NOW) == []


def test_without_a_backup_the_end_stays_for_whoever_receives_it(take, folder):
    for name in (FIRST, SECOND, f"{THIRD}.partial"):
        take(name)
    take(REACHED, goes_until("0/3000100"))
    of_others = [a_backup("0/1000028", cluster=OTHER), shelf._manifest(NOW, None, [])]
    wal_archive.prune(folder, of_others, now=NOW + timedelta(hours=1))
    assert segments(folder) == [f"{THIRD}.partial", REACHED]
    wal_archive.prune(folder, of_others, now=NOW + timedelta(days=2))
    assert segments(folder) == []


@pytest.mark.django_db
def test_it_goes_with_the_backups_that_it_belongs_to(take, folder, settings, tmp_path):
    settings.BACKUP_DIR, policy = tmp_path / "backups", Policy(days=30)
    for name in (FIRST, SECOND):
        take(name)
    take(REACHED, goes_until("0/3000000"))
    retention.prune(now=NOW, policy=policy, only_look=True)
    assert segments(folder) == [FIRST, SECOND, REACHED]
    # As long as one cannot be read, nobody knows what it needs.
    unreadable = tmp_path / "backups" / "20260101T020000Z-0a1b2c"
    unreadable.mkdir()
    (unreadable / "manifest.json").write_bytes(b"{}")
    retention.prune(now=NOW + timedelta(days=2), policy=policy)
    assert segments(folder) == [FIRST, SECOND, REACHED]
    shutil.rmtree(unreadable)
    retention.prune(now=NOW + timedelta(days=2), policy=policy)
    assert segments(folder) == []


def test_what_nobody_can_judge_stays(take, folder):
    take(FIRST)
    assert wal_archive.prune(folder, [], now=NOW + timedelta(days=2)) == []
    assert segments(folder) == [FIRST]


# --- With a server --------------------------------------------------------------------------------
@contextmanager
def receiving(receiver, bringing, engine):
    stop = threading.Event()
    worker = threading.Thread(target=receiver.receive, args=(stop,))
    worker.start()
    try:
        wait_for(lambda: engine.refusal(BackupKind.POINT_IN_TIME, parent=None) is None)
        yield
    finally:
        stop.set()
        worker.join()
        bringing.bring()


def test_every_moment_is_restored_from_the_folder_and_from_the_bucket_alone(
    folder, bucket, drafts, tmp_path
):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with own_server() as server:
        server.run("CREATE TABLE entry (id serial PRIMARY KEY)")
        ((cluster,),) = server.rows("SELECT system_identifier::text FROM pg_control_system()")
        archives = PlacesArchives([folder, bucket])
        engine = PagesEngine(parameters=server.parameters, archives=archives)
        receiver = WalReceiver(
            parameters=server.parameters,
            folder=tmp_path / "wal",
            take=Taking(folder, cluster, drafts),
            every=0.15,
        )
        bringing = Bringing(folder, bucket, cluster, drafts)
        with receiving(receiver, bringing, engine):
            made = kept(engine, BackupKind.POINT_IN_TIME, scratch)
            server.run(*["INSERT INTO entry DEFAULT VALUES"] * 3, "SELECT pg_switch_wal()")
            ((third,),) = server.rows("SELECT max(pg_xact_commit_timestamp(xmin)) FROM entry")
            server.run("INSERT INTO entry DEFAULT VALUES")
            ((now,),) = server.rows("SELECT clock_timestamp()")
            wait_for(lambda: newest(archives.of(cluster)).at > now)
        for place in (folder, bucket):
            alone = replace(engine, archives=PlacesArchives([place]))
            for at, ids in ((third, {1, 2, 3}), (now, {1, 2, 3, 4})):
                with alone.restored([made], scratch=scratch, at=at) as alive:
                    assert {one for (one,) in rows_of(alive, "SELECT id FROM entry")} == ids
        assert wal_archive.prune(folder, [made.manifest], now=now) != []
        with engine.restored([made], scratch=scratch, at=now) as alive:
            assert len(rows_of(alive, "SELECT id FROM entry")) == 4
