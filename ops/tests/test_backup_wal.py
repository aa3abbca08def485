"""The WAL is received from before a backup on, taken away without holes, and read to a moment."""

import io
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import translation

from ops.backups.errors import BackupRefused
from ops.backups.postgresql_pages import PagesEngine
from ops.backups.wal import SLOT, WalReceiver, drop_slot, wait_until_archived
from ops.backups.wal_folder import NEWEST, REACHED, Reached, problems, reached
from ops.backups.wal_names import (
    Segment,
    end_of_record,
    forks,
    position,
    unneeded,
    verify_chain,
)
from ops.models.backups import BackupKind
from ops.tests.page_backups import FolderArchive, kept, newest, own_server, rows_of, wait_for

FULL, POINT_IN_TIME = BackupKind.FULL, BackupKind.POINT_IN_TIME
MB = 1 << 20
SIZE = 16 * MB
INSERT = "INSERT INTO entry DEFAULT VALUES"
HAS_IT = "SELECT restart_lsn >= pg_current_wal_flush_lsn() FROM pg_replication_slots"
SWITCH = "SELECT pg_switch_wal()"


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield


@pytest.fixture(scope="module")
def running():
    with own_server() as lent:
        lent.run(
            "CREATE ROLE reader LOGIN PASSWORD 'reader'",
            "CREATE ROLE platform LOGIN REPLICATION PASSWORD 'platform'",
        )
        yield lent


@pytest.fixture
def server(running):
    """The server with an empty table, and no slot afterwards."""
    running.run("CREATE TABLE entry (id serial PRIMARY KEY)", "ALTER TABLE entry OWNER TO platform")
    yield running
    running.run(
        "DROP TABLE entry",
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots",
    )


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    return FolderArchive(folder)


@pytest.fixture
def parameters(server):
    """The server for a role that has no more rights than it needs."""
    return server.seen_by(user="platform", password="platform")


@pytest.fixture
def receiver(parameters, archive, tmp_path):
    return WalReceiver(
        parameters=parameters, folder=tmp_path / "wal", take=archive.take, every=0.15
    )


@pytest.fixture
def engine(parameters, archive):
    return PagesEngine(parameters=parameters, archives=archive)


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@contextmanager
def receiving(receiver, engine=None):
    """Let a receiver work in a thread until the block ends; begin when its archive is in use."""
    stop = threading.Event()
    worker = threading.Thread(target=receiver.receive, args=(stop,))
    worker.start()
    try:
        if engine is not None:
            wait_for(lambda: engine.refusal(POINT_IN_TIME, parent=None) is None)
        yield
    finally:
        stop.set()
        worker.join()


def wait_until_all_is_away(server, archive):
    """Wait until the archive goes behind this moment."""
    ((now,),) = server.rows("SELECT clock_timestamp()")
    wait_for(lambda: (has := reached(archive)) is not None and has.at > now)


def restored_ids(engine, chain, scratch, at):
    with engine.restored(chain, scratch=scratch, at=at) as alive:
        return {one for (one,) in rows_of(alive, "SELECT id FROM entry")}


# --- To a moment ----------------------------------------------------------------------------------
def test_every_moment_between_the_backup_and_the_newest_wal(
    server, archive, receiver, engine, scratch
):
    with receiving(receiver, engine):
        made = kept(engine, POINT_IN_TIME, scratch)
        server.run(*[INSERT] * 20, SWITCH, *[INSERT] * 20)
        times = dict(server.rows("SELECT id, pg_xact_commit_timestamp(xmin) FROM entry"))
        wait_until_all_is_away(server, archive)
    for last in (10, 30):  # in the first segment, and in the second one
        ids = restored_ids(engine, [made], scratch, times[last])
        assert ids == set(range(1, last + 1))
        ids = restored_ids(engine, [made], scratch, times[last] - timedelta(microseconds=1))
        assert ids == set(range(1, last))
    # No commit is younger than that.
    assert restored_ids(engine, [made], scratch, newest(archive).at) == set(times)


