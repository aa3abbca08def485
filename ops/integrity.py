"""What must always hold for the platform itself: the seals of all ledgers."""

from ops.models import LedgerSeal
from ops.services import integrity, seals
from ops.services.integrity import Check


def register() -> None:
    """Register the check of the seals."""
    integrity.checks.register(
        "seals", Check(seals.check_seals, of=(LedgerSeal,), remarks=seals.say_what_is_unsealed)
    )
