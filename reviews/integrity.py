"""What must always hold for receipts: each is paid at most once."""

from collections.abc import Iterator

from django.db.models import CharField, Count, Value
from django.db.models.functions import Cast, Coalesce
from django.utils.translation import gettext as _

from accounts.models import PointsSource
from accounts.services.merged_accounts import survivors
from ops.services import integrity
from ops.services.integrity import Check, Finding
from ops.services.ledgers import check_causes, ledgers
from reviews.models import Receipt, ReceiptStatus


def register() -> None:
    """Register the integrity check of receipts."""
    integrity.checks.register("receipts", Check(receipts_are_paid_once, of=(Receipt,)))


def receipts_are_paid_once() -> Iterator[Finding]:
    """Compare receipts with the ledger, both ways, and approved receipts with each other."""
    approved = Receipt.objects.filter(status=ReceiptStatus.APPROVED)
    yield from check_causes(
        ledgers["points"],
        kinds=(PointsSource.PHOTO_UPLOAD,),
        due=approved.filter(points_awarded__gt=0).values_list(
            Coalesce("paid_to_id", "person_id"),
            Value(PointsSource.PHOTO_UPLOAD),
            Cast("pk", CharField()),
            "points_awarded",
        ),
        name_cause=lambda kind, cause: f"receipt {cause}",
    )
    into = survivors()
    elsewhere = Receipt.objects.filter(paid_to__isnull=False).order_by("pk")
    for pk, person_id, got in elsewhere.values_list("pk", "person", "paid_to"):
        if got not in into.get(person_id, ()):
            problem = _("was paid to user %(person)d, who never was its user's")
            yield Finding("cause", f"receipt {pk}", problem % {"person": got})
    # What the constraint on `paid_as` refuses, asked once more from what was read.
    twice = approved.exclude(read_as="").values("read_as").annotate(times=Count("pk"))
    for read_as in twice.filter(times__gt=1).order_by("read_as").values_list("read_as", flat=True):
        same = approved.filter(read_as=read_as).order_by("pk").values_list("pk", flat=True)
        names = ", ".join(map(str, same))
        problem = _("are one receipt that was paid more than once")
        yield Finding("paid twice", f"receipts {names}", problem)