def test_all_that_is_there(server, archive, receiver, engine, scratch):
    with receiving(receiver, engine):
        made = kept(engine, POINT_IN_TIME, scratch)
        wait_until_all_is_away(server, archive)
        before = newest(archive)
        server.run("SET synchronous_commit = on", *[INSERT] * 3)
        wait_for(lambda: server.rows(HAS_IT) == [(True,)])
    # The last of it came when the receiver ended, and nobody said to which moment that goes.
    archive.take(REACHED, io.BytesIO(before.written()))
    assert restored_ids(engine, [made], scratch, before.at) == set()
    assert restored_ids(engine, [made], scratch, NEWEST) == {1, 2, 3}


def test_moments_that_nobody_kept_are_refused_with_both_limits(
    server, archive, receiver, engine, scratch
):
    with receiving(receiver, engine):
        made = kept(engine, POINT_IN_TIME, scratch)
        wait_until_all_is_away(server, archive)
    oldest, latest = made.manifest.facts["stopped_at"], newest(archive).at
    moment = timedelta(microseconds=1)
    for at in (made.manifest.started_at, latest + moment):
        with pytest.raises(BackupRefused) as why:
            restored_ids(engine, [made], scratch, at)
        assert oldest in str(why.value)
        assert latest.isoformat() in str(why.value)
    assert restored_ids(engine, [made], scratch, latest) == set()


def test_an_increment_and_the_wal_behind_it(server, archive, receiver, engine, scratch):
    with receiving(receiver, engine):
        made = [kept(engine, FULL, scratch)]
        server.run(INSERT)
        made.append(kept(engine, BackupKind.INCREMENTAL, scratch, parent=made[0]))
        server.run(INSERT)
        wait_until_all_is_away(server, archive)
    assert restored_ids(engine, made, scratch, newest(archive).at) == {1, 2}


def test_no_moments_without_an_archive(server, archive, engine, scratch):
    made = kept(engine, FULL, scratch)
    for without in (engine, replace(engine, archives=None)):
        with pytest.raises(BackupRefused, match="There is no archive"):
            restored_ids(without, [made], scratch, made.manifest.finished_at)


def test_the_archive_of_another_cluster(server, archive, receiver, engine, scratch):
    with receiving(receiver, engine):
        made = kept(engine, POINT_IN_TIME, scratch)
    other = replace(newest(archive), system_identifier="1")
    archive.take(REACHED, io.BytesIO(other.written()))
    with pytest.raises(BackupRefused, match="of another cluster"):
        restored_ids(engine, [made], scratch, other.at)
    with pytest.raises(BackupRefused, match="within 0 seconds"):
        wait_until_archived(archive, made.manifest.facts, patience=0)


def test_an_archive_that_nobody_keeps_up(server, archive, receiver, engine):
    with receiving(receiver, engine):
        pass
    assert engine.refusal(POINT_IN_TIME, parent=None) is None
    has = newest(archive)
    for old in (
        replace(has, at=has.at - timedelta(hours=1)),
        replace(has, system_identifier="1"),
    ):
        archive.take(REACHED, io.BytesIO(old.written()))
        assert "Nobody takes the WAL away" in str(engine.refusal(POINT_IN_TIME, parent=None))
    (archive.folder / REACHED).unlink()
    assert "Nobody takes the WAL away" in str(engine.refusal(POINT_IN_TIME, parent=None))


# --- Holes and damages ----------------------------------------------------------------------------
def test_a_receiver_that_began_after_the_backup(server, archive, receiver, engine, scratch):
    made = kept(engine, FULL, scratch)
    # The slot begins at the last checkpoint.
    server.run(INSERT, SWITCH, INSERT, "CHECKPOINT")
    with receiving(receiver, engine):
        wait_until_all_is_away(server, archive)
    facts = made.manifest.facts
    first = Segment.at(facts["start_lsn"], timeline=1, size=SIZE).name(size=SIZE)
    missing = f"Segment {first} of the WAL is missing."
    with pytest.raises(BackupRefused, match=missing):
        restored_ids(engine, [made], scratch, newest(archive).at)
    with pytest.raises(BackupRefused, match=missing):
        wait_until_archived(archive, facts)


