"""What becomes of receipts when two accounts are merged."""

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.services import merging
from accounts.services.merging import Fate, Part, Told
from reviews.models import Receipt, ReceiptStatus

FATES = {
    "reviews.Receipt.person": Fate.STAYS,
    "reviews.Receipt.paid_to": Fate.STAYS,
    "reviews.Receipt.reviewer": Fate.NAMES,
}


def register() -> None:
    """Register the part of receipts."""
    merging.parts.register("reviews", Part(fates=FATES, counts=_counts))


def _counts(merged: User) -> Iterator[Told]:
    receipts = Receipt.objects.filter(person=merged)
    waiting = receipts.filter(status=ReceiptStatus.PENDING).count()
    yield _("Receipts to be decided"), waiting, _("go on: an approval pays the account that stays")
    yield _("Other receipts"), receipts.count() - waiting, _("are shown as one's own")
