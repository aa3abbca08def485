"""Runs of the safe migration."""

from typing import override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.models.backups import Backup, RunStatus
from ops.updated_at import Mutable


class MigrationRun(Mutable):
    """One run of the safe migration: what it planned, what came of it."""

    status = models.CharField(
        _("status"), max_length=12, choices=RunStatus, default=RunStatus.RUNNING
    )
    plan = models.JSONField(_("plan"), default=list, blank=True)
    backup = models.ForeignKey(
        Backup, verbose_name=_("backup"), null=True, blank=True, on_delete=models.PROTECT
    )
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    log = models.TextField(_("log"), blank=True)

    class Meta:
        verbose_name = _("migration run")
        verbose_name_plural = _("migration runs")
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=RunStatus.values), name="migrationrun_status_known"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{timezone.localtime(self.started_at):%Y-%m-%d %H:%M} {self.get_status_display()}"
