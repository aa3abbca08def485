"""What a reviewer should look at twice. Every reason is a hint; none refuses a receipt."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from reviews.models import ProcessRecord, ProcessStatus, Receipt, ReceiptStatus
from reviews.photos import distance

HIGHEST_SCORE = 100
LOW_CONFIDENCE = Decimal("0.7")
# Tills and phones are not set to the minute.
AHEAD = timedelta(hours=1)
OLD = timedelta(days=30)
# No distance tells one till's slips apart: different ones were as near as 0 of 256 bits, and one
# slip photographed twice as far as 150. So this weighs little.
NEAR = 12
COMPARED_FOR = timedelta(days=30)
COMPARED_AT_MOST = 500
GAP = "…"  # where a fact should be that is not known

# Per reason: how much it adds to the score, and what people read.
REASONS = {
    "already_paid": (90, _("This receipt was paid before, as upload %(upload_id)s.")),
    "seen_before": (
        60,
        _("The same receipt number, time and amount are on upload %(upload_id)s."),
    ),
    "amount_above_read": (40, _("Entered %(entered)s, but %(read)s was read.")),
    "amount_below_read": (10, _("Entered %(entered)s, and %(read)s was read.")),
    "future_date": (40, _("The receipt is dated in the future.")),
    "old_date": (20, _("The receipt is more than %(days)s days old.")),
    "reading_failed": (30, _("The picture could not be read.")),
    "nothing_read": (30, _("No total was found on the picture.")),
    "low_confidence": (20, _("The total was read with little confidence.")),
    "submitted_again": (10, _("The same photo was rejected before.")),
    "similar_picture": (10, _("The picture looks like that of upload %(upload_id)s.")),
    "similar_picture_elsewhere": (
        10,
        _("The picture looks like one that this person submitted at another shop."),
    ),
}


class _Facts(dict[str, Any]):
    """What a text names of the facts; a gap for what is not among them."""

    def __missing__(self, name: str) -> str:
        return GAP


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing to look at: a stable code and the facts its text names."""

    code: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        return REASONS[self.code][0]

    @property
    def text(self) -> str:
        """For people, in the language of the request.

        Rows outlive releases: of a reason that has another name or names other facts by now, what
        is known is said. One old row must not keep a reviewer from all the others.
        """
        if self.code not in REASONS:
            return self.code
        return str(REASONS[self.code][1]) % _Facts(self.facts)

    def stored(self) -> dict[str, Any]:
        """As it is kept in the receipt's row."""
        return {"code": self.code, "facts": self.facts}


def stored_reasons(risk_reasons: Iterable[dict[str, Any]]) -> list[Reason]:
    """The reasons kept in a receipt's row."""
    return [Reason(kept["code"], kept.get("facts") or {}) for kept in risk_reasons]


def score(reasons: Iterable[Reason]) -> int:
    """From 0, nothing to see, to 100."""
    return min(HIGHEST_SCORE, sum(reason.weight for reason in reasons))


def is_unsure(receipt: Receipt) -> bool:
    """Whether the total was read with little confidence."""
    return receipt.confidence is not None and receipt.confidence < LOW_CONFIDENCE


def assess(receipt: Receipt, record: ProcessRecord, *, now: datetime) -> list[Reason]:
    """Look at a receipt as its finished reading left it, the heaviest reason first."""
    reasons = [
        *_of_the_reading(receipt, record),
        *_of_the_date(receipt, now),
        *_of_the_same_receipt(receipt),
        *_of_similar_pictures(receipt, now),
    ]
    if receipt.submission > 1:
        reasons.append(Reason("submitted_again"))
    return sorted(reasons, key=lambda reason: -reason.weight)


def _of_the_reading(receipt: Receipt, record: ProcessRecord) -> Iterator[Reason]:
    entered, read = receipt.input_amount, receipt.recognized_amount
    if record.status == ProcessStatus.FAILED:
        yield Reason("reading_failed")
    elif read is None:
        yield Reason("nothing_read")
    else:
        if entered != read:
            code = "amount_above_read" if entered > read else "amount_below_read"
            yield Reason(code, {"entered": f"{entered:.2f}", "read": f"{read:.2f}"})
        if is_unsure(receipt):
            yield Reason("low_confidence")


def _of_the_date(receipt: Receipt, now: datetime) -> Iterator[Reason]:
    if receipt.issued_at is None:
        return
    if receipt.issued_at > now + AHEAD:
        yield Reason("future_date")
    elif receipt.issued_at < now - OLD:
        yield Reason("old_date", {"days": OLD.days})


def _of_the_same_receipt(receipt: Receipt) -> Iterator[Reason]:
    """The key holds the shop, so no other shop's upload is named."""
    if not receipt.read_as:
        return
    others = Receipt.objects.filter(read_as=receipt.read_as).exclude(pk=receipt.pk)
    paid = others.filter(status=ReceiptStatus.APPROVED).first()
    other = paid or others.order_by("pk").first()
    if other is not None:
        yield Reason("already_paid" if paid else "seen_before", {"upload_id": other.pk})


def _of_similar_pictures(receipt: Receipt, now: datetime) -> Iterator[Reason]:
    """The nearest of the shop's and the person's recent pictures; another shop's is not named."""
    recent = (
        Receipt.objects.filter(
            Q(shop_id=receipt.shop_id) | Q(person_id=receipt.person_id),
            created_at__gte=now - COMPARED_FOR,
        )
        .exclude(pk=receipt.pk)
        # The same file again looks the same: that has a reason of its own.
        .exclude(sha256=receipt.sha256)
        .order_by("-pk")
        .values_list("difference_hash", "shop_id", "pk")[:COMPARED_AT_MOST]
    )
    nearest = min(
        ((distance(receipt.difference_hash, other), *rest) for other, *rest in recent),
        default=None,
    )
    if nearest is None or nearest[0] > NEAR:
        return
    _bits, shop_id, pk = nearest
    if shop_id == receipt.shop_id:
        yield Reason("similar_picture", {"upload_id": pk})
    else:
        yield Reason("similar_picture_elsewhere")
