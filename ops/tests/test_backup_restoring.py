"""A backup lives again: proven beside the live database, and restored in its place."""

import errno
import json
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone, translation

from accounts.models import PointsEntry, User
from ops.backups import copies, deployment, proofs, proving, reading, restoring, taking
from ops.backups.errors import BackupRefused
from ops.backups.lock import alone
from ops.backups.places import Folder
from ops.backups.restoring import Wish
from ops.models import (
    Backup,
    BackupTrigger,
    FilePurpose,
    LedgerSeal,
    Maintenance,
    OperationalEvent,
    ProcessBeat,
    RunStatus,
    ServingProcess,
    StoredFile,
)
from ops.services import files, maintenance, seal_files, seals
from ops.tests import backup_shelf as shelf
from ops.tests import own_platforms
from ops.tests.after_restore_probe.apps import LIST
from tests.people import make_person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _english(monkeypatch):
    monkeypatch.setenv("LANGUAGE_CODE", "en")
    with translation.override("en"):
        yield


on_both = pytest.mark.parametrize("vendor", own_platforms.BOTH)


@pytest.fixture
def folder(platform):
    (place,) = deployment.places()
    return place


def take(**facts):
    return taking.back_up(trigger=BackupTrigger.HAND, **facts)


def restore(identifier, **facts):
    return restoring.restore(Wish(identifier=identifier, **facts), places=deployment.places())


def people():
    return sorted(User.objects.values_list("phone", flat=True))


def told(kind):
    return [event.facts for event in OperationalEvent.objects.filter(kind=kind)]


def state():
    """What a refusal must leave as it is."""
    return (
        people(),
        sorted(Backup.objects.values_list("identifier", "status")),
        sorted(storages["default"].listdir(".")[0]),
        list(Maintenance.objects.values_list("is_on", flat=True)),
    )


# --- Proof ----------------------------------------------------------------------------------------
@on_both
def test_a_backup_is_proven_by_living_again(folder, capsys):
    seals.seal_ledgers(now=timezone.now())
    manifest = take()
    call_command("verify_backup", manifest.id, "--prove")
    said = capsys.readouterr().out
    assert "restoring: " in said
    assert "checks of integrity: " in said
    assert "Proven in " in said
    proof = proofs.read(reading.find(folder, manifest.id))
    assert proof
    assert list(proof.seconds) == ["files", "restore", "rows", "checks"]
    row = Backup.objects.get()
    assert (row.proven_at, row.proof_seconds) == (proof.proven_at, proof.seconds_in_all)
    assert [one["backup"] for one in told("backup_proven")] == [manifest.id]
    assert not list((deployment.root() / ".work").iterdir())
    call_command("backups", "--check")
    assert people() == ["13800138000"]


def test_what_was_wrong_before_is_seen_and_told(folder):
    User.objects.update(total_points=7)
    manifest = take()
    with pytest.raises(
        BackupRefused, match=r"check_integrity on the restored copy says: .*balance"
    ):
        proving.prove(manifest.id)
    row = Backup.objects.get()
    assert row.proven_at is None
    assert row.proof_failed_at is not None
    assert "check_integrity on the restored copy says" in row.log
    (fact,) = told("backup_not_proven")
    assert fact["backup"] == manifest.id
    assert proofs.read(reading.find(folder, manifest.id)) is None
    assert proving.prove_newest(now=timezone.now()) is None, "it was tried"


def test_seals_that_do_not_go_with_the_rows_are_seen(folder):
    """Those of the backup, not those that lie at the platform by now."""
    make_person(points=5)
    seals.seal_ledgers(now=timezone.now())
    (day,) = seal_files.days()
    manifest = take()
    name = f"{day.isoformat()}.json.gz"
    storages["seals"].delete(name)
    assert proving.prove(manifest.id).backup == manifest.id
    storages["seals"].save(name, ContentFile(b"no seal"))
    broken = take()
    with pytest.raises(BackupRefused, match="its file is damaged"):
        proving.prove(broken.id)


