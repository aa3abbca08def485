"""Wheels as they were published."""

from functools import cached_property
from typing import Self, override

from django.conf import settings
from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from lottery.models.wheels import Wheel
from lottery.odds import OddsSheet, PublishedPrize


class WheelVersionQuerySet(models.QuerySet["WheelVersion"]):
    def with_ends(self) -> Self:
        """Bring along as `ends_at` when the next version replaced it; None for one in force."""
        following = self.model.objects.filter(
            wheel=OuterRef("wheel"), number=OuterRef("number") + 1
        )
        return self.annotate(ends_at=Subquery(following.values("published_at")))


class WheelVersion(models.Model):
    """A wheel as it was published; in force until the next one. Append-only, by a trigger."""

    wheel = models.ForeignKey(
        Wheel, verbose_name=_("wheel"), on_delete=models.PROTECT, related_name="versions"
    )
    number = models.PositiveIntegerField(_("number"))
    name = models.CharField(_("name"), max_length=100)
    organiser = models.CharField(_("organiser"), max_length=100, blank=True)
    cost_points = models.PositiveIntegerField(_("cost of a draw"), help_text=_("In points."))
    daily_limit = models.PositiveIntegerField(_("draws a day"), null=True)
    pity_threshold = models.PositiveIntegerField(_("pity threshold"), null=True)
    fallback_prize_id = models.BigIntegerField(_("fallback prize"))
    prizes = models.JSONField(_("prizes"), help_text=_("As they stood."))
    published_at = models.DateTimeField(_("published at"), default=timezone.now)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("published by"),
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
    )

    objects = WheelVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("published wheel")
        verbose_name_plural = _("published wheels")
        constraints = [
            models.UniqueConstraint(fields=["wheel", "number"], name="wheelversion_one_number"),
            models.CheckConstraint(condition=Q(number__gte=1), name="wheelversion_number_from_one"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.name} {self.number}"

    @cached_property
    def sheet(self) -> OddsSheet:
        """The odds sheet: its prizes by angle, and the rules that decide its draws."""
        return OddsSheet(
            prizes=tuple(PublishedPrize.from_json(prize) for prize in self.prizes),
            fallback_prize_id=self.fallback_prize_id,
            pity_threshold=self.pity_threshold,
        )
