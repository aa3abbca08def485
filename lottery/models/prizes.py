"""The sectors of a wheel as they are edited, and how often each was given."""

from datetime import date
from decimal import Decimal
from typing import ClassVar, override

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from catalog.models import Product
from lottery.limits import MAX_PRIZE_VALUE
from lottery.models.wheels import Wheel
from lottery.odds import ANGLES, TICKETS
from lottery.prize_kinds import NOT_MONEY, NOTHING, PRIZE_KINDS, WITHOUT_ORDER, PrizeKind, PrizeType
from ops.locking import LockingQuerySet
from ops.service_columns import ServiceColumns

COLOR_PATTERN = r"^#[0-9A-Fa-f]{6}\Z"


class PrizeQuerySet(LockingQuerySet["Prize"]):
    """Prizes, to be held while they are given."""


class Prize(ServiceColumns):
    """One sector of a wheel as it is edited, and how often it was given.

    A draw is decided by the published version. Of this row it changes only the counts, and only
    of a prize that was published with a quantity or a daily cap: otherwise all draws of a wheel
    would wait for the same eight rows.
    """

    service_columns = (
        "published_quantity",
        "published_daily_cap",
        "given",
        "given_on",
        "given_that_day",
    )

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

    objects: ClassVar = PrizeQuerySet.as_manager()

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
                condition=Q(type__in=NOT_MONEY) | Q(value__lte=MAX_PRIZE_VALUE),
                name="prize_value_within_the_law",
                violation_error_message=format_lazy(
                    _("A prize may be worth at most {limit} yuan."), limit=f"{MAX_PRIZE_VALUE:,}"
                ),
            ),
            models.CheckConstraint(
                condition=~Q(type__in=NOTHING) | Q(value=0),
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
    def kind(self) -> PrizeKind:
        """What giving it comes to."""
        return PRIZE_KINDS[PrizeType(self.type)]

    @property
    def weight(self) -> int:
        """Its probability × 10,000, a whole number: what the tickets of draws are measured by."""
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
