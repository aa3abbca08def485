"""Errors of one kind: how often, since when, and whether somebody has seen to it."""

from typing import override

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class ErrorState(models.TextChoices):
    OPEN = "open", _("Open")
    DONE = "done", _("Done")
    REOPENED = "reopened", _("Reopened")


class ErrorGroup(Mutable):
    """All errors of one type that come from one place, whatever process they happened in."""

    fingerprint = models.CharField(_("fingerprint"), max_length=64, unique=True)
    kind = models.CharField(_("kind of error"), max_length=200)
    where = models.CharField(_("place"), max_length=200, help_text=_("The innermost of ours."))
    logger = models.CharField(_("logger"), max_length=200)
    route = models.CharField(
        _("address"), max_length=200, blank=True, help_text=_("Of the request, where it was one.")
    )
    count = models.PositiveBigIntegerField(_("how often"))
    first_seen = models.DateTimeField(_("first seen"))
    last_seen = models.DateTimeField(_("last seen"))
    sample = models.TextField(
        _("sample"), help_text=_("Without values: what variables held and messages quoted.")
    )
    request_id = models.CharField(
        _("request"), max_length=128, help_text=_("The newest; its lines are in the log.")
    )
    release = models.CharField(
        _("version"), max_length=100, blank=True, help_text=_("Where it was seen last.")
    )
    state = models.CharField(_("state"), max_length=10, choices=ErrorState, default=ErrorState.OPEN)
    done_at = models.DateTimeField(_("done at"), null=True, blank=True)

    class Meta:
        verbose_name = _("error")
        verbose_name_plural = _("errors")
        permissions = [("close_errorgroup", _("Can say that an error is done"))]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=ErrorState), name="errorgroup_state_known"
            ),
            models.CheckConstraint(condition=Q(count__gte=1), name="errorgroup_was_seen"),
            models.CheckConstraint(
                condition=Q(last_seen__gte=models.F("first_seen")), name="errorgroup_in_order"
            ),
            models.CheckConstraint(
                condition=~Q(state=ErrorState.DONE) | Q(done_at__isnull=False),
                name="errorgroup_done_at_some_time",
            ),
        ]
        indexes = [models.Index(fields=["-last_seen"], name="errorgroup_newest")]

    @override
    def __str__(self) -> str:
        return f"{self.kind} ({self.where})"