@on_both
def test_the_newest_is_proven_once(folder):
    assert proving.prove_newest(now=timezone.now()) is None
    take()
    second = take()
    assert proving.prove_newest(now=timezone.now()) == second.id
    assert proving.prove_newest(now=timezone.now()) is None
    assert [one["backup"] for one in told("backup_proven")] == [second.id]


def test_a_proof_is_kept_in_each_place_that_has_the_backup(folder, settings, tmp_path):
    manifest = take()
    settings.STORAGES = settings.STORAGES | {
        "backups": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "bucket"},
        }
    }
    settings.BACKUP_STORAGE_BUCKET = "shop"
    in_both = take()
    _first, bucket = deployment.places()
    for one in (manifest, in_both):
        proving.prove(one.id)
        assert proofs.read(reading.find(folder, one.id))
    assert bucket.identifiers() == [in_both.id]
    assert proofs.read(reading.find(bucket, in_both.id))


def test_what_no_engine_reads_is_read_as_well(folder):
    """The next increment would need it."""
    manifest = take()
    path = deployment.root() / manifest.id / "pages.age"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BackupRefused, match=f"Backup {manifest.id}, piece pages"):
        proving.prove(manifest.id)


def test_a_proof_counts_where_another_place_cannot_take_it(folder, settings, tmp_path):
    settings.BACKUP_STORAGE_BUCKET = "shop"

    def bucket_that_fails_at(*steps):
        return {
            "BACKEND": "ops.tests.storages.FailingFolder",
            "OPTIONS": {"fails": steps, "location": tmp_path / "bucket"},
        }

    settings.STORAGES = settings.STORAGES | {"backups": bucket_that_fails_at()}
    manifest = take()
    settings.STORAGES = settings.STORAGES | {"backups": bucket_that_fails_at("save")}
    proving.prove(manifest.id)
    row = Backup.objects.get()
    assert row.proven_at is not None
    assert "The proof is not in s3://shop/backups: " in row.log
    first, second = (reading.find(one, manifest.id) for one in deployment.places())
    assert proofs.read(first)
    assert proofs.read(second) is None


def test_one_that_failed_is_tried_three_times_an_hour_apart(folder):
    manifest = take()
    (deployment.root() / manifest.id / "database.age").unlink()
    now = timezone.now()
    for hour in range(3):
        moment = now + timedelta(hours=2 * hour)
        with pytest.raises(BackupRefused):
            proving.prove_newest(now=moment)
        Backup.objects.update(proof_failed_at=moment)
        assert proving.prove_newest(now=moment + timedelta(minutes=59)) is None
    assert proving.prove_newest(now=now + timedelta(days=1)) is None
    assert OperationalEvent.objects.filter(kind="backup_not_proven").count() == 3
    assert Backup.objects.get(identifier=manifest.id).proven_at is None


def test_a_disk_that_is_full_is_written_down(folder, monkeypatch):
    manifest = take()

    def full(**_facts):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(BackupRefused, match="could not be restored: No space left on device"):
        proving.prove(manifest.id)
    assert "No space left on device" in Backup.objects.get().log


def test_a_backup_whose_link_is_missing_says_so(folder):
    first = take()
    second = take()
    assert second.parent == first.id
    folder.remove(first.id)
    with pytest.raises(BackupRefused, match=f"There is no backup {first.id}"):
        proving.prove_newest(now=timezone.now())
    row = Backup.objects.get(identifier=second.id)
    assert row.proof_failed_at is not None
    assert first.id in row.log
    # After a restore there may be no row of it; none is written of what cannot be read.
    for one in (row, Backup.objects.get(identifier=first.id)):
        one.delete()
    assert proving.prove_newest(now=timezone.now()) is None


