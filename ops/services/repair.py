"""Setting right what `check_integrity` finds, as far as what is there proves how it has to be.

Two things can be set right: what is derived from rows that are proved (a balance, a head, a count),
and what an entry did that no service can have written, by another entry that takes it back. An
entry of a ledger is never altered. All else is beyond repair: to make it agree, one of two rows
that contradict each other would have to be believed, and it may be the forged one.
"""

import fcntl
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connection, transaction
from django.db.models import Model
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ops import request_context
from ops.errors import DomainError
from ops.models import AuditActor
from ops.registry import Registry
from ops.services import audit, heads, integrity, seals
from ops.services.audit import Values
from ops.services.integrity import Finding, Subject
from ops.services.ledgers import Ledger, ledgers
from ops.services.seals import Heads

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

LOCK = "repair_integrity"
LOCK_NUMBER = 0x7265706169720001  # of PostgreSQL's advisory locks: "repair", 1
RESTORE: "StrOrPromise" = gettext_lazy(
    "find out who wrote it and when (docs/integrity.md), then restore a backup of before"
)


class Busy(Exception):
    """Another run is at work."""


class BeyondRepair(Exception):
    """What was found cannot be set right after all; the text says why."""


class BrokenTrail(Exception):
    """The audit trail of whoever runs this is not whole: nothing can be recorded in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who repairs, and why; without a person whoever runs the command."""

    reason: str
    person_id: int | None = None


@dataclass(frozen=True, slots=True)
class Beyond:
    """Why a finding is not set right here, and what helps instead."""

    reason: "StrOrPromise"
    way_out: "StrOrPromise" = RESTORE


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """What sets a finding right: `says` it in words, `make` does it.

    `make` runs in a transaction of its own, takes the locks that the services take, looks again at
    what it relies on, and records it in the audit trail. It returns whether anything was left to
    do, and raises BeyondRepair or a DomainError where it cannot be done after all. Heads come
    before all else, since whatever books an entry needs them.
    """

    says: str
    make: Callable[[Author], bool]
    is_head: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A finding of a check, and what can be done about it."""

    check: str
    finding: Finding
    answer: Mend | Beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one repair; `problem` is empty where it was made."""

    verdict: Verdict
    problem: str = ""


IN_QUESTION = Beyond(
    gettext_lazy("what it follows from is in question itself"),
    gettext_lazy("settle first what else is found of it, then run this again"),
)


class Findings:
    """All that the checks found at one time, for whoever asks what it says of other things.

    `decided` names entries of which somebody decided that nothing accounts for them.
    """

    def __init__(self, found: Iterable[tuple[str, Finding]], decided: Collection[str] = ()) -> None:
        self.found = list(found)
        self.decided = frozenset(decided)

    @cached_property
    def sealed(self) -> Heads:
        """The heads that the seals prove."""
        return seals.sealed_heads()

    @cached_property
    def _in_question(self) -> set[str]:
        accounts = {one.subject.account for _check, one in self.found if one.subject}
        return accounts | {one.object_id for _check, one in self.found if one.rule == "seals"}

    @cached_property
    def _named(self) -> set[str]:
        return {one.object_id for _check, one in self.found}

    def question(self, account: str) -> bool:
        """Whether anything that was found calls the entries of an account in question."""
        return account in self._in_question

    def ids(self, noun: str) -> list[str]:
        """The ids of all that was found of this noun: of "order 7" it is "7"."""
        start = f"{noun} "
        return sorted(name.removeprefix(start) for name in self._named if name.startswith(start))

    def of_kind(self, kind: str) -> list[Subject]:
        """What was found of this kind."""
        return [
            one.subject for _check, one in self.found if one.subject and one.subject.kind == kind
        ]


type Repairer = Callable[[Subject, Findings], Mend | Beyond]
# By the kind of a subject: what sets it right, or says why not.
repairers: Registry[Repairer] = Registry()
# By rule: what is said of a finding that nothing sets right.
beyond: Registry[Beyond] = Registry()
_UNKNOWN = Beyond(gettext_lazy("nothing here knows how it would be right"))


# --- Looking --------------------------------------------------------------------------------------
def plan(decided: Collection[str] = ()) -> list[Verdict]:
    """Run all checks, and say of each finding what would be done; nothing is changed.

    `decided` are entries by the names that findings give them, such as "entry 12/7", of which
    somebody decided that they are to be taken back: what is there does not prove it.
    """
    found = ((name, one) for name in integrity.checks.names() for one in integrity.run(name))
    findings = Findings(found, decided)
    return [
        Verdict(check=check, finding=finding, answer=_answer(finding, findings))
        for check, finding in findings.found
    ]


