"""Backups, and whether they were proven."""

import secrets
from datetime import UTC, datetime
from typing import override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class RunStatus(models.TextChoices):
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    ROLLED_BACK = "rolled_back", _("Rolled back")


class BackupKind(models.TextChoices):
    FULL = "full", _("Full")
    INCREMENTAL = "incremental", _("Incremental")
    # A full one from which on the changes are kept as well.
    POINT_IN_TIME = "point_in_time", _("Full, to a point in time")


class BackupTrigger(models.TextChoices):
    SCHEDULE = "schedule", _("Schedule")
    HAND = "hand", _("By hand")
    MIGRATION = "migration", _("Before a migration")
    DEPLOY = "deploy", _("Before a deployment")
    RESTORE = "restore", _("Before a restore")


def new_identifier() -> str:
    """The moment in UTC, and six digits of chance: sorted by time, never given twice."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


class Backup(Mutable):
    """One backup, and the last time it was proven by restoring it.

    Its manifest, which lies with its pieces, is the truth; the row is written after it, and again
    from it when the database went back in time.
    """

    identifier = models.CharField(
        _("identifier"), max_length=32, unique=True, default=new_identifier
    )
    kind = models.CharField(_("kind"), max_length=16, choices=BackupKind, default=BackupKind.FULL)
    engine = models.CharField(_("engine"), max_length=20, blank=True)
    parent = models.ForeignKey(
        "self", verbose_name=_("follows"), null=True, blank=True, on_delete=models.PROTECT
    )
    trigger = models.CharField(
        _("trigger"), max_length=12, choices=BackupTrigger, default=BackupTrigger.HAND
    )
    status = models.CharField(
        _("status"), max_length=12, choices=RunStatus, default=RunStatus.RUNNING
    )
    location = models.CharField(_("location"), max_length=255, blank=True)
    size = models.PositiveBigIntegerField(_("size"), db_default=0, help_text=_("In bytes."))
    sha256 = models.CharField(
        _("SHA-256"), max_length=64, blank=True, help_text=_("Of its manifest.")
    )
    code_version = models.CharField(_("version"), max_length=100, blank=True)
    server_version = models.CharField(_("version of the server"), max_length=100, blank=True)
    migrations = models.JSONField(_("migrations"), default=list, blank=True)
    compression = models.CharField(_("compression"), max_length=10, blank=True)
    key_id = models.CharField(_("key id"), max_length=12, blank=True, db_index=True)
    row_counts = models.JSONField(_("rows"), default=dict, blank=True)
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    proven_at = models.DateTimeField(_("proven at"), null=True, blank=True)
    proof_seconds = models.FloatField(_("seconds of the proof"), null=True, blank=True)
    proof_failed_at = models.DateTimeField(
        _("could not be proven at"), null=True, blank=True, help_text=_("The log says why.")
    )
    removed_at = models.DateTimeField(
        _("removed at"),
        null=True,
        blank=True,
        help_text=_("When it was old enough to go, or somebody took it away."),
    )
    log = models.TextField(_("log"), blank=True)

    class Meta:
        verbose_name = _("backup")
        verbose_name_plural = _("backups")
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=RunStatus.values), name="backup_status_known"
            ),
            models.CheckConstraint(
                condition=Q(proven_at__isnull=True) | Q(status=RunStatus.SUCCEEDED),
                name="backup_proven_only_when_succeeded",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=BackupKind.values), name="backup_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(trigger__in=BackupTrigger.values), name="backup_trigger_known"
            ),
            models.CheckConstraint(
                condition=Q(kind=BackupKind.INCREMENTAL, parent__isnull=False)
                | (~Q(kind=BackupKind.INCREMENTAL) & Q(parent__isnull=True))
                | ~Q(status=RunStatus.SUCCEEDED),
                name="backup_follows_only_when_incremental",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{timezone.localtime(self.started_at):%Y-%m-%d %H:%M} {self.get_status_display()}"