def test_a_segment_that_was_lost_is_named(server, archive, receiver, engine, scratch):
    with receiving(receiver, engine):
        made = kept(engine, POINT_IN_TIME, scratch)
        server.run(INSERT, SWITCH, INSERT, SWITCH, INSERT)
        wait_until_all_is_away(server, archive)
    whole = sorted(name for name in archive.names() if len(name) == 24)
    lost = whole[-1]
    (archive.folder / lost).unlink()
    # A part of it was taken away as well, if a round fell between.
    (archive.folder / f"{lost}.partial").unlink(missing_ok=True)
    assert problems(archive, made.manifest.facts, to=newest(archive)) == [
        f"Segment {lost} of the WAL is missing."
    ]


def test_damaged_wal_is_noticed(server, archive, receiver, engine, scratch):
    with receiving(receiver, engine):
        made = kept(engine, POINT_IN_TIME, scratch)
        server.run(*[INSERT] * 5)
        ((middle,),) = server.rows("SELECT pg_current_wal_insert_lsn()::text")
        server.run(*[INSERT] * 5)
        wait_until_all_is_away(server, archive)
    partial = max(name for name in archive.names() if name.endswith(".partial"))
    content = bytearray((archive.folder / partial).read_bytes())
    # Beyond the header of a page, should it begin here.
    content[position(middle) % SIZE + 48] ^= 0xFF
    archive.take(partial, io.BytesIO(content))
    with pytest.raises(BackupRefused, match="The WAL is damaged behind"):
        restored_ids(engine, [made], scratch, newest(archive).at)


def test_a_segment_that_is_cut_off(server, archive, receiver, engine, scratch):
    with receiving(receiver, engine):
        made = kept(engine, POINT_IN_TIME, scratch)
        server.run(INSERT, SWITCH, INSERT)
        wait_until_all_is_away(server, archive)
    last = max(name for name in archive.names() if len(name) == 24)
    archive.take(last, io.BytesIO((archive.folder / last).read_bytes()[:1000]))
    with pytest.raises(BackupRefused, match=r"does not come up.*has wrong size"):
        restored_ids(engine, [made], scratch, newest(archive).at)


# --- Receiving ------------------------------------------------------------------------------------
def test_what_is_away_is_not_kept_twice(server, archive, receiver, engine):
    with receiving(receiver, engine):
        server.run(INSERT, SWITCH, INSERT, SWITCH)
        wait_until_all_is_away(server, archive)
        wait_for(lambda: len([name for name in archive.names() if len(name) == 24]) >= 2)
    assert not [path for path in receiver.folder.iterdir() if len(path.name) == 24]


def test_a_segment_that_is_finished_at_this_moment(receiver):
    receiver.folder.mkdir()
    # It was listed under this name, and has another one by now.
    assert not receiver._take_file("000000010000000000000001.partial")


def test_a_connection_that_is_lost_leaves_no_hole(server, archive, receiver, engine, scratch):
    with receiving(receiver, engine):
        made = kept(engine, POINT_IN_TIME, scratch)
        server.run(INSERT, SWITCH, INSERT)
        server.run(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots", INSERT, SWITCH
        )
        server.run(INSERT)
        wait_for(lambda: engine.refusal(POINT_IN_TIME, parent=None) is None)
        wait_until_all_is_away(server, archive)
    assert restored_ids(engine, [made], scratch, newest(archive).at) == {1, 2, 3, 4}


def test_a_receiver_that_was_away_for_a_while(server, archive, receiver, engine, scratch):
    with receiving(receiver, engine):
        made = kept(engine, POINT_IN_TIME, scratch)
    server.run(INSERT, SWITCH, INSERT, SWITCH, INSERT, "CHECKPOINT")
    with receiving(receiver, engine):
        wait_until_all_is_away(server, archive)
    assert restored_ids(engine, [made], scratch, newest(archive).at) == {1, 2, 3}


