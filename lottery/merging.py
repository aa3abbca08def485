"""What becomes of draws and seeds when two accounts are merged."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.services import merging
from accounts.services.merging import Fate, Part, Told
from lottery.models import Draw
from lottery.services import seeds

FATES = {
    "lottery.Draw.person": Fate.STAYS,
    "lottery.SeedPair.person": Fate.ENDS,
    "lottery.PityCounter.person": Fate.LAPSES,
    "lottery.WheelVersion.published_by": Fate.NAMES,
}


def register() -> None:
    """Register the part of the lottery."""
    merging.parts.register(
        "lottery",
        Part(
            fates=FATES,
            counts=_counts,
            hold=lambda merged_id, _survivor_id: seeds.hold(merged_id),
            move=lambda merged, _survivor: seeds.close(merged.pk),
        ),
    )


def _counts(merged: User) -> Iterator[Told]:
    draws = Draw.objects.filter(person=merged).count()
    yield _("Draws"), draws, _("stay as they are, and are shown and proved as one's own")
