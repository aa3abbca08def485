"""What must always hold for the platform itself: its tables, and the seals of all ledgers."""

from ops.models import LedgerSeal
from ops.services import integrity, seals, tables
from ops.services.integrity import Check


def register() -> None:
    """Register the checks of the tables and of the seals."""
    integrity.checks.register("tables", Check(tables.check_tables, of=()))
    integrity.checks.register(
        "seals", Check(seals.check_seals, of=(LedgerSeal,), remarks=seals.say_what_is_unsealed)
    )
