"""What must always hold for the platform itself: tables, audit trail, seals of all ledgers."""

from collections.abc import Iterator

from django.db import connection
from django.db.models import F, Q
from django.utils.translation import gettext as _

from ops.change_marks import unmarked
from ops.models import AuditActor, AuditEntry, LedgerSeal
from ops.services import integrity, seals, tables
from ops.services.freshness import topics
from ops.services.integrity import Check, Finding, unlike
from ops.services.ledgers import Ledger, check_chains, ledgers

AUDIT = Ledger(
    entries=AuditEntry,
    account="chain",
    version="entries",
    head="head",
    entry_name="audit entry",
    account_name="audit actor",
)


def register() -> None:
    """Register the audit trail as a ledger, and the checks of it, of tables, marks and seals."""
    ledgers.register("audit", AUDIT)
    integrity.checks.register("audit", Check(audit_is_whole, of=(AuditEntry, AuditActor)))
    integrity.checks.register("tables", Check(tables.check_tables, of=()))
    integrity.checks.register("change marks", Check(changes_are_marked, of=()))
    integrity.checks.register(
        "seals", Check(seals.check_seals, of=(LedgerSeal,), remarks=seals.say_what_is_unsealed)
    )


def audit_is_whole() -> Iterator[Finding]:
    """Recompute the chain of everybody who acted, and see that it is theirs still."""
    yield from check_chains(AUDIT)
    same = Q(actor_id=F("chain__person_id")) | Q(
        actor_id__isnull=True, chain__person_id__isnull=True
    )
    strays = unlike(AuditEntry.objects.all(), same, system_user=F("chain__system_user"))
    for chain_id, number in strays.order_by("chain", "sequence").values_list("chain", "sequence"):
        problem = _("is in the chain of somebody else")
        yield Finding("actor", AUDIT.name_entry(chain_id, number), problem)


def changes_are_marked() -> Iterator[Finding]:
    """See that each table that public answers are made of marks its changes."""
    for topic, models in topics.items():
        for model in models:
            table = model._meta.db_table
            for name in unmarked(connection, table, topic):
                problem = _(
                    "trigger %(name)s is missing or was altered: changes could be seen late"
                )
                yield Finding("change-mark", table, problem % {"name": name})