def test_a_place_that_is_full_for_a_while(server, archive, receiver, engine, scratch, caplog):
    full = threading.Event()
    refusals: list[str] = []

    def take(name, source):
        if full.is_set():
            refusals.append(name)
            raise OSError(28, "No space left on device")
        archive.take(name, source)

    receiver.take = take
    with receiving(receiver, engine):
        made = kept(engine, POINT_IN_TIME, scratch)
        full.set()
        server.run(INSERT, SWITCH, INSERT)
        wait_for(lambda: len(refusals) >= 5)
        assert "No space left" in caplog.text
        before = newest(archive)
        wait_for(lambda: [one for one in receiver.folder.iterdir() if len(one.name) == 24])
        assert newest(archive) == before  # it promises nothing that it does not have
        full.clear()
        wait_until_all_is_away(server, archive)
    assert restored_ids(engine, [made], scratch, newest(archive).at) == {1, 2}
    # Once, not in each round.
    assert caplog.text.count("is not taken away") <= 3


def test_nobody_is_told_what_the_archive_does_not_know(server, archive, receiver, engine):
    told: list[Reached] = []
    refusals: list[str] = []

    def take(name, source):
        if name == REACHED and len(refusals) < 2:
            refusals.append(name)
            raise OSError(28, "No space left on device")
        archive.take(name, source)

    receiver.take, receiver.told = take, told.append
    with receiving(receiver, engine):
        wait_for(lambda: len(refusals) == 2)
        wait_for(lambda: told)
    assert newest(archive) in told


def test_somebody_is_told_how_far_it_is(server, archive, receiver, engine):
    told: list[Reached] = []
    receiver.told = told.append
    with receiving(receiver, engine):
        wait_for(lambda: len(told) >= 2)
    assert told[0].at < told[1].at
    assert newest(archive) in told
    assert {one.segment_size for one in told} == {SIZE}
    assert {one.timeline for one in told} == {1}


def test_a_commit_waits_for_a_receiver_that_is_a_standby(server, archive, receiver, engine):
    with receiving(receiver, engine):
        wait_for(
            lambda: server.rows("SELECT application_name FROM pg_stat_replication") == [(SLOT,)]
        )
        server.run(
            f"ALTER SYSTEM SET synchronous_standby_names = '{SLOT}'", "SELECT pg_reload_conf()"
        )
        try:
            wait_for(
                lambda: server.rows("SELECT sync_state FROM pg_stat_replication") == [("sync",)]
            )
            server.run("SET synchronous_commit = on", INSERT)
            # It was flushed by the receiver when the commit returned.
            ((behind,),) = server.rows(
                "SELECT flush_lsn >= (SELECT pg_current_wal_flush_lsn()) FROM pg_stat_replication"
            )
            assert behind
        finally:
            server.run(
                "SET synchronous_commit = local",
                "ALTER SYSTEM RESET synchronous_standby_names",
                "SELECT pg_reload_conf()",
            )
            wait_for(
                lambda: server.rows("SELECT sync_state FROM pg_stat_replication") == [("async",)]
            )


def test_the_folder_of_another_cluster(receiver):
    receiver.folder.mkdir()
    (receiver.folder / "system_identifier").write_text("1")
    with pytest.raises(BackupRefused, match="the WAL of another cluster"):
        receiver.receive(threading.Event())


def test_a_role_that_may_not_receive(server, receiver):
    receiver.parameters = server.seen_by(user="reader", password="reader")
    with pytest.raises(BackupRefused, match=f"slot {SLOT} cannot be made: permission denied"):
        receiver.receive(threading.Event())
    assert server.rows("SELECT count(*) FROM pg_replication_slots") == [(0,)]


def test_a_slot_that_somebody_else_has(server, archive, receiver, engine, tmp_path, caplog):
    second = replace(receiver, folder=tmp_path / "second")
    with receiving(receiver, engine), receiving(second):
        wait_for(lambda: "is active for PID" in caplog.text)
        wait_until_all_is_away(server, archive)