def test_a_proof_goes_with_no_other_backup(folder):
    one, other = shelf.put(folder), shelf.put(folder)
    proof = proofs.Proof(
        backup=one.id, manifest_seal=one.seal, proven_at=timezone.now(), seconds={"rows": 1.0}
    )
    proofs.keep(proof, one, folder)
    proofs.keep(replace(proof, seconds={"rows": 2.0}), one, folder)
    kept = proofs.read(reading.find(folder, one.id))
    assert kept
    assert kept.seconds_in_all == 2.0
    path = deployment.root() / one.id / proofs.PROOF
    beside = deployment.root() / other.id / proofs.PROOF
    beside.write_bytes(path.read_bytes())
    assert proofs.read(reading.find(folder, other.id)) is None
    facts = json.loads(path.read_text(encoding="utf-8"))
    damaged: Any
    for damaged in (
        {**facts, "seconds": {}},
        {**facts, "seal": "é"},
        {name: value for name, value in facts.items() if name != "seal"},
        [],
    ):
        path.write_text(json.dumps(damaged), encoding="utf-8")
        assert proofs.read(reading.find(folder, one.id)) is None
    path.unlink()
    assert proofs.read(reading.find(folder, one.id)) is None


# --- What a copy has to be ------------------------------------------------------------------------
def counted(**rows: int) -> Any:
    """A copy with so many rows in its tables, and nowhere."""
    return SimpleNamespace(count_rows=lambda: rows, environment={"SQLITE_FILE": "nowhere"})


def test_each_table_has_the_rows_that_it_had(folder):
    manifest = replace(shelf.put(folder), row_counts={"a": 3, "b": 0})
    copies.compare_counts(counted(a=3, b=0), manifest)
    for wrong in ({"a": 2, "b": 0}, {"a": 3}, {"a": 3, "b": 0, "c": 1}):
        with pytest.raises(BackupRefused, match="rows, and had"):
            copies.compare_counts(counted(**wrong), manifest)


def test_between_two_counts_a_ledger_lies_between_them(folder):
    name = PointsEntry._meta.db_table
    manifest = replace(shelf.put(folder), row_counts={name: 3}, row_counts_after={name: 5})
    for count in (3, 4, 5):
        copies.compare_counts(counted(**{name: count}), manifest)
    for count in (2, 6):
        with pytest.raises(BackupRefused, match="had 3–5 when"):
            copies.compare_counts(counted(**{name: count}), manifest)


def test_of_rows_that_come_and_go_the_number_says_nothing(folder):
    """Ten samples came between the two counts, and then a hundred old ones were forgotten."""
    manifest = replace(
        shelf.put(folder), row_counts={"samples": 100, "a": 1}, row_counts_after={"samples": 10}
    )
    copies.compare_counts(counted(samples=110), manifest)
    copies.compare_counts(counted(samples=110, new=1), manifest)
    with pytest.raises(BackupRefused, match="samples has no rows"):
        copies.compare_counts(counted(a=1), manifest)


def test_of_a_later_moment_nobody_counted_the_rows(folder, tmp_path):
    manifest = take()
    engine: Any = SimpleNamespace(
        restored=lambda _chain, **_facts: nullcontext(counted(a=1)), name="notebook"
    )
    chain = reading.chain(folder, manifest.id)
    works = [tmp_path / "one", tmp_path / "two"]
    for work in works:
        work.mkdir()
    clock = copies.Clock()
    with copies.living(chain, engine=engine, work=works[0], clock=clock, at=timezone.now()):
        assert list(clock.seconds) == ["restore"]
    living = copies.living(chain, engine=engine, work=works[1], clock=clock)
    with pytest.raises(BackupRefused, match="rows, and had"), living:
        pass


def test_a_backup_of_a_newer_version_is_refused(folder):
    manifest = replace(shelf.put(folder), migrations=["ops.9999_of_tomorrow"])
    with pytest.raises(BackupRefused, match=r"does not know ops\.9999_of_tomorrow"):
        copies.check_version(manifest)


