"""A backup of this deployment: the usual kind, all its pieces, every place, and its commands."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from ops.backups import (
    deployment,
    freshness,
    inventory,
    media,
    proofs,
    reading,
    records,
    shared_files,
    taking,
)
from ops.backups import jobs as backup_jobs
from ops.backups import manifest as manifests
from ops.backups.errors import BackupRefused
from ops.backups.lock import alone
from ops.backups.metrics import OVERDUE, PROVEN_AGE
from ops.models import Backup, BackupKind, BackupTrigger, FilePurpose, OperationalEvent, RunStatus
from ops.services import files
from ops.services.jobs import jobs
from ops.tests import backup_shelf as shelf
from ops.tests.dump_backups import programs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


@pytest.fixture
def folder(tmp_path, settings):
    settings.BACKUP_DIR = tmp_path / "backups"
    settings.PG_TOOLS_DIR = str(programs())
    (place,) = deployment.places()
    return place


@pytest.fixture
def bucket(folder, tmp_path, settings):
    settings.STORAGES = settings.STORAGES | {
        "backups": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "bucket"},
        }
    }
    settings.BACKUP_STORAGE_BUCKET = "shop"
    _first, place = deployment.places()
    return place


def picture(content=b"a picture"):
    return files.store(content=content, purpose=FilePurpose.RECEIPT, media_type="image/png")


def take(**facts):
    return taking.back_up(trigger=BackupTrigger.HAND, **facts)


def told(kind):
    return OperationalEvent.objects.filter(kind=kind).count()


# --- What is in it --------------------------------------------------------------------------------
@pytest.mark.postgresql
def test_database_files_seals_and_configuration_are_in_it_and_in_each_place(folder, bucket):
    row = picture()
    storages["seals"].save("2026-01-02.json.gz", ContentFile(b"a seal"))
    manifest = take()
    assert [piece.name for piece in manifest.pieces] == ["database", "configuration", "media"]
    assert manifest.row_counts["ops_storedfile"] == 0, "as others see it: this one is not committed"
    for place in (folder, bucket):
        stored = reading.find(place, manifest.id)
        stored.verify()
        listed = shared_files.listing(stored)
        assert [(one.storage, one.path) for one in listed] == [
            ("default", row.path),
            ("seals", "2026-01-02.json.gz"),
        ]
        assert media.check(listed, open_file=shared_files.opener(place, manifest)) == 2
        with stored.reading("configuration") as plain:
            assert "settings" in json.loads(plain.read())


@pytest.mark.postgresql
def test_without_media_the_seals_are_in_it_all_the_same(folder):
    picture()
    storages["seals"].save("2026-01-02.json.gz", ContentFile(b"a seal"))
    manifest = take(with_media=False)
    listed = shared_files.listing(reading.find(folder, manifest.id))
    assert [one.storage for one in listed] == ["seals"]


@pytest.mark.postgresql
def test_a_file_is_stored_once_for_all_backups(folder, bucket):
    picture()
    take()
    (name,) = folder.shared_names()
    before = (deployment.root() / "shared" / name).stat().st_mtime_ns
    picture(b"another one")
    take()
    assert len(set(folder.shared_names())) == 2
    assert (deployment.root() / "shared" / name).stat().st_mtime_ns == before
    assert set(bucket.shared_names()) == set(folder.shared_names())


@pytest.mark.postgresql
def test_a_file_that_is_gone_is_told_and_keeps_no_backup_from_being_made(folder, capsys):
    row = picture()
    storages["default"].delete(row.path)
    call_command("backup")
    said = capsys.readouterr()
    assert f"default:{row.path} is missing." in said.err
    backup = Backup.objects.get()
    assert backup.status == RunStatus.SUCCEEDED
    assert backup.log == f"default:{row.path} is missing."


@pytest.mark.postgresql
def test_a_file_that_is_missing_in_a_place_is_named(folder):
    picture()
    manifest = take()
    (name,) = folder.shared_names()
    folder.remove_shared(name)
    with pytest.raises(CommandError, match=f"The file {name} of backup {manifest.id} is missing"):
        call_command("verify_backup", manifest.id)


@pytest.mark.postgresql
def test_a_bucket_that_is_away_costs_its_own_copy_alone(folder, bucket, tmp_path):
    (tmp_path / "bucket").write_text("no folder", encoding="utf-8")
    with pytest.raises(BackupRefused, match="is not in s3://shop/backups"):
        take()
    (identifier,) = folder.identifiers()
    reading.find(folder, identifier).verify()
    row = Backup.objects.get()
    assert row.status == RunStatus.SUCCEEDED
    assert "is not in s3://shop/backups" in row.log
    assert told("backup_failed") == 1


# --- Which kind -----------------------------------------------------------------------------------
@pytest.mark.postgresql
def test_a_dump_is_always_full(folder):
    assert take().kind == BackupKind.FULL
    assert take().kind == BackupKind.FULL
    with pytest.raises(BackupRefused, match="full backups alone"):
        take(kind=BackupKind.INCREMENTAL)
    assert len(folder.identifiers()) == 2


class Pages:
    """What an engine of increments says of itself."""

    name = "notebook"

    def __init__(self, *kinds):
        self._kinds = kinds or (BackupKind.INCREMENTAL, BackupKind.FULL)

    def kinds(self):
        return self._kinds


def usual(folder, engine):
    return taking._usual(engine, inventory.known(folder))


def test_an_increment_follows_for_seven_days(folder):
    assert usual(folder, Pages()) == BackupKind.FULL
    full = shelf.put(folder, age=timedelta(days=7) - timedelta(minutes=5))
    link = shelf.put(folder, age=timedelta(days=1), parent=full)
    assert usual(folder, Pages()) == BackupKind.INCREMENTAL
    engine: Any = Pages()
    newest = taking.newest_of(engine, inventory.known(folder))
    assert newest
    assert newest.manifest.id == link.id
    folder.remove(full.id)
    assert usual(folder, Pages()) == BackupKind.FULL, "what it would follow is not whole"
    shelf.put(folder, age=timedelta(days=7, minutes=5))
    assert usual(folder, Pages()) == BackupKind.FULL


def test_a_full_one_begins_every_moment_where_that_is_kept(folder):
    engine = Pages(BackupKind.FULL, BackupKind.INCREMENTAL, BackupKind.POINT_IN_TIME)
    assert usual(folder, engine) == BackupKind.POINT_IN_TIME


def test_an_exchanged_parent_is_followed_by_none(folder):
    full = shelf.put(folder, age=timedelta(days=2))
    link = shelf.put(folder, age=timedelta(days=1), parent=full)
    other = shelf.put(folder, age=timedelta(days=2))
    root = deployment.root()
    stored = inventory.known(folder)
    assert [one.id for one in stored.chain(link.id) or []] == [full.id, link.id]
    forged = (root / other.id / "manifest.json").read_bytes()
    (root / full.id / "manifest.json").write_bytes(forged)
    stored = inventory.known(folder)
    assert list(stored.unreadable) == [full.id]
    assert stored.chain(link.id) is None


def test_a_link_that_was_made_anew_is_no_link(folder):
    """Its seal is good, and is not the one that the increment names."""
    full = shelf.put(folder, age=timedelta(days=2))
    link = shelf.put(folder, age=timedelta(days=1), parent=full)
    other = manifests.sealed(replace(full, code_version="another"))
    path = deployment.root() / full.id / "manifest.json"
    path.write_bytes(manifests.written(other))
    stored = inventory.known(folder)
    assert stored.unreadable == {}
    assert stored.chain(full.id) is not None
    assert stored.chain(link.id) is None


def test_an_engine_is_found_by_its_name(settings, db):
    assert deployment.engine_named(deployment.engine().name).name == deployment.engine().name
    with pytest.raises(BackupRefused, match="another kind of database"):
        deployment.engine_named("notebook")


@pytest.mark.postgresql
def test_the_method_of_the_settings_is_used(settings):
    assert deployment.engine().name == "pg_dump"
    settings.BACKUP_METHOD = "pages"
    assert deployment.engine().name == "pg_basebackup"


# --- Commands -------------------------------------------------------------------------------------
@pytest.mark.postgresql
def test_it_is_made_listed_and_verified_by_commands(folder, capsys):
    call_command("backup", "--full")
    (identifier,) = folder.identifiers()
    said = capsys.readouterr().out
    assert f"Backup {identifier}: Full, " in said
    assert "counts once it was proven" in said
    call_command("backups")
    assert f"{identifier}  full" in (said := capsys.readouterr().out)
    assert "not proven" in said
    assert "No backup is proven." in said
    call_command("verify_backup", identifier)
    assert f"{identifier} is whole (backups: 1, " in capsys.readouterr().out


@pytest.mark.postgresql
def test_another_folder_may_be_named(folder, tmp_path, capsys):
    elsewhere = tmp_path / "elsewhere"
    call_command("backup", to=elsewhere)
    assert folder.identifiers() == []
    (identifier,) = [path.name for path in elsewhere.glob("*Z-*")]
    with pytest.raises(CommandError, match="There is no backup"):
        call_command("verify_backup", identifier)
    capsys.readouterr()
    call_command("verify_backup", identifier, folder=str(elsewhere))
    assert "is whole" in capsys.readouterr().out
    with pytest.raises(CommandError, match="There is no folder"):
        call_command("verify_backup", identifier, folder=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("where", ["BACKUP_DIR", "to"])
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(tmp_path, settings, where):
    file = tmp_path / "file"
    file.write_text("no folder", encoding="utf-8")
    settings.BACKUP_DIR = file if where == "BACKUP_DIR" else tmp_path / "backups"
    with pytest.raises(CommandError) as refused:
        call_command("backup", **({"to": file} if where == "to" else {}))
    assert "cannot be used" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert not Backup.objects.exists()


def test_a_second_run_at_once_is_refused_and_writes_nothing_down(folder):
    with alone(deployment.root()), pytest.raises(CommandError, match="wait until it is done"):
        call_command("backup")
    assert not Backup.objects.exists()
    assert not OperationalEvent.objects.exists()


@pytest.mark.parametrize("identifier", ["", "../../etc", "20260101T000000Z-ABCDEF", "latest"])
def test_an_identifier_that_is_none_is_refused(folder, identifier):
    with pytest.raises(CommandError, match="no identifier of a backup"):
        call_command("verify_backup", identifier)


@pytest.mark.postgresql
def test_a_damaged_one_is_refused_and_named(folder):
    manifest = take()
    path = deployment.root() / manifest.id / "database.age"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CommandError, match=f"{manifest.id}, piece database"):
        call_command("verify_backup", manifest.id)


def test_one_place_of_two_may_not_have_it(folder, bucket, capsys):
    manifest = shelf.put(folder)
    call_command("verify_backup", manifest.id)
    said = capsys.readouterr()
    assert f"{deployment.root()}: {manifest.id} is whole" in said.out
    assert f"There is no backup {manifest.id} in s3://shop/backups." in said.err


# --- How old they may be --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "hours"), [("0 2 * * *", 26), ("0 */6 * * *", 8), ("0 2 * * 1", 170)]
)
def test_they_may_be_as_old_as_the_pause_and_two_hours(settings, line, hours):
    settings.BACKUP_SCHEDULE = line
    assert deployment.oldest_allowed() == timedelta(hours=hours)


def check(**options):
    """The exit status of `backups --check`."""
    try:
        call_command("backups", check=True, **options)
    except SystemExit as end:
        return end.code
    return 0


@pytest.mark.parametrize(("hours", "status"), [(25.9, 0), (26.1, 1)])
def test_the_check_fails_when_the_newest_proven_one_is_too_old(folder, capsys, hours, status):
    shelf.put(folder, age=timedelta(hours=hours), proven=True)
    shelf.put(folder)
    assert check() == status
    assert ("more than 26 hours" in capsys.readouterr().out) == bool(status)


def test_the_check_fails_without_a_proven_one(folder, capsys):
    assert check() == 1
    shelf.put(folder)
    assert check() == 1
    assert "No backup is proven." in capsys.readouterr().out


def test_the_check_does_not_believe_rows_of_what_is_gone_or_incomplete(folder, capsys):
    full = shelf.put(folder, age=timedelta(hours=2))
    link = shelf.put(folder, age=timedelta(hours=1), parent=full, proven=True)
    assert check() == 0
    folder.remove(full.id)
    assert check() == 1
    assert "a backup that it follows is missing" in capsys.readouterr().out
    folder.remove(link.id)
    assert check() == 1


def test_what_cannot_be_read_is_told(folder, capsys):
    lost = shelf.put(folder)
    (deployment.root() / lost.id / "manifest.json").write_text("{}", encoding="utf-8")
    call_command("backups")
    assert f"Backup {lost.id}: The manifest cannot be read." in capsys.readouterr().err


def test_machines_are_told_in_json(folder, capsys):
    manifest = shelf.put(folder, age=timedelta(hours=1), proven=True)
    assert check(json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["newest_proven"] == manifest.id
    assert said["is_good"] is True
    assert said["oldest_allowed_seconds"] == 26 * 3600
    (one,) = said["backups"]
    assert (one["id"], one["kind"], one["is_whole"]) == (manifest.id, "full", True)
    assert one["places"] == [str(deployment.root())]


def test_age_and_delay_are_those_of_the_newest_proven_one(folder):
    now = timezone.now()
    assert PROVEN_AGE.values() == {}
    assert OVERDUE.values() == {(): 0}
    # No alert for an installation that is new: the suite's own is.
    assert freshness.look(now).newest is None
    assert freshness.look(now).overdue == timedelta()
    assert freshness.look(now + timedelta(days=400)).overdue > timedelta(days=300)
    shelf.put(folder, age=timedelta(hours=30), proven=True)
    shelf.put(folder, age=timedelta(hours=1))
    assert freshness.look(now).overdue == pytest.approx(
        timedelta(hours=4), abs=timedelta(minutes=1)
    )
    proven = shelf.put(folder, age=timedelta(hours=2), proven=True)
    newest = freshness.look(now).newest
    assert newest
    assert newest.identifier == proven.id
    assert freshness.look(now).overdue == timedelta()
    assert PROVEN_AGE.values()[()] == pytest.approx(7200, abs=60)
    records.mark_removed([proven.id])
    assert freshness.look(now).overdue > timedelta(hours=3)


# --- By itself ------------------------------------------------------------------------------------
@pytest.mark.postgresql
def test_the_job_backs_up_and_takes_old_ones_away(folder, settings):
    settings.BACKUP_RETENTION_DAYS = 3
    old = shelf.put(folder, age=timedelta(days=4))
    done = backup_jobs.back_up(now=timezone.now())
    (identifier,) = folder.identifiers()
    assert identifier != old.id
    assert done["backup"] == identifier
    assert done["removed"] == 1
    assert Backup.objects.get(identifier=identifier).trigger == BackupTrigger.SCHEDULE


def test_it_is_due_at_two_in_the_night_with_nobody_configuring_it():
    job = jobs["backup"]
    assert job.cron == django_settings.BACKUP_SCHEDULE == "0 2 * * *"
    due = timezone.localtime(job.next_after(timezone.now()))
    assert (due.hour, due.minute) == (2, 0)
    assert Path(django_settings.BACKUP_DIR).name == "backups"


# --- Rows -----------------------------------------------------------------------------------------
def test_rows_are_written_again_from_manifests(folder):
    full = shelf.put(folder, age=timedelta(days=1))
    link = shelf.put(folder, parent=full)
    orphan = shelf.put(folder, parent=shelf.put(folder, age=timedelta(days=3)))
    folder.remove(orphan.parent)
    proof = proofs.Proof(
        backup=link.id, manifest_seal=link.seal, proven_at=timezone.now(), seconds={"rows": 2.5}
    )
    proofs.keep(proof, link, folder)
    before = {row.identifier: row for row in Backup.objects.all()}
    for row in Backup.objects.order_by("-id"):
        row.delete()
    assert records.write_again([folder]) == 2
    assert records.write_again([folder]) == 0
    rows = {row.identifier: row for row in Backup.objects.all()}
    assert set(rows) == {full.id, link.id}
    assert rows[link.id].parent == rows[full.id]
    assert (rows[link.id].proven_at, rows[link.id].proof_seconds) == (proof.proven_at, 2.5)
    assert rows[full.id].proven_at is None
    for name in ("size", "sha256", "row_counts", "key_id", "kind", "started_at", "finished_at"):
        assert getattr(rows[full.id], name) == getattr(before[full.id], name)


def test_of_a_backup_without_a_row_nothing_is_noted(folder):
    records.note_failed_proof("20260101T000000Z-abcdef", "It is damaged.")
    assert not Backup.objects.exists()


def test_a_backup_without_a_list_knows_no_files(folder):
    manifest = shelf.put(folder)
    stored = reading.find(folder, manifest.id)
    pieces = [one for one in manifest.pieces if one.name != shared_files.MEDIA]
    bare = replace(stored, manifest=replace(manifest, pieces=pieces))
    assert shared_files.listing(bare) == []


def test_the_row_of_a_killed_command_is_closed(folder):
    whole = shelf.put(folder)
    Backup.objects.filter(identifier=whole.id).update(status=RunStatus.RUNNING, finished_at=None)
    killed = Backup.objects.create(location=folder.name)
    others = Backup.objects.create(location="another machine's")
    assert records.close_lost(folder, inventory.known(folder)) == 2
    killed.refresh_from_db()
    others.refresh_from_db()
    assert (killed.status, others.status) == (RunStatus.FAILED, RunStatus.RUNNING)
    assert "was killed" in killed.log
    assert Backup.objects.get(identifier=whole.id).status == RunStatus.SUCCEEDED
