"""What was told, and whether it is over."""

from typing import override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ops.models.alert_channels import AlertChannel
from ops.models.alert_rules import AlertRule
from ops.updated_at import Mutable


class Alert(Mutable):
    """A rule whose condition holds; pending until it did for long enough, resolved when it ended.

    `series` says of which series of the metric: its labels and its machine, empty for all together.
    """

    rule = models.ForeignKey(AlertRule, verbose_name=_("rule"), on_delete=models.PROTECT)
    series = models.CharField(_("series"), max_length=300, blank=True, db_default="")
    value = models.FloatField(_("value"))
    since = models.DateTimeField(_("since"), default=timezone.now)
    raised_at = models.DateTimeField(_("raised at"), null=True, blank=True)
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True)
    unread_since = models.DateTimeField(
        _("unread since"),
        null=True,
        blank=True,
        help_text=_("Nothing is read of this series, as of a machine that was taken away."),
    )
    told_at = models.DateTimeField(_("last told at"), null=True, blank=True)
    told_times = models.PositiveIntegerField(_("times told"), default=0, db_default=0)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "series"],
                condition=Q(resolved_at__isnull=True),
                name="alert_one_open_per_series",
            ),
            models.CheckConstraint(
                condition=Q(resolved_at__isnull=True) | Q(raised_at__isnull=False),
                name="alert_resolved_only_after_it_was_raised",
            ),
        ]
        indexes = [models.Index(fields=["-raised_at"], name="alert_newest")]

    @override
    def __str__(self) -> str:
        moment = self.raised_at or self.since
        return f"{self.rule} {moment:%Y-%m-%d %H:%M}"


class NoticeKind(models.TextChoices):
    RAISED = "raised", _("raised")
    REPEATED = "repeated", _("repeated")
    RESOLVED = "resolved", _("resolved")
    TEST = "test", _("test")


class AlertNotice(Mutable):
    """One message about an alert to one channel, until it has arrived or was given up."""

    alert = models.ForeignKey(
        Alert, verbose_name=_("alert"), on_delete=models.CASCADE, null=True, related_name="notices"
    )
    channel = models.ForeignKey(
        AlertChannel,
        verbose_name=_("channel"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="notices",
    )
    kind = models.CharField(_("kind"), max_length=8, choices=NoticeKind)
    number = models.PositiveIntegerField(_("number"), default=0)
    message = models.JSONField(_("message"))
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    next_try_at = models.DateTimeField(_("next try at"), default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0, db_default=0)
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    given_up_at = models.DateTimeField(_("given up at"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=300, blank=True, db_default="")

    class Meta:
        verbose_name = _("alert notice")
        verbose_name_plural = _("alert notices")
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=NoticeKind.values), name="alertnotice_kind_known"
            ),
            models.UniqueConstraint(
                fields=["alert", "channel", "kind", "number"], name="alertnotice_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_try_at"],
                condition=Q(delivered_at__isnull=True, given_up_at__isnull=True),
                name="alertnotice_waiting",
            )
        ]

    @override
    def __str__(self) -> str:
        return f"{self.get_kind_display()} → {self.channel}"
