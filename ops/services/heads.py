"""Heads of ledgers that are kept at accounts: derived, and set right where the entries prove it.

A head is also a witness. The hash of an entry that is not there, or a number beyond the last one,
tells that entries were removed or rewritten; entries behind it may have been slipped in. So it is
set right only where it names the last entry itself, or where a seal proves that entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from ops.chain import GENESIS_HASH
from ops.locking import locked
from ops.services.ledgers import Ledger, broken_links, ledgers, wrong_heads
from ops.services.seals import Heads


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The last entry of an account: its number, its hash, and the balance after it."""

    sequence: int = 0
    entry_hash: str = GENESIS_HASH
    balance: int = 0


def lock_account(ledger: Ledger, account_id: int) -> Any:
    """Hold the row of an account until commit, and return it as it is now.

    Needs a transaction around it. Raises ObjectDoesNotExist.
    """
    return locked(ledger.accounts.filter(pk=account_id)).get()


def end_of(ledger: Ledger, account_id: int) -> End:
    """Where the entries of an account end; nothing and the first hash where it has none."""
    entries = ledger.entries._base_manager.filter(**{ledger.account: account_id})
    columns = ["sequence", "entry_hash", *([ledger.balance_after] if ledger.balance else [])]
    last = entries.order_by("-sequence").values_list(*columns).first()
    if last is None:
        return End()
    return End(sequence=last[0], entry_hash=last[1], balance=last[2] if ledger.balance else 0)


def is_whole(ledger: Ledger, account_id: int) -> bool:
    """Whether the chain of an account is unbroken and its head is the last entry of it."""
    entries = ledger.entries._base_manager.filter(**{ledger.account: account_id})
    has_head = not wrong_heads(ledger).filter(pk=account_id).exists()
    return has_head and not any(broken_links(ledger, entries))


def why_unproved(ledger: Ledger, row: Any, sealed: Heads) -> str:
    """Why the head of an account may not be set to its last entry; empty where that is proved."""
    end = end_of(ledger, row.pk)
    version, head = getattr(row, ledger.version), getattr(row, ledger.head)
    if any(broken_links(ledger, ledger.entries._base_manager.filter(**{ledger.account: row.pk}))):
        return _("its chain of entries is broken")
    if head == end.entry_hash:
        return ""
    proof = sealed.get((_name_of(ledger), row.pk))
    is_sealed = proof is not None and (proof.sequence, proof.entry_hash) == (
        end.sequence, end.entry_hash,
    )  # fmt: skip
    if is_sealed and version <= end.sequence:
        return ""
    entries = ledger.entries._base_manager.filter(**{ledger.account: row.pk})
    is_earlier = head == GENESIS_HASH or entries.filter(entry_hash=head).exists()
    if version > end.sequence or not is_earlier:
        return _("it names an entry that is not there: entries were removed or rewritten")
    return _("entries stand behind the one that it names, which no seal proves")


def set_right(
    ledger: Ledger, row: Any, sealed: Heads
) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Set the head of an account, which the caller holds, to its last entry.

    Returns what it was and what it is, by column; None where it is right already. Raises ValueError
    where `why_unproved` says why not.
    """
    end = end_of(ledger, row.pk)
    due = {ledger.version: end.sequence, ledger.head: end.entry_hash}
    if ledger.balance:
        due[ledger.balance] = end.balance
    before = {name: getattr(row, name) for name in due}
    if before == due:
        return None
    if why := why_unproved(ledger, row, sealed):
        raise ValueError(why)
    row._meta.model._default_manager.filter(pk=row.pk).update(**due)
    return before, due


def _name_of(ledger: Ledger) -> str:
    return next(name for name, one in ledgers.items() if one is ledger)