def _answer(finding: Finding, findings: Findings) -> Mend | Beyond:
    subject = finding.subject
    if subject is not None and subject.kind in repairers.names():
        return repairers[subject.kind](subject, findings)
    return beyond[finding.rule] if finding.rule in beyond.names() else _UNKNOWN


# --- Heads ----------------------------------------------------------------------------------------
def answer_of_head(ledger: Ledger, account_id: int, findings: Findings) -> Mend | Beyond:
    """What can be done about an account whose newest entry is not the one that it keeps."""
    row = ledger.accounts.get(pk=account_id)
    if findings.question(ledger.name_account(account_id)):
        return IN_QUESTION
    if why := heads.why_unproved(ledger, row, findings.sealed):
        return Beyond(why)
    end = heads.end_of(ledger, account_id)
    said = _("set the newest entry that it keeps to number %(number)d of its ledger")
    if ledger.balance:
        said = _(
            "set the newest entry that it keeps to number %(number)d of its ledger, and the "
            "balance to %(balance)d"
        )
    return Mend(
        says=said % {"number": end.sequence, "balance": end.balance},
        make=lambda author: _set_head(ledger, account_id, findings, author=author),
        is_head=True,
    )


def _set_head(ledger: Ledger, account_id: int, findings: Findings, *, author: Author) -> bool:
    row = heads.lock_account(ledger, account_id)
    try:
        changed = heads.set_right(ledger, row, findings.sealed)
    except ValueError as why:
        raise BeyondRepair(str(why)) from why
    if changed is None:
        return False
    before, after = changed
    record(row, before=before, after=after, author=author)
    return True


def record(
    row: Model, *, before: Values, after: Values, author: Author, shop_id: int | None = None
) -> None:
    """Write into the audit trail that a row was set right; named after its model.

    `shop_id` is the shop that may read of it where the row has no such column.
    """
    audit.record(
        action=f"{row._meta.model_name}.repair",
        row=row,
        before=before,
        after=after,
        reason=author.reason,
        shop_id=getattr(row, "shop_id", shop_id),
        actor_id=author.person_id,
    )


# --- Doing ----------------------------------------------------------------------------------------
def apply(verdicts: Sequence[Verdict], author: Author) -> Iterator[Outcome]:
    """Make the repairs of a plan, each in a transaction of its own, and say what became of each.

    One that was made meanwhile changes nothing. A refusal ends its own repair alone. Raises
    BrokenTrail before anything is done where whoever runs this could leave no trace.
    """
    own = _own_trail(author)
    for one in verdicts:
        subject = one.finding.subject
        names_own = own in {one.finding.object_id, subject.account if subject else ""}
        if names_own and isinstance(one.answer, Beyond):
            raise BrokenTrail
    todo = [(one, one.answer) for one in verdicts if isinstance(one.answer, Mend)]
    # One's own trail first: all others are recorded there.
    todo.sort(key=lambda each: (each[0].finding.object_id != own, not each[1].is_head))
    for one, mend in todo:
        yield Outcome(verdict=one, problem=_make(mend, author))


def _own_trail(author: Author) -> str:
    """How findings name the head of the audit trail of whoever repairs."""
    who = (
        {"system_user": request_context.actor().system_user}
        if author.person_id is None
        else {"person_id": author.person_id}
    )
    actor = AuditActor.objects.filter(**who).first()
    return ledgers["audit"].name_account(actor.pk if actor else None)


def _make(mend: Mend, author: Author) -> str:
    """Make one repair; returns why it could not be made after all, or nothing."""
    try:
        with transaction.atomic():
            mend.make(author)
    except (BeyondRepair, DomainError) as error:
        return str(error)
    except (DatabaseError, ObjectDoesNotExist) as error:
        return _("the database refused it: %s") % str(error).strip().splitlines()[0]
    return ""


@contextmanager
def alone() -> Iterator[None]:
    """Be the one run at work, on whatever machine; ends with the process, however that ends.

    Raises Busy while another one is.
    """
    if connection.vendor == "postgresql":
        yield from _alone_on_postgresql()
    else:
        yield from _alone_on_this_machine()


def _alone_on_postgresql() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_NUMBER])
        if not cursor.fetchone()[0]:
            raise Busy
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK_NUMBER])


def _alone_on_this_machine() -> Iterator[None]:
    """SQLite has no lock that outlives a transaction, and is on one machine."""
    path = settings.DATA_DIR / f".{LOCK}.lock"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy from error
        yield
    finally:
        os.close(descriptor)
