"""Ledgers proved by the database itself: chains, heads, and entries against their causes.

Each app registers its ledger; its balance, its chain and its seals are checked in one way.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Value, Window
from django.db.models.functions import Lag
from django.utils.translation import gettext as _

from ops.chain import GENESIS_HASH, ChainedEntry
from ops.registry import Registry
from ops.services.integrity import Finding, Subject, unguarded_tables, unlike

# What a finding is about (`Subject.kind`).
BROKEN, HEAD, UNACCOUNTED, LACKING = (
    "broken entry", "head", "entry without cause", "cause without entry",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Where the entries of a ledger and its accounts are, and what their columns are called.

    `account` is the entries' foreign key to the row that keeps `balance`, `version` and `head` of
    the newest entry. `entry_name` and `account_name` are how findings call them. A ledger of
    something else than amounts has neither kinds, amounts nor balances. `corrected` says which
    entries a correcting one took back: they need no cause any more.
    """

    entries: type[ChainedEntry]
    account: str
    kind: str = ""
    amount: str = ""
    balance_after: str = ""
    balance: str = ""
    version: str
    head: str
    entry_name: str
    account_name: str
    corrected: Callable[[], Q] | None = None

    def name_entry(self, account_id: object, sequence: object) -> str:
        """How findings call an entry."""
        return f"{self.entry_name} {account_id}/{sequence}"

    def name_account(self, account_id: object) -> str:
        """How findings call an account."""
        return f"{self.account_name} {account_id}"

    @property
    def standing(self) -> QuerySet[Any]:
        """The entries but those that a correcting one took back."""
        entries = self.entries._base_manager.all()
        return entries.exclude(self.corrected()) if self.corrected else entries

    @property
    def accounts(self) -> QuerySet[Any]:
        """The rows that keep the heads."""
        field = self.entries._meta.get_field(self.account)
        return field.related_model._base_manager.all()  # type: ignore[union-attr]

    @property
    def heads(self) -> QuerySet[Any, tuple[int, int, str]]:
        """Account, number and hash of the newest entry, of every account that has one."""
        begun = self.accounts.filter(**{f"{self.version}__gt": 0})
        return begun.order_by("pk").values_list("pk", self.version, self.head)


ledgers: Registry[Ledger] = Registry()


# --- Chains and heads ---------------------------------------------------------------------------
def check_chains(ledger: Ledger) -> Iterator[Finding]:
    """Compare every entry with the one before it, with its hash, and the last with its account."""
    yield from unguarded_tables(ledger.entries)
    yield from broken_links(ledger, ledger.entries._base_manager.all())
    yield from _wrong_heads(ledger)
    yield from _without_account(ledger)


def broken_links(ledger: Ledger, entries: QuerySet[Any]) -> Iterator[Finding]:
    """Which of these entries do not fit the one before them, or their own hash.

    `entries` are those of whole accounts.
    """

    def before(field: str, first: object) -> Window:
        """What the entry before this one says, or `first` where there is none."""
        of_account, in_order = F(ledger.account), F("sequence").asc()
        value = Lag(field, default=Value(first))
        return Window(value, partition_by=of_account, order_by=in_order)

    linked = entries.annotate(
        sequence_before=before("sequence", 0),
        hash_before=before("entry_hash", GENESIS_HASH),
        hash_due=ledger.entries.hash_in_sql(),
    )
    due: dict[str, Any] = {
        "sequence": F("sequence_before") + 1,
        "previous_hash": F("hash_before"),
        "entry_hash": F("hash_due"),
    }
    sums: list[Any] = []
    if ledger.amount:
        linked = linked.annotate(balance_before=before(ledger.balance_after, 0))
        due[ledger.balance_after] = F("balance_before") + F(ledger.amount)
        sums = [ledger.balance_after, due[ledger.balance_after]]
    broken = unlike(linked, **due)
    account_id = f"{ledger.account}_id"
    # Column by column: a time that Python does not know must not stop it.
    links = broken.order_by(account_id, "sequence").values_list(
        account_id,
        "sequence",
        "sequence_before",
        "previous_hash",
        "hash_before",
        "entry_hash",
        "hash_due",
        *sums,
    )
    for account, number, earlier, previous, hash_before, entry_hash, hash_due, *balances in links:
        name = ledger.name_entry(account, number)
        subject = Subject(BROKEN, ledger.name_account(account))
        if number != earlier + 1:
            problem = _("number %(number)d was expected") % {"number": earlier + 1}
            yield Finding("sequence", name, problem, subject)
        if balances and balances[0] != balances[1]:
            told, adds_up_to = balances
            problem = _("says %(told)s, adds up to %(due)s") % {"told": told, "due": adds_up_to}
            yield Finding("balance", name, problem, subject)
        if previous != hash_before:
            yield Finding("chain", name, _("does not follow the entry before it"), subject)
        if hash_due is None or entry_hash != hash_due:
            problem = _("was altered: its hash is not that of its fields")
            yield Finding("hash", name, problem, subject)


def wrong_heads(ledger: Ledger) -> QuerySet[Any]:
    """Accounts whose newest entry is not the one that they keep, by number, hash and balance."""
    mine = ledger.entries._base_manager.filter(**{ledger.account: OuterRef("pk")})
    kept = mine.filter(sequence=OuterRef(ledger.version), entry_hash=OuterRef(ledger.head))
    is_new = Q(**{ledger.version: 0, ledger.head: GENESIS_HASH})
    if ledger.balance:
        kept = kept.filter(**{ledger.balance_after: OuterRef(ledger.balance)})
        is_new &= Q(**{ledger.balance: 0})
    beyond = mine.filter(sequence__gt=OuterRef(ledger.version))
    return ledger.accounts.filter(Exists(beyond) | ~(is_new | Exists(kept)))