def test_nothing_of_the_live_platform_is_in_the_environment_of_a_copy(
    folder, tmp_path, monkeypatch
):
    address = "postgres://a:b@c:1/name%20x?sslmode=require"
    restored: Any = SimpleNamespace(environment={"DATABASE_URL": address})
    monkeypatch.setenv("SEALS_BUCKET", "shop-seals")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("SENTRY_DSN", "https://key@sentry.example.com/1")
    found = copies.Copy(restored, tmp_path).environment
    assert found["DATABASE_URL"] == address
    assert found[copies.MARK] == "name x"
    for name in ("SEALS_BUCKET", "REDIS_URL", "SENTRY_DSN"):
        assert found[name] == ""
    for name in ("SEALS_DIR", "METRICS_DIR", "LOG_DIR"):
        assert found[name].startswith(str(tmp_path))


# --- Restoring ------------------------------------------------------------------------------------
@on_both
def test_the_past_takes_the_place_of_the_present_which_is_kept(folder, platform):
    seals.seal_ledgers(now=timezone.now() - timedelta(days=1))
    before = take()
    make_person(phone="13900139000")
    (picture,) = StoredFile.objects.all()
    storages["default"].delete(picture.path)
    newer = files.store(content=b"newer", purpose=FilePurpose.RECEIPT, media_type="image/png")
    seals.seal_ledgers(now=timezone.now())
    later = take()
    outcome = restore(before.id)
    assert people() == ["13800138000"]
    assert storages["default"].exists(picture.path)
    assert storages["default"].exists(newer.path), "what is there besides stays"
    assert outcome.files
    assert outcome.files.written == 1
    # Its rows know what was made since, and that the backup itself is whole.
    assert outcome.present
    rows = {row.identifier: row for row in Backup.objects.all()}
    assert set(rows) == {before.id, later.id, outcome.present}
    assert {row.status for row in rows.values()} == {RunStatus.SUCCEEDED}
    assert rows[outcome.present].trigger == BackupTrigger.RESTORE
    # The seal of the other course is put aside, and sealing goes on.
    assert len(seal_files.days()) == LedgerSeal.objects.count() == 1
    assert seals.seal_ledgers(now=timezone.now()) is not None
    call_command("check_integrity")
    assert [one["backup"] for one in told("backup_restored")] == [before.id]
    assert not maintenance.is_on()
    assert list(Maintenance.objects.values_list("is_on", flat=True)) in ([], [False])
    # And back again.
    restore(outcome.present)
    assert people() == ["13800138000", "13900139000"]


def test_the_command_asks_and_says_what_became_of_everything(folder, capsys, monkeypatch):
    manifest = take()
    monkeypatch.setattr("builtins.input", lambda _question: "no")
    before = state()
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("restore_backup", manifest.id)
    assert state() == before
    monkeypatch.setattr("builtins.input", lambda _question: "yes")
    call_command("restore_backup", manifest.id)
    said = capsys.readouterr().out
    assert f"{manifest.id} is the live database now." in said
    assert "Its former state is the " in said
    assert "Files: 1 were there, 0 were written." in said
    assert "taking its place: " in said
    (present,) = set(folder.identifiers()) - {manifest.id}
    assert f"and backup {present}." in said


def test_a_file_that_is_another_one_by_now_is_kept_beside(folder, capsys):
    manifest = take()
    (picture,) = StoredFile.objects.all()
    storages["default"].delete(picture.path)
    storages["default"].save(picture.path, ContentFile(b"painted over"))
    call_command("restore_backup", manifest.id, "--yes", "--no-media", "--no-backup")
    said = capsys.readouterr()
    assert "The present state is not backed up" in said.err
    assert folder.identifiers() == [manifest.id]
    with storages["default"].open(picture.path) as stored:
        assert stored.read() == b"painted over"
    call_command("restore_backup", manifest.id, "--yes")
    with storages["default"].open(picture.path) as stored:
        assert stored.read() == b"a picture"
    assert f"is kept as {picture.path}.before-restore" in capsys.readouterr().out


