"""What must always hold for the platform itself: tables, audit trail, seals of all ledgers."""

from collections.abc import Iterator

from ops.models import AuditActor, AuditEntry, LedgerSeal
from ops.services import integrity, seals, tables
from ops.services.integrity import Check, Finding
from ops.services.ledgers import Ledger, check_chains, ledgers

AUDIT = Ledger(
    entries=AuditEntry,
    account="actor",
    version="entries",
    head="head",
    entry_name="audit entry",
    account_name="audit actor",
)


def register() -> None:
    """Register the audit trail as a ledger, and the checks of it, of tables and of seals."""
    ledgers.register("audit", AUDIT)
    integrity.checks.register("audit", Check(audit_is_whole, of=(AuditEntry, AuditActor)))
    integrity.checks.register("tables", Check(tables.check_tables, of=()))
    integrity.checks.register(
        "seals", Check(seals.check_seals, of=(LedgerSeal,), remarks=seals.say_what_is_unsealed)
    )


def audit_is_whole() -> Iterator[Finding]:
    """Recompute the chain of everybody who acted."""
    yield from check_chains(AUDIT)
