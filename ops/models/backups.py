"""Backups, and whether they were proven."""

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


class Backup(Mutable):
    """One backup, and the last time it was proven by restoring it."""

    status = models.CharField(
        _("status"), max_length=12, choices=RunStatus, default=RunStatus.RUNNING
    )
    location = models.CharField(_("location"), max_length=255, blank=True)
    size = models.PositiveBigIntegerField(_("size"), db_default=0, help_text=_("In bytes."))
    sha256 = models.CharField(_("SHA-256"), max_length=64, blank=True)
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    proven_at = models.DateTimeField(_("proven at"), null=True, blank=True)
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
        ]

    @override
    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} {self.get_status_display()}"
