"""What `repair_integrity` says of receipts; entries that were booked twice are of `accounts`."""

from django.utils.translation import gettext_lazy

from ops.services import repair
from ops.services.repair import Beyond


def register() -> None:
    """Register what is said of rules that nothing sets right."""
    repair.beyond.register(
        "paid twice",
        Beyond(
            gettext_lazy("each of them was approved, and each was paid: which one was meant?"),
            gettext_lazy("look at the photos, and let somebody adjust the points of one"),
        ),
    )
