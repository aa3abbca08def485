"""The live settings of receipts: what they are worth, how many a day, and how they are read."""

from datetime import timedelta

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from ops.setting_kinds import Duration, Whole, declare

RECEIPTS = _("Receipts")

POINTS_PER_YUAN = declare(
    Whole(
        key="receipts.points_per_yuan",
        default=lambda: settings.POINTS_PER_YUAN,
        most=10_000,
        unit=_("points"),
        group=RECEIPTS,
        label=_("Points per yuan"),
        description=_("Of a receipt, before the tier of the person. For new receipts."),
        is_public=True,
        environment="POINTS_PER_YUAN",
    )
)
UPLOADS_A_DAY = declare(
    Whole(
        key="receipts.uploads_a_day",
        default=lambda: settings.UPLOADS_A_DAY,
        most=1000,
        unit=_("receipts"),
        group=RECEIPTS,
        label=_("Receipts a day"),
        description=_("That a person may upload, unless a quota of their own is set."),
        is_public=True,
        environment="UPLOADS_A_DAY",
    )
)
UPLOADS_A_DAY_PREMIUM = declare(
    Whole(
        key="receipts.uploads_a_day_premium",
        default=lambda: settings.UPLOADS_A_DAY_PREMIUM,
        most=1000,
        unit=_("receipts"),
        group=RECEIPTS,
        label=_("Receipts a day, premium"),
        description=_("That a premium person may upload, unless a quota of their own is set."),
        is_public=True,
        environment="UPLOADS_A_DAY_PREMIUM",
    )
)
SECOND_PERSON_ABOVE = declare(
    Whole(
        key="receipts.second_person_above",
        default=lambda: settings.ADJUSTMENT_SECOND_PERSON_ABOVE,
        unit=_("points"),
        group=RECEIPTS,
        label=_("Second person above"),
        description=_("Above so many points over the estimate a second person has to agree."),
        environment="ADJUSTMENT_SECOND_PERSON_ABOVE",
    )
)
READING_LEASE = declare(
    Duration(
        key="receipts.reading_lease",
        default=lambda: settings.READING_LEASE,
        least=timedelta(seconds=1),
        most=timedelta(hours=1),
        group=RECEIPTS,
        label=_("Time to read a receipt"),
        description=_("A worker that is silent for so long counts as killed."),
        environment="READING_LEASE_SECONDS",
    )
)
READING_QUEUED_TOO_LONG = declare(
    Duration(
        key="receipts.reading_queued_too_long",
        default=lambda: settings.READING_QUEUED_TOO_LONG,
        least=timedelta(seconds=1),
        most=timedelta(hours=24),
        group=RECEIPTS,
        label=_("Waiting to be read"),
        description=_("After that it is looked whether the receipt's task still waits."),
        environment="READING_QUEUED_TOO_LONG_SECONDS",
    )
)