def _wrong_heads(ledger: Ledger) -> Iterator[Finding]:
    for account in wrong_heads(ledger).order_by("pk").iterator():
        entries = ledger.entries._base_manager.filter(**{ledger.account: account.pk})
        told = entries.order_by("-sequence").values_list(
            "sequence", ledger.balance_after or Value(0)
        )
        sequence, balance = told.first() or (0, 0)
        said = _("keeps number %(version)d as the newest, the ledger ends at %(sequence)d")
        facts = {"version": getattr(account, ledger.version), "sequence": sequence}
        if ledger.balance:
            said = _(
                "keeps %(kept)d at version %(version)d, the ledger says %(balance)d at %(sequence)d"
            )
            facts |= {"kept": getattr(account, ledger.balance), "balance": balance}
        subject = Subject(HEAD, facts={"ledger": ledger, "account_id": account.pk})
        yield Finding("balance", ledger.name_account(account.pk), said % facts, subject)


def _without_account(ledger: Ledger) -> Iterator[Finding]:
    account_id = f"{ledger.account}_id"
    gone = ledger.entries._base_manager.filter(
        ~Exists(ledger.accounts.filter(pk=OuterRef(account_id)))
    )
    for pk in gone.order_by(account_id).values_list(account_id, flat=True).distinct():
        name = ledger.name_account(pk)
        yield Finding("balance", name, _("has entries and is not there"), Subject(BROKEN, name))


# --- Entries and their causes -------------------------------------------------------------------
type Due = QuerySet[Any, tuple[int, str, str, int]]


def check_causes(
    ledger: Ledger, *, kinds: Collection[str], due: Due, name_cause: Callable[[str, str], str]
) -> Iterator[Finding]:
    """Compare the entries of these kinds with what their causes say is due, both ways.

    `due` gives account, kind, `related_id` and amount of every entry that has to be there, once.
    `name_cause` says how findings call the cause of a kind and a `related_id`.
    """
    columns = (ledger.account, ledger.kind, "related_id", ledger.amount)
    entries = ledger.standing.filter(**{f"{ledger.kind}__in": kinds})
    booked = entries.values_list(*columns)
    for account_id, kind, cause, amount, times, times_due in _differences(booked, due):
        if times < times_due:
            name = ledger.name_account(account_id)
            problem = _("lacks the entry %(kind)s of %(amount)+d for %(account)s") % {
                "kind": kind,
                "amount": amount,
                "account": name,
            }
            yield Finding("cause", name_cause(kind, cause), problem, Subject(LACKING, name))
            continue
        booked_for_it = entries.filter(
            **dict(zip(columns, (account_id, kind, cause, amount), strict=True))
        )
        numbers = list(booked_for_it.order_by("sequence").values_list("sequence", flat=True))
        for number in numbers:
            yield without_cause(
                ledger,
                account_id=account_id,
                sequence=number,
                kind=kind,
                cause=cause,
                # Of what was booked more often than it is due, the later ones are too many.
                surplus=numbers[times_due:] if times_due else (),
            )


def without_cause(
    ledger: Ledger,
    *,
    account_id: object,
    sequence: object,
    kind: str,
    cause: str,
    never: bool = False,
    surplus: Collection[int] = (),
) -> Finding:
    """The finding of an entry that nothing accounts for.

    `never`: nothing writes such an entry, so that there can have been no cause. `surplus` are the
    numbers of those that are too many, where the cause is there.
    """
    problem = _("is of %(cause)s: nothing accounts for it") % {"cause": f"{kind} {cause}".strip()}
    subject = Subject(
        f"{UNACCOUNTED}: {ledger.entry_name}",  # each ledger has its own way to correct one
        ledger.name_account(account_id),
        {
            "ledger": ledger,
            "account_id": account_id,
            "kind": kind,
            "cause": cause,
            "never": never,
            "numbers": tuple(surplus) or (sequence,),
            "is_surplus": bool(surplus),
        },
    )
    return Finding("cause", ledger.name_entry(account_id, sequence), problem, subject)


def _differences(booked: Due, due: Due) -> Iterator[tuple[int, str, str, int, int, int]]:
    """What was booked and is not due, and what is due and was not booked.

    Yields the four columns, how often it was booked and how often it is due. One statement, which
    sorts or hashes either side once, however many rows there are.
    """
    booked_sql, booked_values = booked.order_by().query.sql_with_params()
    due_sql, due_values = due.order_by().query.sql_with_params()
    names = "account, kind, cause, amount"
    statement = (
        f"WITH booked({names}) AS ({booked_sql}), due({names}) AS ({due_sql}) "  # noqa: S608
        f"SELECT {names}, SUM(times), SUM(times_due) "
        f"FROM (SELECT {names}, 1 AS times, 0 AS times_due FROM booked "
        f"UNION ALL SELECT {names}, 0, 1 FROM due) AS both_sides "
        f"GROUP BY {names} HAVING SUM(times) <> SUM(times_due) ORDER BY {names}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*booked_values, *due_values])
        yield from cursor.fetchall()
