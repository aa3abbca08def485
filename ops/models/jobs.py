"""Periodic jobs: when each is due, who is at it, and what came of its runs."""

from typing import override

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable


class RunOutcome(models.TextChoices):
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    LOST = "lost", _("Lost")  # its worker was killed, or silent for too long


class Schedule(Mutable):
    """When a periodic job is due, and who has it to themselves until when.

    One row for each job, however many machines. `claims` grows with every claim: whoever renews,
    ends or gives back a run names the claim that it holds, and does nothing under an older one.
    """

    job = models.CharField(_("job"), max_length=100, unique=True)
    timing = models.CharField(
        _("timing"), max_length=100, help_text=_("By which the next time was reckoned.")
    )
    next_due_at = models.DateTimeField(_("next due at"), db_index=True)
    claims = models.PositiveBigIntegerField(_("claims"), db_default=0)
    claimed_by = models.CharField(_("claimed by"), max_length=100, blank=True, db_default="")
    leased_until = models.DateTimeField(_("leased until"), null=True, blank=True)
    last_started_at = models.DateTimeField(_("last run"), null=True, blank=True)
    last_outcome = models.CharField(
        _("how it ended"), max_length=8, choices=RunOutcome, blank=True, db_default=""
    )
    failures = models.PositiveIntegerField(_("failures in a row"), db_default=0)

    class Meta:
        verbose_name = _("periodic job")
        verbose_name_plural = _("periodic jobs")
        permissions = [("run_schedule", _("Can let periodic jobs run at once"))]
        constraints = [
            models.CheckConstraint(
                condition=Q(claimed_by="", leased_until__isnull=True)
                | (~Q(claimed_by="") & Q(leased_until__isnull=False)),
                name="schedule_lease_has_a_holder",
            ),
            models.CheckConstraint(
                condition=Q(last_outcome__in=["", *RunOutcome.values]),
                name="schedule_outcome_known",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.job


class JobRun(Mutable):
    """One run of a periodic job. A run that was lost is followed by another one of its time."""

    job = models.CharField(_("job"), max_length=100)
    due_at = models.DateTimeField(_("due at"))
    started_at = models.DateTimeField(_("started at"))
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    seconds = models.FloatField(_("seconds"), null=True, blank=True)
    outcome = models.CharField(
        _("outcome"), max_length=8, choices=RunOutcome, db_default=RunOutcome.RUNNING
    )
    did = models.CharField(
        _("what it did"), max_length=200, blank=True, db_default="", help_text=_("Empty: nothing.")
    )
    error = models.CharField(_("error"), max_length=300, blank=True, db_default="")
    worker = models.CharField(_("worker"), max_length=100)

    class Meta:
        verbose_name = _("job run")
        verbose_name_plural = _("job runs")
        indexes = [
            models.Index(fields=["-started_at"], name="jobrun_newest"),
            models.Index(fields=["job", "-started_at"], name="jobrun_newest_of_job"),
            models.Index(fields=["ended_at"], name="jobrun_ended"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["job"],
                condition=Q(outcome=RunOutcome.RUNNING),
                name="jobrun_one_at_a_time",
            ),
            models.UniqueConstraint(
                fields=["job", "due_at"],
                condition=Q(outcome__in=[RunOutcome.DONE, RunOutcome.FAILED]),
                name="jobrun_once_for_each_time",
            ),
            models.CheckConstraint(
                condition=Q(outcome__in=RunOutcome.values), name="jobrun_outcome_known"
            ),
            models.CheckConstraint(
                condition=Q(outcome=RunOutcome.RUNNING, ended_at__isnull=True)
                | (~Q(outcome=RunOutcome.RUNNING) & Q(ended_at__isnull=False)),
                name="jobrun_ended_or_running",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.job} {self.due_at:%Y-%m-%d %H:%M:%S}"