@on_both
def test_to_another_name_the_live_one_stays_as_it_is(folder, platform, capsys):
    manifest = take()
    make_person(phone="13900139000")
    before = state()
    name = "own_other" if connection.vendor == "sqlite" else f"{platform}_other"
    call_command("restore_backup", manifest.id, "--to", name)
    assert f"is restored as {name}" in capsys.readouterr().out
    assert state() == before
    with pytest.raises(CommandError, match="already: choose another name"):
        call_command("restore_backup", manifest.id, "--to", name)
    assert "files" not in capsys.readouterr().out, "it is said before any work"
    if connection.vendor == "sqlite":
        with pytest.raises(CommandError, match="There is no folder"):
            call_command("restore_backup", manifest.id, "--to", "no/where")
    assert state() == before


@on_both
def test_a_new_machine_gets_all_of_it(folder, platform, tmp_path, empty_sqlite):
    manifest = take()
    if connection.vendor == "sqlite":
        connection.close()
        (tmp_path / "live" / "db.sqlite3").unlink()
    else:
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    call_command("restore_backup", manifest.id, "--yes")
    assert people() == ["13800138000"]
    assert folder.identifiers() == [manifest.id], "there was no state to back up"
    call_command("check_integrity")


def test_the_first_place_that_has_all_of_it_is_read(folder, platform, tmp_path):
    manifest = take()
    second = Folder(tmp_path / "second")
    draft = tmp_path / "draft"
    draft.mkdir()
    for path in (deployment.root() / manifest.id).iterdir():
        (draft / path.name).write_bytes(path.read_bytes())
    second.take(manifest.id, draft)
    for name in folder.shared_names():
        second.take_shared(name, deployment.root() / "shared" / name)
    (deployment.root() / manifest.id / "database.age").write_bytes(b"damaged")
    places = [folder, second]
    make_person(phone="13900139000")
    restoring.restore(Wish(identifier=manifest.id, keeps_present=False), places=places)
    assert people() == ["13800138000"]


# --- What is refused ------------------------------------------------------------------------------
def damage(manifest, how):
    path = deployment.root() / manifest.id / "database.age"
    content = bytearray(path.read_bytes())
    if how == "a bit":
        content[len(content) // 2] ^= 4
    elif how == "the end":
        del content[-10:]
    if how == "missing":
        path.unlink()
    elif how == "the manifest":
        path = path.parent / "manifest.json"
        path.write_text(
            path.read_text("utf-8").replace('"kind": "full"', '"kind": "fool"'), "utf-8"
        )
    elif how == "a file":
        (name,) = deployment.places()[0].shared_names()
        (deployment.root() / "shared" / name).write_bytes(b"damaged")
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["a bit", "the end", "missing", "the manifest", "a file"])
def test_a_damaged_one_is_refused_before_anything_is_touched(folder, how):
    manifest = take()
    make_person(phone="13900139000")
    damage(manifest, how)
    before = state()
    with pytest.raises(CommandError) as refused:
        call_command("restore_backup", manifest.id, "--yes")
    assert manifest.id in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert state() == before


def test_another_key_is_named(folder, settings):
    manifest = take()
    before = state()
    settings.FIELD_ENCRYPTION_KEYS = ("another key that is long enough for all",)
    with pytest.raises(CommandError, match="is not among FIELD_ENCRYPTION_KEYS"):
        call_command("restore_backup", manifest.id, "--yes")
    assert state() == before


def test_a_copy_that_is_not_as_it_must_be_never_lives(folder):
    User.objects.update(total_points=7)
    manifest = take()
    User.objects.update(total_points=0)
    before = state()
    with pytest.raises(BackupRefused, match="check_integrity on the restored copy says"):
        restore(manifest.id)
    assert state() == before


