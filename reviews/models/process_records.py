"""The processes that read receipts."""

from typing import override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.service_columns import ServiceColumns


class ProcessKind(models.TextChoices):
    READING = "reading", _("Reading")


class ProcessStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    PROCESSING = "processing", _("Processing")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")


class ProcessError(models.TextChoices):
    """Why a process was given up; the log has the details."""

    NOT_READ = "not_read", _("The picture could not be read.")
    INTERRUPTED = "interrupted", _("The reading was interrupted again and again.")


UNFINISHED = (ProcessStatus.PENDING, ProcessStatus.PROCESSING)


class ProcessRecord(ServiceColumns):
    """The process of reading a picture. It survives its worker and is taken up again.

    Whoever works on it holds a lease until `lease_until`. `attempts` counts the leases: a worker
    that was thought dead finds another number here and knows that its result is not wanted.
    """

    service_columns = (
        "model_name",
        "settings",
        "status",
        "progress",
        "duration",
        "error",
        "attempts",
        "lease_until",
        "queued_at",
        "started_at",
        "finished_at",
    )

    receipt = models.ForeignKey(
        "reviews.Receipt",  # which asks for its processes: one of the two has to be named
        verbose_name=_("receipt"),
        on_delete=models.PROTECT,
        related_name="process_records",
    )
    kind = models.CharField(
        _("kind"), max_length=12, choices=ProcessKind, default=ProcessKind.READING
    )
    model_name = models.CharField(_("model"), max_length=100, blank=True)
    settings = models.JSONField(_("settings"), default=dict, blank=True)
    status = models.CharField(
        _("status"), max_length=10, choices=ProcessStatus, default=ProcessStatus.PENDING
    )
    progress = models.PositiveSmallIntegerField(
        _("progress"), default=0, help_text=_("In percent.")
    )
    duration = models.PositiveIntegerField(
        _("duration"), null=True, blank=True, help_text=_("In milliseconds.")
    )
    error = models.CharField(_("error"), max_length=20, choices=ProcessError, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    lease_until = models.DateTimeField(_("lease until"), null=True, blank=True)
    queued_at = models.DateTimeField(_("queued at"), default=timezone.now)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("background job")
        verbose_name_plural = _("background jobs")
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=ProcessKind.values), name="processrecord_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(status__in=ProcessStatus.values), name="processrecord_status_known"
            ),
            models.CheckConstraint(
                condition=Q(progress__lte=100), name="processrecord_progress_in_range"
            ),
            models.CheckConstraint(
                condition=Q(status=ProcessStatus.PROCESSING, lease_until__isnull=False)
                | Q(~Q(status=ProcessStatus.PROCESSING), lease_until__isnull=True),
                name="processrecord_lease_while_processing",
            ),
            models.CheckConstraint(
                condition=Q(status__in=UNFINISHED, finished_at__isnull=True)
                | Q(~Q(status__in=UNFINISHED), finished_at__isnull=False),
                name="processrecord_finished_with_a_time",
            ),
            models.CheckConstraint(
                condition=Q(~Q(status=ProcessStatus.FAILED), error="")
                | Q(Q(status=ProcessStatus.FAILED), ~Q(error="")),
                name="processrecord_failed_with_an_error",
            ),
            models.UniqueConstraint(
                fields=["receipt", "kind"],
                condition=Q(status__in=UNFINISHED),
                name="processrecord_one_unfinished",
            ),
        ]
        indexes = [
            models.Index(
                fields=["queued_at"],
                condition=Q(status__in=UNFINISHED),
                name="processrecord_unfinished",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"#{self.pk} {self.get_kind_display()}"


def readings() -> models.QuerySet[ProcessRecord]:
    """The processes that read receipts, the newest first."""
    return ProcessRecord.objects.filter(kind=ProcessKind.READING).order_by("-pk")
