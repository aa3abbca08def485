"""Wheels as drafts that people edit."""

from datetime import datetime
from typing import ClassVar, override

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models import Shop
from ops.locking import LockingQuerySet
from ops.service_columns import ServiceColumns


class WheelStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    PAUSED = "paused", _("Paused")
    INACTIVE = "inactive", _("Inactive")


class WheelQuerySet(LockingQuerySet["Wheel"]):
    """Wheels, to be held while they are published."""


class Wheel(ServiceColumns):
    """A wheel as it is edited. Cost, limits and prizes take effect when they are published.

    Status and window take effect at once.
    """

    service_columns = (
        "status",
        "is_default",
    )

    name = models.CharField(_("name"), max_length=100)
    shop = models.ForeignKey(
        Shop,
        verbose_name=_("shop"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="wheels",
        help_text=_("Where prizes without a product are collected. Empty: in every shop."),
    )
    status = models.CharField(
        _("status"),
        max_length=8,
        choices=WheelStatus,
        default=WheelStatus.ACTIVE,
        editable=False,
    )
    is_default = models.BooleanField(
        _("default"),
        default=False,
        editable=False,
        help_text=_("The wheel that a client gets that names none."),
    )
    opens_at = models.DateTimeField(_("opens at"), null=True, blank=True)
    closes_at = models.DateTimeField(_("closes at"), null=True, blank=True)
    cost_points = models.PositiveIntegerField(_("cost of a draw"), help_text=_("In points."))
    daily_limit = models.PositiveIntegerField(
        _("draws a day"), null=True, blank=True, help_text=_("For each person. Empty: no limit.")
    )
    pity_threshold = models.PositiveIntegerField(
        _("pity threshold"),
        null=True,
        blank=True,
        help_text=_("At the latest this draw of a row gives a pity prize. Empty: no pity."),
    )
    fallback_prize = models.ForeignKey(
        "lottery.Prize",
        verbose_name=_("fallback prize"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text=_("Given when the prize that was drawn is gone."),
    )
    organiser = models.CharField(_("organiser"), max_length=100, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    objects: ClassVar = WheelQuerySet.as_manager()

    class Meta:
        verbose_name = _("wheel")
        verbose_name_plural = _("wheels")
        permissions = [
            ("publish_wheel", _("Can publish, open and close wheels")),
            ("default_wheel", _("Can choose the default wheel")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="wheel_one_default"
            ),
            models.CheckConstraint(
                condition=Q(status__in=WheelStatus.values), name="wheel_status_known"
            ),
            models.CheckConstraint(condition=Q(cost_points__gte=0), name="wheel_cost_not_negative"),
            models.CheckConstraint(
                condition=Q(daily_limit__isnull=True) | Q(daily_limit__gte=1),
                name="wheel_daily_limit_at_least_one",
            ),
            models.CheckConstraint(
                condition=Q(pity_threshold__isnull=True) | Q(pity_threshold__gte=1),
                name="wheel_pity_threshold_at_least_one",
            ),
            models.CheckConstraint(
                condition=Q(opens_at__isnull=True)
                | Q(closes_at__isnull=True)
                | Q(opens_at__lt=F("closes_at")),
                name="wheel_opens_before_it_closes",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name

    def is_open_at(self, moment: datetime) -> bool:
        """Whether people may draw then: active, and within its window."""
        has_begun = self.opens_at is None or self.opens_at <= moment
        has_ended = self.closes_at is not None and self.closes_at <= moment
        return self.status == WheelStatus.ACTIVE and has_begun and not has_ended