def test_a_slot_that_is_wanted_no_more(server, parameters, archive, receiver, engine):
    with receiving(receiver, engine), pytest.raises(BackupRefused, match="is active for PID"):
        drop_slot(parameters)
    assert drop_slot(parameters)
    assert not drop_slot(parameters)
    assert server.rows("SELECT count(*) FROM pg_replication_slots") == [(0,)]


# --- Names ----------------------------------------------------------------------------------------
def names(*numbers: int, timeline: int = 1) -> list[str]:
    return [Segment(timeline, number).name(size=SIZE) for number in numbers]


def test_the_names_are_postgresqls(server):
    ((lsn, name),) = server.rows(
        "SELECT lsn::text, pg_walfile_name(lsn) FROM (SELECT '2A/FE000028'::pg_lsn) AS _ (lsn)"
    )
    segment = Segment.at(lsn, timeline=1, size=SIZE)
    assert segment.name(size=SIZE) == name
    assert Segment.named(name, size=SIZE) == segment
    assert Segment.named(f"{name}.partial", size=SIZE) == segment
    assert Segment.named("00000002.history", size=SIZE) is None


def test_where_a_record_ends():
    assert end_of_record("0/6018") == "0/6000"  # behind the header of a page
    assert end_of_record("1/A000028") == "1/A000000"  # and that of a segment
    assert end_of_record("0/6040") == "0/6040"


WAY: dict[str, Any] = {"from_lsn": "0/3000028", "to_lsn": "0/5000100", "timeline": 1, "size": SIZE}


def test_a_chain_without_holes():
    assert verify_chain(names(2, 3, 4, 5, 6), **WAY) == []
    three, four, five = names(3, 4, 5)
    assert verify_chain([three, four, f"{five}.partial"], **WAY) == []
    # Left over from before it was whole.
    assert verify_chain([three, f"{three}.partial", four, five], **WAY) == []
    # The first byte behind a segment is not needed.
    assert verify_chain([three], **{**WAY, "to_lsn": "0/4000000"}) == []


def test_each_fault_of_a_chain_is_named():
    three, four, five = names(3, 4, 5)
    assert verify_chain([three, f"{four}.partial"], **WAY) == [
        f"Segment {four} of the WAL is there in part only.",
        f"Segment {five} of the WAL is missing.",
    ]
    assert verify_chain([three, four, four, five], **WAY) == [
        f"Segment {four} of the WAL is there twice."
    ]
    assert len(verify_chain([], **WAY)) == 3


def test_a_chain_follows_the_timelines():
    history = "1\t0/4000100\tno recovery target specified\n\n2\t0/5000080\tbefore 2026 # why\n"
    assert forks(history) == {1: position("0/4000100"), 2: position("0/5000080")}
    way = {**WAY, "to_lsn": "0/6000100", "to_timeline": 3, "history": history}
    (three, four), (second,) = names(3, 4), names(5, timeline=2)
    (first_of_second,) = names(4, timeline=2)
    third = names(5, 6, timeline=3)
    whole = [three, f"{four}.partial", first_of_second, f"{second}.partial", *third]
    assert verify_chain(whole, **way) == []
    # Of the segment of a fork the later timeline has all.
    assert verify_chain([three, first_of_second, *third], **way) == []
    assert verify_chain([three, four, second, *third], **way) == [
        f"Segment {first_of_second} of the WAL is missing."
    ]
    # A backup of the timeline after the fork wants nothing of the one before.
    assert verify_chain(third, **{**way, "timeline": 3, "from_lsn": "0/5000090"}) == []
    assert verify_chain(whole, **{**way, "history": ""}) == [
        "Timeline 3 of the WAL does not come from timeline 1."
    ]


def test_what_no_backup_needs():
    three, four, five = names(3, 4, 5)
    known = [three, four, f"{four}.partial", f"{five}.partial", "00000002.history", REACHED]
    assert unneeded(known, from_lsn="0/4000028", size=SIZE) == [three, f"{four}.partial"]
