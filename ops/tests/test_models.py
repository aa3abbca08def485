"""The platform's tables: what they refuse, how their rows read, how the console shows them."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError
from django.urls import reverse

from ops.models import (
    Alert,
    AlertChannel,
    AlertNotice,
    AlertRule,
    AuditActor,
    Backup,
    ChartSample,
    IdempotencyRecord,
    LedgerSeal,
    MetricSample,
    MigrationRun,
    NoticeKind,
    OperationalEvent,
    ProcessBeat,
    StoredFile,
)

pytestmark = pytest.mark.django_db
MOMENT = datetime(2026, 1, 31, 4, 5, tzinfo=UTC)


def make_rule(**fields):
    return AlertRule.objects.create(
        **{"name": "Queue", "metric": "queue", "comparison": "above", "threshold": 5, **fields}
    )


@pytest.mark.parametrize(
    ("make", "constraint"),
    [
        (lambda: Backup.objects.create(status="x"), "backup_status_known"),
        (
            lambda: Backup.objects.create(status="running", proven_at=MOMENT),
            "backup_proven_only_when_succeeded",
        ),
        (lambda: MigrationRun.objects.create(status="x"), "migrationrun_status_known"),
        (lambda: make_rule(comparison="x"), "alertrule_comparison_known"),
        (lambda: make_rule(severity="x"), "alertrule_severity_known"),
    ],
)
def test_the_database_refuses_a_wrong_row(make, constraint):
    with pytest.raises(IntegrityError, match=constraint):
        make()


def test_a_rule_has_one_open_alert():
    rule = make_rule()
    Alert.objects.create(rule=rule, value=6, raised_at=MOMENT, resolved_at=MOMENT)
    Alert.objects.create(rule=rule, value=6)
    with pytest.raises(IntegrityError):
        Alert.objects.create(rule=rule, value=7)


def test_rows_read_well():
    rule = make_rule()
    assert str(rule) == "Queue"
    assert [str(AuditActor(person_id=7)), str(AuditActor(system_user="a@b"))] == ["#7", "a@b"]
    assert str(Alert(rule=rule, raised_at=MOMENT)) == "Queue 2026-01-31 04:05"
    channel = AlertChannel(name="Staff")
    assert str(AlertNotice(kind="raised", channel=channel)) == f"{NoticeKind.RAISED.label} → Staff"
    assert str(MetricSample(host="a", taken_at=MOMENT)) == "a 2026-01-31 04:05:00"
    assert str(ChartSample(host="a", taken_at=MOMENT)) == "a 2026-01-31 04:05:00"
    assert str(OperationalEvent(kind="demo_loaded")) == "demo_loaded"
    assert str(ProcessBeat(kind="web", host="a", pid=7)) == "web a 7"
    assert str(LedgerSeal(date=MOMENT.date())) != ""
    assert str(Backup(status="failed", started_at=MOMENT)).startswith("2026-01-31 12:05 ")
    assert str(MigrationRun(status="failed", started_at=MOMENT)).startswith("2026-01-31 12:05 ")
    assert str(IdempotencyRecord(path="/api/x", key="k")) == "/api/x k"
    assert str(StoredFile(path="a/b")) == "a/b"


@pytest.mark.parametrize(
    "model", [StoredFile, IdempotencyRecord, Backup, MigrationRun, AlertRule, Alert]
)
def test_the_console_shows_every_table(client, model):
    client.force_login(get_user_model().objects.create_superuser("admin", "s3cret-s3cret"))
    rule = make_rule()
    rows = {
        StoredFile: lambda: StoredFile.objects.create(
            purpose="other", path="x", media_type="", size=1, sha256=""
        ),
        IdempotencyRecord: lambda: IdempotencyRecord.objects.create(
            owner_id=1, path="/", key="k", fingerprint="", answer="a secret of the person"
        ),
        Backup: Backup.objects.create,
        MigrationRun: MigrationRun.objects.create,
        AlertRule: lambda: rule,
        Alert: lambda: Alert.objects.create(rule=rule, value=1),
    }
    row = rows[model]()
    name = f"admin:ops_{model._meta.model_name}"
    assert client.get(reverse(f"{name}_changelist"), {"q": "x"}).status_code == 200
    page = client.get(reverse(f"{name}_change", args=[row.pk]))
    assert page.status_code == 200
    assert "a secret of the person" not in page.content.decode()
    is_written_by_hand = model is AlertRule
    adding = client.get(reverse(f"{name}_add"))
    assert adding.status_code == (200 if is_written_by_hand else 403)
    deleting = client.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"})
    assert deleting.status_code == (302 if is_written_by_hand else 403)
