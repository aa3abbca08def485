"""What `repair_integrity` does about heads of ledgers, and says of what it leaves alone."""

from django.utils.translation import gettext_lazy

from ops.services import repair
from ops.services.integrity import STUMBLED, Subject
from ops.services.ledgers import HEAD
from ops.services.repair import Beyond, Findings, Mend

_ENTRIES = gettext_lazy(
    "an entry of a ledger says something else than when it was written, and is never altered back"
)
_TABLES = gettext_lazy(
    "migrations make tables, and whoever took it away may have written rows meanwhile"
)
_DIAGNOSE = gettext_lazy(
    "read the rows that came since, then manage.py diagnose_db, which says how to put it back"
)
_SEALS = gettext_lazy("a seal is proof: made anew it would prove whatever stands there now")
BEYOND = {
    "append-only": Beyond(_TABLES, _DIAGNOSE),
    "change-mark": Beyond(_TABLES, _DIAGNOSE),
    "constraint": Beyond(_TABLES, _DIAGNOSE),
    "reference": Beyond(gettext_lazy("what it points to is gone, and nothing here knows it")),
    "sequence": Beyond(_ENTRIES),
    "balance": Beyond(_ENTRIES),
    "chain": Beyond(_ENTRIES),
    "hash": Beyond(_ENTRIES),
    "cause": Beyond(
        gettext_lazy(
            "entry and cause contradict each other: the entry may be forged, or the cause be "
            "altered or removed"
        ),
        gettext_lazy(
            "find out which (docs/integrity.md): restore a backup; or, if the entry is forged, let "
            "somebody decide to take it back, with --take-back and a --reason"
        ),
    ),
    "seals": Beyond(
        _SEALS,
        gettext_lazy(
            "find the file again, or restore a backup; after a restore: manage.py seal_ledgers "
            "--after-restore"
        ),
    ),
    "actor": Beyond(_ENTRIES),
    STUMBLED: Beyond(
        gettext_lazy("the check could not be finished, so nobody knows what it would find"),
        gettext_lazy("the log says what it stumbled over"),
    ),
}


def register() -> None:
    """Register the repair of heads, and what is said of rules that belong to all ledgers."""
    repair.repairers.register(HEAD, _head)
    for rule, said in BEYOND.items():
        repair.beyond.register(rule, said)


def _head(subject: Subject, findings: Findings) -> Mend | Beyond:
    return repair.answer_of_head(subject.facts["ledger"], subject.facts["account_id"], findings)