@pytest.mark.parametrize("moment", ["yesterday", "2026-02-30T00:00", "25:00"])
def test_a_moment_that_is_none_is_refused(folder, moment):
    manifest = take()
    with pytest.raises(CommandError, match="write a time"):
        call_command("restore_backup", manifest.id, "--yes", "--at", moment)


def test_a_moment_that_no_backup_reaches_is_refused(folder):
    manifest = take()
    before = state()
    with pytest.raises(CommandError, match="the one moment at which it was made"):
        call_command("restore_backup", manifest.id, "--yes", "--at", "2026-11-01T09:30+08:00")
    assert state() == before


def test_beside_another_command_nothing_is_restored(folder):
    manifest = take()
    before = state()
    with alone(deployment.root()), pytest.raises(CommandError, match="wait until"):
        call_command("restore_backup", manifest.id, "--yes")
    assert state() == before


@on_both
def test_while_something_is_under_way_nothing_is_swapped(folder, monkeypatch):
    manifest = take()
    before = state()
    monkeypatch.setattr(restoring, "PATIENCE", 0.1)
    monkeypatch.setattr(restoring, "LOOK_AGAIN", 0.01)
    turn_on = maintenance.turn_on

    def and_somebody_is_busy():
        turn_on()
        ServingProcess.objects.create(name="another process", running=1)

    monkeypatch.setattr(maintenance, "turn_on", and_somebody_is_busy)
    with pytest.raises(BackupRefused, match="still under way"):
        restore(manifest.id)
    after = state()
    assert after[0] == before[0]
    assert after[3] == [False], "it goes on"


def test_every_process_hears_before_the_present_is_kept(folder, monkeypatch):
    """One that has not heard would go on to acknowledge what nobody keeps."""
    monkeypatch.setattr(maintenance, "SEEN_BY_ALL_AFTER", 0.3)
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    now = timezone.now()
    ProcessBeat.objects.create(
        name="1", kind="web", host="h", pid=1, started_at=now, beat_at=now, memory=1, cpu_seconds=0
    )
    restoring._wait_for_all()
    assert slept
    ProcessBeat.objects.all().delete()
    slept.clear()
    restoring._wait_for_all()
    assert slept == []


# --- What apps do afterwards ----------------------------------------------------------------------
@pytest.fixture
def probe(monkeypatch, tmp_path):
    """An app that erases again whom a list names."""
    path = tmp_path / "erased.txt"
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "ops.tests.after_restore_settings")
    monkeypatch.setenv(LIST, str(path))
    return path


def test_who_was_erased_since_is_erased_again_before_anybody_sees_them(folder, probe):
    make_person(phone="13900139000")
    manifest = take()
    probe.write_text("13900139000\n", encoding="utf-8")
    restore(manifest.id)
    assert list(User.objects.exclude(phone=None).values_list("phone", flat=True)) == ["13800138000"]
    assert User.objects.filter(username__startswith="erased-").count() == 1


def test_it_runs_on_a_copy_alone(folder):
    with pytest.raises(CommandError, match="is no restored copy"):
        call_command("after_restore", timezone.now().isoformat())


def test_it_wants_a_moment(folder, platform, monkeypatch):
    monkeypatch.setenv(copies.MARK, str(connection.settings_dict["NAME"]))
    for moment in ("now", "2026-01-01T00:00:00"):
        with pytest.raises(CommandError, match="no moment with a time zone"):
            call_command("after_restore", moment)
    call_command("after_restore", timezone.now().isoformat(), "--in-maintenance")
    assert maintenance.is_on()
    call_command("after_restore", timezone.now().isoformat())
    assert not maintenance.is_on()


# --- Other versions -------------------------------------------------------------------------------
def test_an_older_one_is_migrated_before_it_lives(folder, monkeypatch):
    """As if all migrations of an app had come since."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'favorites'")
        cursor.execute("DROP TABLE favorites_favorite")
    manifest = take()
    assert copies.is_older(manifest)
    assert proving.prove(manifest.id).seconds.keys() >= {"migrate"}
