"""Draws, and all that recomputes them."""

import secrets
import time
from typing import override
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from catalog.models import Order
from lottery.models.seeds import SeedPair
from lottery.models.versions import WheelVersion
from lottery.models.wheels import Wheel
from lottery.odds import TICKETS


def new_draw_id() -> UUID:
    """An id that sorts by time: UUID version 7 with 12 bits below the millisecond (RFC 9562, 6.2).

    A draw needs its id before it is written, since its order and its points name it and the row
    is never updated. `uuid.uuid7` comes with Python 3.14.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62))


class Draw(models.Model):
    """One draw and all that recomputes it. Append-only: a trigger refuses UPDATE and DELETE."""

    id = models.UUIDField(primary_key=True, editable=False)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        on_delete=models.PROTECT,
        related_name="draws",
        db_index=False,  # both indexes below begin with it
    )
    wheel = models.ForeignKey(
        Wheel,
        verbose_name=_("wheel"),
        on_delete=models.PROTECT,
        related_name="draws",
        db_index=False,  # always asked for together with the person
        help_text=_("The wheel of the version, once more, to be found by it."),
    )
    version = models.ForeignKey(
        WheelVersion,
        verbose_name=_("published wheel"),
        on_delete=models.PROTECT,
        related_name="draws",
        db_index=False,  # nobody asks by version yet, and every draw would pay for it
    )
    seed_pair = models.ForeignKey(
        SeedPair,
        verbose_name=_("seed pair"),
        on_delete=models.PROTECT,
        related_name="draws",
        db_index=False,  # the unique constraint begins with it
    )
    nonce = models.PositiveIntegerField(_("nonce"))
    ticket = models.PositiveSmallIntegerField(_("ticket"))
    landed_prize_id = models.BigIntegerField(
        _("prize of the ticket"), help_text=_("Where the ticket stands on the whole wheel.")
    )
    prize_id = models.BigIntegerField(_("prize given"))
    is_pity = models.BooleanField(_("pity draw"))
    pity_before = models.PositiveIntegerField(_("draws before without a pity prize"))
    stock_out = models.JSONField(_("prizes that were gone"), default=list)
    near_miss = models.BooleanField(_("near miss"))
    cost_points = models.PositiveIntegerField(_("cost"), help_text=_("In points."))
    value_given = models.DecimalField(
        _("value given"),
        max_digits=9,
        decimal_places=2,
        help_text=_("Points for a prize of points, else yuan."),
    )
    order = models.OneToOneField(
        Order,
        verbose_name=_("order"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="draw",
    )
    created_at = models.DateTimeField(_("drawn at"), default=timezone.now)

    class Meta:
        verbose_name = _("draw")
        verbose_name_plural = _("draws")
        constraints = [
            models.UniqueConstraint(fields=["seed_pair", "nonce"], name="draw_one_per_nonce"),
            models.CheckConstraint(
                condition=Q(ticket__gte=0, ticket__lt=TICKETS), name="draw_ticket_in_range"
            ),
        ]
        indexes = [
            models.Index(fields=["person", "-id"], name="draw_newest_of_person"),
            models.Index(fields=["person", "wheel", "created_at"], name="draw_of_the_day"),
        ]

    @override
    def __str__(self) -> str:
        return str(self.id)
