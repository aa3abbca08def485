"""Wheels as drafts that people edit, and the versions of them that were published."""

from datetime import date, datetime
from decimal import Decimal
from typing import override

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models import Product, Shop
from lottery.decision import ANGLES, TICKETS
from ops.locking import LockingQuerySet

MAX_PRIZE_VALUE = Decimal(50_000)  # yuan; China's SAMR order 32
COLOR_PATTERN = r"^#[0-9A-Fa-f]{6}\Z"


class WheelStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    PAUSED = "paused", _("Paused")
    INACTIVE = "inactive", _("Inactive")


class PrizeType(models.TextChoices):
    POINTS = "points", _("Points")
    COUPON = "coupon", _("Coupon")
    PHYSICAL = "physical", _("Physical")
    VIRTUAL = "virtual", _("Virtual")
    EMPTY = "empty", _("Nothing")


# What nobody has to hand over: such a prize names no product and opens no order.
WITHOUT_ORDER = (PrizeType.POINTS, PrizeType.EMPTY)


class WheelQuerySet(LockingQuerySet["Wheel"]):
    """Wheels, to be held while they are published."""


class Wheel(models.Model):
    """A wheel as it is edited. Cost, limits and prizes take effect when they are published.

    Status and window take effect at once.
    """

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

    objects = WheelQuerySet.as_manager()

    class Meta:
        verbose_name = _("wheel")
        verbose_name_plural = _("wheels")
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


class PrizeQuerySet(LockingQuerySet["Prize"]):
    """Prizes, to be held while they are given."""


class Prize(models.Model):
    """One sector of a wheel as it is edited, and how often it was given.

    A draw is decided by the published version. Of this row it changes only the counts, and only
    of a prize that was published with a quantity or a daily cap: otherwise all draws of a wheel
    would wait for the same eight rows.
    """

    wheel = models.ForeignKey(
        Wheel, verbose_name=_("wheel"), on_delete=models.CASCADE, related_name="prizes"
    )
    name = models.CharField(_("name"), max_length=100)
    type = models.CharField(_("type"), max_length=8, choices=PrizeType)
    value = models.DecimalField(
        _("value"),
        max_digits=9,
        decimal_places=2,
        default=Decimal(0),
        help_text=_("Points to be credited for a prize of points, else yuan."),
    )
    angle = models.PositiveSmallIntegerField(
        _("angle"), choices=[(angle, f"{angle}°") for angle in ANGLES]
    )
    color = models.CharField(
        _("colour"),
        max_length=7,
        validators=[RegexValidator(COLOR_PATTERN, _("A colour is written #RRGGBB."))],
    )
    probability = models.DecimalField(
        _("probability"),
        max_digits=5,
        decimal_places=4,
        help_text=_("From 0.0000 to 1.0000; those of the eight prizes add up to 1."),
    )
    is_activity = models.BooleanField(
        _("highlight"), default=False, help_text=_("The prizes that the campaign is about.")
    )
    is_pity_prize = models.BooleanField(_("pity prize"), default=False)
    product = models.ForeignKey(
        Product,
        verbose_name=_("product"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="prizes",
        help_text=_("Its stock is then the stock of the prize."),
    )
    quantity = models.PositiveIntegerField(
        _("quantity"),
        null=True,
        blank=True,
        help_text=_("How often it is given in all. Empty: as often as it is drawn."),
    )
    daily_cap = models.PositiveIntegerField(
        _("daily cap"), null=True, blank=True, help_text=_("Empty: none.")
    )
    special_effect = models.CharField(_("special effect"), max_length=40, blank=True)
    # What is true of it now, beside the draft above.
    published_quantity = models.PositiveIntegerField(
        _("published quantity"), null=True, blank=True, editable=False
    )
    published_daily_cap = models.PositiveIntegerField(
        _("published daily cap"), null=True, blank=True, editable=False
    )
    given = models.PositiveIntegerField(
        _("given"),
        default=0,
        editable=False,
        help_text=_("Counted while a quantity or a daily cap is published."),
    )
    given_on = models.DateField(_("last given on"), null=True, blank=True, editable=False)
    given_that_day = models.PositiveIntegerField(_("given that day"), default=0, editable=False)

    objects = PrizeQuerySet.as_manager()

    class Meta:
        verbose_name = _("prize")
        verbose_name_plural = _("prizes")
        ordering = ["wheel", "angle"]
        constraints = [
            models.UniqueConstraint(fields=["wheel", "angle"], name="prize_one_per_angle"),
            models.CheckConstraint(condition=Q(type__in=PrizeType.values), name="prize_type_known"),
            models.CheckConstraint(condition=Q(angle__in=ANGLES), name="prize_angle_of_a_sector"),
            models.CheckConstraint(
                condition=Q(color__regex=COLOR_PATTERN), name="prize_color_is_rrggbb"
            ),
            models.CheckConstraint(
                condition=Q(probability__gte=0, probability__lte=1),
                name="prize_probability_in_range",
            ),
            models.CheckConstraint(condition=Q(value__gte=0), name="prize_value_not_negative"),
            models.CheckConstraint(
                condition=Q(type=PrizeType.POINTS) | Q(value__lte=MAX_PRIZE_VALUE),
                name="prize_value_within_the_law",
                violation_error_message=_("A prize may be worth at most 50,000 yuan."),
            ),
            models.CheckConstraint(
                condition=~Q(type=PrizeType.EMPTY) | Q(value=0),
                name="prize_nothing_is_worth_nothing",
            ),
            models.CheckConstraint(
                condition=Q(product__isnull=True) | ~Q(type__in=WITHOUT_ORDER),
                name="prize_product_only_of_goods",
            ),
            models.CheckConstraint(
                condition=Q(product__isnull=True) | Q(quantity__isnull=True),
                name="prize_stock_in_one_place",
                violation_error_message=_(
                    "The stock of its product is the stock of this prize: leave the quantity empty."
                ),
            ),
            models.CheckConstraint(
                condition=Q(daily_cap__isnull=True) | Q(daily_cap__gte=1),
                name="prize_daily_cap_at_least_one",
            ),
            models.CheckConstraint(
                condition=Q(published_quantity__isnull=True)
                | Q(given__lte=F("published_quantity")),
                name="prize_never_given_more_often",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name

    @property
    def weight(self) -> int:
        """Of 10,000."""
        return int(self.probability * TICKETS)

    def left_on(self, day: date) -> int | None:
        """How often it may still be given on this day; None when nothing limits it."""
        limits = []
        if self.published_quantity is not None:
            limits.append(self.published_quantity - self.given)
        if self.published_daily_cap is not None:
            given_that_day = self.given_that_day if self.given_on == day else 0
            limits.append(self.published_daily_cap - given_that_day)
        return min(limits, default=None)


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
