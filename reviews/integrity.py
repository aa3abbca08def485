"""What must always hold for receipts: each is paid at most once."""

from collections.abc import Iterator, Mapping
from itertools import batched
from typing import Any

from django.db.models import Count, Q, Sum

from accounts.models import PointsEntry, PointsSource
from ops.services import integrity
from ops.services.integrity import Finding
from reviews.models import Receipt, ReceiptStatus

RULE = "receipt-paid-once"
BATCH_SIZE = 2000
# What a receipt puts into the ledger: its points, and perhaps their reversal.
SOURCES = (PointsSource.PHOTO_UPLOAD, PointsSource.REVERSE)


def register() -> None:
    """Register the integrity check of receipts."""
    integrity.checks.register("receipts", receipts_are_paid_once)


def receipts_are_paid_once() -> Iterator[Finding]:
    """Compare receipts with the ledger, both ways, and approved receipts with each other."""
    approved = Receipt.objects.filter(status=ReceiptStatus.APPROVED, points_awarded__gt=0)
    for receipts in batched(approved.order_by("pk").iterator(BATCH_SIZE), BATCH_SIZE):
        yield from _unpaid(receipts)
    paid = (
        PointsEntry.objects.filter(source__in=SOURCES)
        .values("related_id", "user_id")
        .annotate(
            net=Sum("points"),
            payments=Count("pk", filter=Q(source=PointsSource.PHOTO_UPLOAD)),
            reversals=Count("pk", filter=Q(source=PointsSource.REVERSE)),
        )
        .order_by("related_id", "user_id")
    )
    for entries in batched(paid.iterator(BATCH_SIZE), BATCH_SIZE):
        yield from _wrongly_paid(entries)
    yield from _paid_twice()


def _unpaid(receipts: tuple[Receipt, ...]) -> Iterator[Finding]:
    """Approved receipts without any entry; those with entries are compared from the other side."""
    names = [str(receipt.pk) for receipt in receipts]
    paid = set(
        PointsEntry.objects.filter(source=PointsSource.PHOTO_UPLOAD, related_id__in=names)
        .values_list("related_id", flat=True)
        .distinct()
    )
    for name in names:
        if name not in paid:
            yield Finding(RULE, f"receipt {name}", "is approved with points but was not paid")


def _wrongly_paid(entries: tuple[Mapping[str, Any], ...]) -> Iterator[Finding]:
    """Ledger entries that no receipt, or another amount, or another person explains."""
    names = {str(entry["related_id"]) for entry in entries}
    receipts = Receipt.objects.in_bulk([int(name) for name in names if _is_id(name)])
    for entry in entries:
        name = str(entry["related_id"])
        receipt = receipts.get(int(name)) if _is_id(name) else None
        if receipt is None:
            yield Finding(RULE, f"receipt {name}", "was paid but is not there")
            continue
        is_approved = receipt.status == ReceiptStatus.APPROVED
        due = (receipt.points_awarded or 0) if is_approved else 0
        if entry["user_id"] != receipt.person_id:
            yield Finding(RULE, f"receipt {name}", f"was paid to user {entry['user_id']}")
        if entry["net"] != due:
            yield Finding(RULE, f"receipt {name}", f"was paid {entry['net']} points, not {due}")
        elif int(entry["payments"]) - int(entry["reversals"]) != (1 if due else 0):
            yield Finding(
                RULE,
                f"receipt {name}",
                f"has {entry['payments']} payments and {entry['reversals']} reversals",
            )


def _is_id(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 19


def _paid_twice() -> Iterator[Finding]:
    """What the constraint on `paid_as` refuses, asked once more from what was read."""
    twice = (
        Receipt.objects.filter(status=ReceiptStatus.APPROVED)
        .exclude(read_as="")
        .values("read_as")
        .annotate(times=Count("pk"))
        .filter(times__gt=1)
    )
    for row in twice.order_by("read_as"):
        same = Receipt.objects.filter(status=ReceiptStatus.APPROVED, read_as=row["read_as"])
        names = ", ".join(str(pk) for pk in same.order_by("pk").values_list("pk", flat=True))
        yield Finding(RULE, f"receipts {names}", "are one receipt that was paid more than once")
