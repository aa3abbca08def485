"""The pages of the platform's own tables. Importing a module registers them."""

from ops.admin import (
    alert_channels,
    alert_rules,
    alerts,
    audit,
    backups,
    error_groups,
    events,
    failed_rows,
    files,
    idempotency,
    job_runs,
    live_settings,
    migration_runs,
    queue,
    schedules,
    seals,
)

__all__ = [
    "alert_channels",
    "alert_rules",
    "alerts",
    "audit",
    "backups",
    "error_groups",
    "events",
    "failed_rows",
    "files",
    "idempotency",
    "job_runs",
    "live_settings",
    "migration_runs",
    "queue",
    "schedules",
    "seals",
]
