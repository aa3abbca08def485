"""Entries of a ledger that are still to be written, and what their accounts become by them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F, Model

from ops.chain import ChainedEntry
from ops.per_row import per_row


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The columns by which an account keeps the end of its ledger.

    A ledger of something else than amounts has no balance.
    """

    model: type[Model]
    balance: str = ""
    version: str  # the number of the newest entry
    head: str  # its hash


@dataclass(slots=True)
class Tally:
    """What the new entries of one account come to; its row says what is committed until then.

    The caller holds the row.
    """

    row: Any
    account: Account
    head: str = field(init=False)
    entries: int = 0
    gains: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.head = getattr(self.row, self.account.head)
        if self.account.balance:
            self.gains[self.account.balance] = 0

    @property
    def balance(self) -> int:
        """What the account holds after its new entries."""
        committed: int = getattr(self.row, self.account.balance)
        return committed + self.gains[self.account.balance]

    def chain(self, entry: ChainedEntry, amount: int = 0, **more: int) -> None:
        """Number an entry of this amount and put it behind the newest one.

        `more` is what else the row gains by it, by the name of the column; the same names for
        every entry.
        """
        self.entries += 1
        entry.sequence = getattr(self.row, self.account.version) + self.entries
        entry.previous_hash = self.head
        entry.entry_hash = self.head = entry.computed_hash()
        gained = {self.account.balance: amount, **more} if self.account.balance else more
        for name, value in gained.items():
            self.gains[name] = self.gains.get(name, 0) + value


def write_heads(account: Account, tallies: Iterable[Tally]) -> None:
    """Bring accounts whose entries are written up to date, in one statement, and their rows.

    F(), not the values that were read: should the lock ever go, two writers add up instead of
    overwriting each other, and the constraints on balance and sequence still bite.
    """
    by_pk = {tally.row.pk: tally for tally in tallies}
    if not by_pk:
        return

    def plus(name: str, gained: dict[Any, int]) -> Any:
        return F(name) + per_row(gained)

    columns = next(iter(by_pk.values())).gains
    gains = {
        name: plus(name, {pk: tally.gains[name] for pk, tally in by_pk.items()}) for name in columns
    }
    versions = plus(account.version, {pk: tally.entries for pk, tally in by_pk.items()})
    heads = per_row({pk: tally.head for pk, tally in by_pk.items()})
    account.model._default_manager.filter(pk__in=by_pk).update(
        **gains, **{account.version: versions, account.head: heads}
    )
    for tally in by_pk.values():
        row = tally.row
        for name, gained in {**tally.gains, account.version: tally.entries}.items():
            setattr(row, name, getattr(row, name) + gained)
        setattr(row, account.head, tally.head)
