"""When somebody is told that something is wrong."""

from typing import override

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from ops.models.alert_channels import AlertChannel
from ops.updated_at import Mutable


class Severity(models.TextChoices):
    INFO = "info", _("Info")
    WARNING = "warning", _("Warning")
    CRITICAL = "critical", _("Critical")


class Comparison(models.TextChoices):
    ABOVE = "above", _("above")
    BELOW = "below", _("below")


class Reading(models.TextChoices):
    """What of a metric is compared with the threshold."""

    VALUE = "value", _("the metric as it is")
    INCREASE = "increase", _("by how much it grew within the window")
    SHARE = "share", _("its share of the other metric's growth within the window")
    EVENTS = "events", _("how many events of this kind there were within the window")


class Spread(models.TextChoices):
    """How several series of a metric are read: one of each label, one of each machine."""

    EACH = "each", _("each by itself")
    SUM = "sum", _("all together")


class AlertRule(Mutable):
    """When what is read of a metric stays on the wrong side for so long, somebody is told.

    A rule of the platform has a `slug`: its words come from the program, in both languages, where
    `title` and `text` are empty, and its page of the manual is called by it.
    """

    name = models.CharField(_("name"), max_length=100, unique=True)
    slug = models.SlugField(_("short name"), max_length=40, blank=True, editable=False)
    metric = models.CharField(
        _("metric"), max_length=100, help_text=_("As /metrics names it; or a kind of event.")
    )
    labels = models.JSONField(
        _("labels"),
        default=dict,
        blank=True,
        help_text=_('Only series with these labels, such as {"queue": "default"}.'),
    )
    reading = models.CharField(
        _("reading"), max_length=8, choices=Reading, default=Reading.VALUE, db_default=Reading.VALUE
    )
    of_metric = models.CharField(
        _("of the metric"), max_length=100, blank=True, db_default="", help_text=_("For a share.")
    )
    least_whole = models.PositiveIntegerField(
        _("of at least"),
        default=0,
        db_default=0,
        help_text=_("For a share: while the other metric grew by less, it is read as none."),
    )
    window_seconds = models.PositiveIntegerField(
        _("window"), default=300, db_default=300, help_text=_("In seconds.")
    )
    spread = models.CharField(
        _("several series"), max_length=4, choices=Spread, default=Spread.EACH, db_default="each"
    )
    comparison = models.CharField(_("comparison"), max_length=5, choices=Comparison)
    threshold = models.FloatField(_("threshold"))
    for_seconds = models.PositiveIntegerField(_("for"), db_default=0, help_text=_("In seconds."))
    severity = models.CharField(
        _("severity"), max_length=8, choices=Severity, default=Severity.WARNING
    )
    repeat_seconds = models.PositiveIntegerField(
        _("repeat after"),
        default=3600,
        db_default=3600,
        help_text=_("In seconds, as long as it goes on; 0: it is told once."),
    )
    quiet_from = models.TimeField(
        _("quiet from"),
        null=True,
        blank=True,
        help_text=_("What is not critical waits until the quiet hours are over."),
    )
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    silenced_until = models.DateTimeField(
        _("silenced until"), null=True, blank=True, help_text=_("Until then nobody is told.")
    )
    channels = models.ManyToManyField(
        AlertChannel,
        verbose_name=_("channels"),
        blank=True,
        help_text=_("Without one: every channel that takes this severity."),
    )
    is_enabled = models.BooleanField(_("enabled"), db_default=True)
    title = models.CharField(_("title"), max_length=200, blank=True, db_default="")
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
            models.CheckConstraint(
                condition=Q(reading__in=Reading.values), name="alertrule_reading_known"
            ),
            models.CheckConstraint(
                condition=Q(spread__in=Spread.values), name="alertrule_spread_known"
            ),
            models.CheckConstraint(
                condition=~Q(reading="share") | ~Q(of_metric=""),
                name="alertrule_share_of_a_metric",
                violation_error_message=_("A share needs the metric that it is a share of."),
            ),
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False)
                & ~Q(quiet_from=F("quiet_until")),
                name="alertrule_quiet_hours_have_two_ends",
                violation_error_message=_("Quiet hours need a beginning and another end."),
            ),
            models.UniqueConstraint(
                fields=["slug"], condition=~Q(slug=""), name="alertrule_slug_once"
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name
