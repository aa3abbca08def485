"""How long a pity prize has been missing; the rule itself is `lottery.decision`."""

from typing import ClassVar, override

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from lottery.models.wheels import Wheel
from ops.locking import LockingQuerySet
from ops.service_columns import ServiceColumns


class PityCounterQuerySet(LockingQuerySet["PityCounter"]):
    """Pity counters, which whoever holds the seed pair of their person moves."""

    def set_to(self, current: int, *, person_id: int, wheel_id: int) -> None:
        """Write a counter, which need not be there yet, in one statement."""
        counter = PityCounter(
            person_id=person_id, wheel_id=wheel_id, current=current, updated_at=Now()
        )
        self.bulk_create(
            [counter],
            update_conflicts=True,
            unique_fields=["person", "wheel"],
            update_fields=["current", "updated_at"],
        )


class PityCounter(ServiceColumns):
    """How many draws of a person on a wheel have gone by without a pity prize."""

    service_columns = ("current",)

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        on_delete=models.PROTECT,
        related_name="pity_counters",
        db_index=False,  # the unique constraint begins with it
    )
    wheel = models.ForeignKey(
        Wheel, verbose_name=_("wheel"), on_delete=models.PROTECT, related_name="pity_counters"
    )
    current = models.PositiveIntegerField(_("draws without a pity prize"), default=0)

    objects: ClassVar = PityCounterQuerySet.as_manager()

    class Meta:
        verbose_name = _("pity counter")
        verbose_name_plural = _("pity counters")
        constraints = [
            models.UniqueConstraint(
                fields=["person", "wheel"], name="pitycounter_one_per_person_and_wheel"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.person_id}/{self.wheel_id}: {self.current}"
