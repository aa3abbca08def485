"""The platform's own tables. A person is a bare `owner_id` here: ops stands below accounts."""

from typing import override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class FilePurpose(models.TextChoices):
    RECEIPT = "receipt", _("Receipt")
    RECEIPT_THUMBNAIL = "receipt_thumbnail", _("Receipt thumbnail")
    PRODUCT = "product", _("Product picture")
    AVATAR = "avatar", _("Avatar")
    BACKUP = "backup", _("Backup")
    OTHER = "other", _("Other")


class StoredFile(models.Model):
    """A file in the storage: whose it is, what it is for, and when it may go."""

    owner_id = models.BigIntegerField(_("owner"), null=True, blank=True, db_index=True)
    purpose = models.CharField(_("purpose"), max_length=20, choices=FilePurpose)
    name = models.CharField(_("name"), max_length=255, blank=True, help_text=_("As it was sent."))
    path = models.CharField(_("path"), max_length=255, unique=True)
    media_type = models.CharField(_("media type"), max_length=100)
    size = models.PositiveBigIntegerField(_("size"), help_text=_("In bytes."))
    sha256 = models.CharField(_("SHA-256"), max_length=64, db_index=True)
    storage = models.CharField(_("storage"), max_length=40, db_default="default")
    is_temporary = models.BooleanField(_("temporary"), db_default=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)

    class Meta:
        verbose_name = _("stored file")
        verbose_name_plural = _("stored files")
        constraints = [
            models.CheckConstraint(
                condition=Q(purpose__in=FilePurpose.values), name="storedfile_purpose_known"
            ),
            models.CheckConstraint(
                condition=Q(is_temporary=False) | Q(expires_at__isnull=False),
                name="storedfile_temporary_expires",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.path


class IdempotencyRecord(models.Model):
    """The answer to a request with an Idempotency-Key, committed with the request's effect."""

    owner_id = models.BigIntegerField(_("person"))
    path = models.CharField(_("path"), max_length=255)
    key = models.CharField(_("key"), max_length=128)
    fingerprint = models.CharField(_("fingerprint"), max_length=64)
    answer = models.TextField(_("answer"), blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("idempotency record")
        verbose_name_plural = _("idempotency records")
        constraints = [
            models.UniqueConstraint(
                fields=["owner_id", "path", "key"], name="idempotencyrecord_one_effect"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.path} {self.key}"


class RunStatus(models.TextChoices):
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    ROLLED_BACK = "rolled_back", _("Rolled back")


class Backup(models.Model):
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


class MigrationRun(models.Model):
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
        return f"{self.started_at:%Y-%m-%d %H:%M} {self.get_status_display()}"


class Severity(models.TextChoices):
    INFO = "info", _("Info")
    WARNING = "warning", _("Warning")
    CRITICAL = "critical", _("Critical")


class Comparison(models.TextChoices):
    ABOVE = "above", _("above")
    BELOW = "below", _("below")


class AlertRule(models.Model):
    """When a metric stays on the wrong side of a threshold for so long, somebody is told."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    metric = models.CharField(_("metric"), max_length=100)
    comparison = models.CharField(_("comparison"), max_length=5, choices=Comparison)
    threshold = models.FloatField(_("threshold"))
    for_seconds = models.PositiveIntegerField(_("for"), db_default=0, help_text=_("In seconds."))
    severity = models.CharField(
        _("severity"), max_length=8, choices=Severity, default=Severity.WARNING
    )
    is_enabled = models.BooleanField(_("enabled"), db_default=True)
    text = models.TextField(_("text"), blank=True)

    class Meta:
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        constraints = [
            models.CheckConstraint(
                condition=Q(comparison__in=Comparison.values), name="alertrule_comparison_known"
            ),
            models.CheckConstraint(
                condition=Q(severity__in=Severity.values), name="alertrule_severity_known"
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name


class Alert(models.Model):
    """A rule that fired; resolved when the metric came back."""

    rule = models.ForeignKey(AlertRule, verbose_name=_("rule"), on_delete=models.PROTECT)
    value = models.FloatField(_("value"))
    raised_at = models.DateTimeField(_("raised at"), default=timezone.now)
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.UniqueConstraint(
                fields=["rule"],
                condition=Q(resolved_at__isnull=True),
                name="alert_one_open_per_rule",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.rule} {self.raised_at:%Y-%m-%d %H:%M}"
