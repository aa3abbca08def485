"""Maintenance: whether it is on, and how many requests each process still has in hand."""

from typing import override

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ops.updated_at import Mutable

LONGEST_MESSAGE = 500  # characters
MOST_MINUTES = 7 * 24 * 60  # that it may be said to take
THE_ONE = 1


class Maintenance(Mutable):
    """The one row that says whether the platform is being maintained; none is there before."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=THE_ONE, editable=False)
    is_on = models.BooleanField(_("on"), db_default=False)
    message = models.CharField(_("message"), max_length=LONGEST_MESSAGE, blank=True)
    until = models.DateTimeField(_("until"), null=True, blank=True)

    class Meta:
        verbose_name = _("maintenance")
        verbose_name_plural = _("maintenance")
        permissions = [("switch_maintenance", _("Can switch maintenance on and off"))]
        constraints = [
            models.CheckConstraint(condition=Q(id=THE_ONE), name="maintenance_one_row"),
        ]

    @override
    def __str__(self) -> str:
        return "on" if self.is_on else "off"


class ServingProcess(Mutable):
    """A process that serves while maintenance is on, and how many requests it has in hand.

    It writes its row every two seconds as long as maintenance is on, and at no other time.
    """

    name = models.CharField(_("name"), max_length=128, primary_key=True)
    running = models.PositiveIntegerField(_("requests in hand"), db_default=0)

    class Meta:
        verbose_name = _("serving process")
        verbose_name_plural = _("serving processes")

    @override
    def __str__(self) -> str:
        return self.name
