"""Rows at which a periodic job failed."""

from typing import override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class FailedRow(Mutable):
    """A row that a periodic job could not do; set aside when it keeps failing."""

    job = models.CharField(_("job"), max_length=100)
    row_id = models.CharField(_("row"), max_length=40)
    failures = models.PositiveIntegerField(_("failures"), default=1)
    error = models.CharField(
        _("error"), max_length=200, help_text=_("Its kind alone; the log has the rest.")
    )
    first_failed_at = models.DateTimeField(_("first failed at"), default=timezone.now)
    last_failed_at = models.DateTimeField(_("last failed at"), default=timezone.now)
    set_aside_at = models.DateTimeField(
        _("set aside at"), null=True, blank=True, help_text=_("From then on the job leaves it out.")
    )

    class Meta:
        verbose_name = _("failed row")
        verbose_name_plural = _("failed rows")
        permissions = [("retry_failedrow", _("Can let failed rows be tried again"))]
        constraints = [
            models.UniqueConstraint(fields=["job", "row_id"], name="failedrow_once_per_job"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.job} {self.row_id}"
