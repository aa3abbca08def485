"""The platform's own tables. A person is a bare `owner_id` here: ops stands below accounts."""

from ops.models.alert_channels import AlertChannel, ChannelKind
from ops.models.alert_rules import AlertRule, Comparison, Reading, Severity, Spread
from ops.models.alerts import Alert, AlertNotice, NoticeKind
from ops.models.audit import AuditActor, AuditEntry
from ops.models.backups import Backup, BackupKind, BackupTrigger, RunStatus
from ops.models.change_marks import ChangeMark
from ops.models.error_groups import ErrorGroup, ErrorState
from ops.models.events import OperationalEvent
from ops.models.failed_rows import FailedRow
from ops.models.files import PUBLIC_PURPOSES, FilePurpose, StoredFile
from ops.models.idempotency import IdempotencyRecord
from ops.models.jobs import JobRun, RunOutcome, Schedule
from ops.models.live_settings import LiveSetting
from ops.models.maintenance import Maintenance, ServingProcess
from ops.models.metric_samples import ChartSample, MetricSample
from ops.models.migration_runs import MigrationRun
from ops.models.process_beats import ProcessBeat
from ops.models.seals import LedgerSeal

__all__ = [
    "PUBLIC_PURPOSES",
    "Alert",
    "AlertChannel",
    "AlertNotice",
    "AlertRule",
    "AuditActor",
    "AuditEntry",
    "Backup",
    "BackupKind",
    "BackupTrigger",
    "ChangeMark",
    "ChannelKind",
    "ChartSample",
    "Comparison",
    "ErrorGroup",
    "ErrorState",
    "FailedRow",
    "FilePurpose",
    "IdempotencyRecord",
    "JobRun",
    "LedgerSeal",
    "LiveSetting",
    "Maintenance",
    "MetricSample",
    "MigrationRun",
    "NoticeKind",
    "OperationalEvent",
    "ProcessBeat",
    "Reading",
    "RunOutcome",
    "RunStatus",
    "Schedule",
    "ServingProcess",
    "Severity",
    "Spread",
    "StoredFile",
]
