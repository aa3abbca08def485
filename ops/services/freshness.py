"""Whether what this process keeps in memory still is what the database says.

One sub-select asks which topics changed since this process last heard (`question`); it can ride on
a statement that runs anyway. `heard` reads its answer, and `current` says under which generation of
a topic something may be taken from memory or put there.

On PostgreSQL the process remembers a snapshot: which transactions it could see. A mark of another
one (`ops.change_marks`) is a change that it did not see, however long that transaction had been
open before; the highest number of all would miss one that began early and commits last.

Why a generation is right: whatever is kept under it was read after this process had asked, so it
holds all that was committed before. It is taken only by those who asked later and heard that the
topic has not changed since; who hears that it has gets a new generation, where nothing is yet.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from threading import Lock
from typing import Any, NamedTuple, Self

from django.db import connection
from django.db.models import Model, Q

from ops.metrics import ROWS_PURGED
from ops.models import ChangeMark
from ops.registry import Registry
from ops.request_context import request_at_hand

# Topics by name, and the models whose tables mark changes for them.
topics: Registry[tuple[type[Model], ...]] = Registry()

TRUSTED_FOR = 300  # seconds since a process last asked; after that everything counts as changed
# Marks are kept longer than anybody trusts what was heard before them.
KEPT_FOR = timedelta(minutes=15)
REMEMBERED_EVERY = timedelta(minutes=1)
OF_ANOTHER_DATABASE = timedelta(hours=1)

# Which database it is (an older one may have been put in its place), what it shows now, and the
# topics whose marks the snapshot before did not show: those of transactions from `xmax` on, and
# of those that were still open then. BETWEEN, since a planner without statistics takes one bound
# for a third of all rows, and reads every mark there is.
_ON_POSTGRESQL = """(
    SELECT concat_ws(
        ' ',
        extract(epoch FROM pg_postmaster_start_time()) || '/' || 'ops_changemark'::regclass::oid,
        pg_current_snapshot(), string_agg(DISTINCT topic, ' ')
    ) FROM ops_changemark
    WHERE number BETWEEN %s::bigint AND 9223372036854775807 OR number = ANY(%s::bigint[])
)"""
_ON_SQLITE = """(
    SELECT 'marks ' || coalesce(group_concat(topic || '=' || number, ' '), '') FROM ops_changemark
)"""
_NO_NUMBER = str(2**63 - 1)


class Generations:
    """The generation of each topic: a number of its own, or the common one. None: of nobody."""

    __slots__ = ("_common", "_own")

    def __init__(self, common: int | None, own: dict[str, int | None]) -> None:
        self._common = common
        self._own = own

    def of(self, topic: str) -> int | None:
        """The generation of a topic; None when what is read of it must be nobody else's."""
        return self._own.get(topic, self._common)

    def after(self, changed: set[str] | None, generation: int | None) -> Self:
        """These, with this one for what changed; None: everything did."""
        if changed is None:
            return type(self)(generation, {})
        return type(self)(self._common, self._own | dict.fromkeys(changed, generation))


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What was heard of the database at one moment."""

    seen: str  # in the words of the database; empty: nothing yet
    asked_at: float
    generations: Generations


class Question(NamedTuple):
    """A sub-select of one column, with its parameters; and what the answer is compared with."""

    sql: str
    params: tuple[str, ...]
    before: Heard
    asked_at: float


_numbers = count(1)
_lock = Lock()


def _nothing() -> Heard:
    return Heard(seen="", asked_at=0, generations=Generations(next(_numbers), {}))


@dataclass(slots=True)
class _Process:
    """What this process heard last, and the snapshots that its job remembers."""

    heard: Heard = field(default_factory=_nothing)
    remembered: deque[tuple[datetime, int]] = field(default_factory=deque)


_process = _Process()


def forget() -> None:
    """Take everything that is kept for out of date: nothing is known of the database."""
    with _lock:
        _process.heard = _nothing()
        _process.remembered.clear()


# --- Asking -------------------------------------------------------------------------------------
def question() -> Question:
    """What has to be asked to know what changed; the answer is for `heard`.

    Ask it at once: what is heard is as good as the moment at which it was asked.
    """
    return _question(_process.heard)


def heard(asked: Question, answer: str) -> None:
    """Take the answer to a question in, for the request at hand and for this process.

    Inside of a transaction it says nothing, since it may hold what is rolled back.
    """
    if not connection.in_atomic_block:
        _note(_take_in(asked, answer))


def current(topic: str) -> int | None:
    """The generation of a topic for the request at hand; asks unless that was heard already.

    None: nothing may be taken from memory or put there. So it is inside of a transaction, unless
    its request heard before, and when somebody else heard of the change at the same time. Raises
    KeyError for what is no topic.
    """
    topics[topic]  # a topic that is none would never change
    found = _noted()
    if found is None:
        if connection.in_atomic_block:
            return None
        asked = question()
        found = _take_in(asked, _answer_to(asked))
        _note(found)
    return found.generations.of(topic)


def is_unchanged(topic: str) -> bool:
    """Whether a topic has not changed since the request heard; not by its own transaction either.

    To be asked inside of a transaction alone: what that wrote must not be kept before it commits.
    """
    before = _noted()
    if before is None:
        return False
    asked = _question(before)
    _seen, changed = _compared(asked, _answer_to(asked))
    return changed is not None and topic not in changed


def _question(before: Heard) -> Question:
    now = time.monotonic()
    if connection.vendor != "postgresql":
        return Question(_ON_SQLITE, (), before, now)
    if not before.seen:
        return Question(_ON_POSTGRESQL, (_NO_NUMBER, "{}"), before, now)
    _database, snapshot = before.seen.split(" ")
    _xmin, xmax, still_open = snapshot.split(":")
    return Question(_ON_POSTGRESQL, (xmax, f"{{{still_open}}}"), before, now)


def _answer_to(asked: Question) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {asked.sql}", asked.params)
        (answer,) = cursor.fetchone()
        return str(answer)


# --- Hearing ------------------------------------------------------------------------------------
def _take_in(asked: Question, answer: str) -> Heard:
    """What the answer says; what the process knows moves on, unless it did since the question."""
    seen, changed = _compared(asked, answer)
    generations = asked.before.generations
    with _lock:
        if _process.heard is asked.before:
            if changed is None or changed:
                generations = generations.after(changed, next(_numbers))
            _process.heard = Heard(seen, asked.asked_at, generations)
            return _process.heard
    # Somebody else heard meanwhile, perhaps before us: what changed is ours alone this time.
    return Heard(seen, asked.asked_at, generations.after(changed, None))


def _compared(asked: Question, answer: str) -> tuple[str, set[str] | None]:
    """What is seen now, and which topics changed since before the question; None: all of them."""
    before = asked.before
    is_trusted = bool(before.seen) and asked.asked_at - before.asked_at <= TRUSTED_FOR
    if connection.vendor != "postgresql":
        changed = {one.partition("=")[0] for one in {*before.seen.split()} ^ {*answer.split()}}
        return answer, changed if is_trusted else None
    database, snapshot, *names = answer.split(" ")
    seen = f"{database} {snapshot}"
    if not is_trusted:
        return seen, None
    database_before, snapshot_before = before.seen.split(" ")
    went_back = _xmax(snapshot) < _xmax(snapshot_before)
    return seen, None if went_back or database != database_before else set(names)


def _xmax(snapshot: str) -> int:
    return int(snapshot.split(":")[1])


# --- The request at hand ------------------------------------------------------------------------
def _note(heard_now: Heard) -> None:
    request: Any = request_at_hand()
    if request is not None:
        request.heard_of_changes = heard_now


def _noted() -> Heard | None:
    found: Heard | None = getattr(request_at_hand(), "heard_of_changes", None)
    return found


# --- The marks ----------------------------------------------------------------------------------
def forget_old(*, now: datetime) -> int:
    """Delete the marks that everybody has seen who still trusts what they heard; returns how many.

    Not by their age alone, since a transaction may commit long after it left its mark: of each
    minute the job remembers which transactions had ended. Marks of numbers that are still to come
    were left in another database, which was put back here.
    """
    if connection.vendor != "postgresql":
        return 0  # one row for each topic
    remembered = _process.remembered
    if remembered and now - remembered[-1][0] < REMEMBERED_EVERY:
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_snapshot()::text")
        xmin, xmax, _still_open = cursor.fetchone()[0].split(":")
    old = Q(number__gte=int(xmax), updated_at__lt=now - OF_ANOTHER_DATABASE)
    remembered.append((now, int(xmin)))
    while now - remembered[0][0] >= KEPT_FOR:
        _moment, ended_before = remembered.popleft()
        old |= Q(number__lt=ended_before)
    deleted, _by_model = ChangeMark.objects.filter(old).delete()
    ROWS_PURGED.add_on_commit(deleted, ChangeMark._meta.label_lower)
    return deleted
