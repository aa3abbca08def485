"""The processes that run, or ran lately."""

from typing import override

from django.db import models
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class ProcessBeat(Mutable):
    """That a process lives, as it says itself every few seconds."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    kind = models.CharField(_("kind"), max_length=10)
    host = models.CharField(_("machine"), max_length=255)
    pid = models.PositiveIntegerField(_("process"))
    version = models.CharField(_("version"), max_length=64, blank=True)
    started_at = models.DateTimeField(_("started at"))
    beat_at = models.DateTimeField(_("last heard of"), db_index=True)
    memory = models.PositiveBigIntegerField(_("memory"), help_text=_("In bytes."))
    cpu_seconds = models.FloatField(_("CPU time"), help_text=_("In seconds."))
    worker_seen_at = models.DateTimeField(_("worker seen at"), null=True, blank=True)
    scheduler_seen_at = models.DateTimeField(_("scheduler seen at"), null=True, blank=True)

    class Meta:
        verbose_name = _("process")
        verbose_name_plural = _("processes")

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.host} {self.pid}"
