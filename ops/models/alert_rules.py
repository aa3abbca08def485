"""When somebody is told that something is wrong."""

from typing import override

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class Severity(models.TextChoices):
    INFO = "info", _("Info")
    WARNING = "warning", _("Warning")
    CRITICAL = "critical", _("Critical")


class Comparison(models.TextChoices):
    ABOVE = "above", _("above")
    BELOW = "below", _("below")


class AlertRule(Mutable):
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
