"""Which backups stay: by age, by week and month, and whatever those need that stay."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from ops.backups import deployment, inventory
from ops.backups.lock import alone
from ops.backups.manifest import Manifest
from ops.backups.retention import Policy, prune
from ops.models import Backup, OperationalEvent
from ops.tests import backup_shelf as shelf

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


@pytest.fixture
def folder(tmp_path, settings):
    settings.BACKUP_DIR = tmp_path / "backups"
    (place,) = deployment.places()
    return place


def daily(folder, *, days):
    """A backup for each of so many days, the oldest first."""
    return [shelf.put(folder, age=timedelta(days=age)) for age in reversed(range(days))]


def stay(policy, backups):
    ids = policy.stay(backups, now=timezone.now())
    return [one.id for one in backups if one.id in ids]


def test_all_of_the_last_days_stay(folder):
    backups = daily(folder, days=40)
    assert stay(Policy(days=30), backups) == [one.id for one in backups[-30:]]


def test_the_newest_stays_however_old_it_is(folder):
    old = [shelf.put(folder, age=timedelta(days=age)) for age in (400, 399)]
    assert stay(Policy(days=30), old) == [old[-1].id]


def test_the_newest_of_each_week_and_month_stays(folder, settings):
    settings.TIME_ZONE = "Asia/Shanghai"
    # Eleven weeks from a Tuesday on, all at two in the morning of Shanghai.
    first = datetime(2026, 3, 2, 18, tzinfo=UTC)
    backups = [shelf.put(folder, started_at=first + timedelta(days=day)) for day in range(77)]
    now = backups[-1].started_at + timedelta(hours=1)
    policy = Policy(days=2, weeks=4, months=3)
    kept = [one for one in backups if one.id in policy.stay(backups, now=now)]
    local = [timezone.localtime(one.started_at).date().isoformat() for one in kept]
    # The last two days, of which one begins a week; three Sundays; the ends of March and April.
    assert local == [
        "2026-03-31",
        "2026-04-30",
        "2026-05-03",
        "2026-05-10",
        "2026-05-17",
        "2026-05-18",
    ]


def test_what_those_follow_that_stay_is_not_taken_away(folder):
    full = shelf.put(folder, age=timedelta(days=36))
    link = shelf.put(folder, age=timedelta(days=33), parent=full)
    last = shelf.put(folder, age=timedelta(days=29), parent=link)
    alone_ = shelf.put(folder, age=timedelta(days=35))
    (pruned,) = prune(now=timezone.now(), policy=Policy(days=30))
    assert pruned.backups == [alone_.id]
    assert folder.identifiers() == sorted([full.id, link.id, last.id])
    assert inventory.known(folder).chain(last.id) is not None


def test_the_newest_proven_one_stays(folder):
    older, proven, unproven = (
        shelf.put(folder, age=timedelta(days=90), proven=True),
        shelf.put(folder, age=timedelta(days=80), proven=True),
        shelf.put(folder, age=timedelta(days=1)),
    )
    prune(now=timezone.now(), policy=Policy(days=30))
    assert folder.identifiers() == [proven.id, unproven.id]
    assert Backup.objects.get(identifier=older.id).removed_at is not None


def test_files_go_with_the_last_backup_that_knows_them(folder):
    old_file, common, new_file, nobodys = (shelf.shared_name() for _number in range(4))
    old = shelf.put(folder, age=timedelta(days=31), files=[old_file, common])
    new = shelf.put(folder, files=[common, new_file])
    shelf.put(folder, age=timedelta(days=50), files=[nobodys])
    (pruned,) = prune(now=timezone.now(), policy=Policy(days=30))
    assert old.id in pruned.backups
    assert folder.identifiers() == [new.id]
    assert set(folder.shared_names()) == {common, new_file}
    assert pruned.files == 2


def test_with_one_that_nobody_can_read_no_file_goes(folder):
    name = shelf.shared_name()
    lost = shelf.put(folder, age=timedelta(days=2))
    shelf.put(folder, age=timedelta(days=50), files=[name])
    (deployment.root() / lost.id / "manifest.json").write_text("{}", encoding="utf-8")
    new = shelf.put(folder)
    (pruned,) = prune(now=timezone.now(), policy=Policy(days=30))
    assert len(pruned.backups) == 1
    assert pruned.files is None
    assert list(folder.shared_names()) == [name]
    assert folder.identifiers() == [lost.id, new.id]


def test_each_place_is_pruned_and_rows_and_an_event_tell(folder, tmp_path, settings):
    old, new = daily(folder, days=2)
    settings.BACKUP_RETENTION_DAYS = 1
    settings.STORAGES = settings.STORAGES | {
        "backups": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "bucket"},
        }
    }
    settings.BACKUP_STORAGE_BUCKET = "shop"
    _first, bucket = deployment.places()
    for name in ("manifest.json", "database.age", "media.age"):
        path = tmp_path / "bucket" / old.id / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes((deployment.root() / old.id / name).read_bytes())
    call_command("prune_backups", dry_run=True)
    assert bucket.identifiers() == [old.id]
    assert folder.identifiers() == [old.id, new.id]
    call_command("prune_backups")
    # The only one of the bucket stays there, whatever its age.
    assert bucket.identifiers() == [old.id]
    assert folder.identifiers() == [new.id]
    assert Backup.objects.get(identifier=old.id).removed_at is None
    (event,) = OperationalEvent.objects.filter(kind="backups_removed")
    assert event.facts == {"count": 1}


def test_what_would_go_is_said_and_stays(folder, capsys):
    old = shelf.put(folder, age=timedelta(days=31), files=[shelf.shared_name()])
    shelf.put(folder)
    call_command("prune_backups", dry_run=True)
    said = capsys.readouterr().out
    assert old.id in said
    assert "would go: backups 1, files 1." in said
    assert len(folder.identifiers()) == 2
    assert not Backup.objects.filter(removed_at__isnull=False).exists()


def test_beside_another_command_nothing_is_taken_away(folder):
    old, _new = (shelf.put(folder, age=timedelta(days=age)) for age in (50, 0))
    with alone(deployment.root()), pytest.raises(CommandError, match="wait until it is done"):
        call_command("prune_backups")
    assert old.id in folder.identifiers()


def test_the_policy_of_the_settings_is_30_days(settings):
    assert Policy.of_settings() == Policy(days=30)


def test_no_backup_needs_no_policy(folder):
    assert Policy(days=1).stay(list[Manifest](), now=timezone.now()) == set()
    assert prune(now=timezone.now())[0].backups == []
