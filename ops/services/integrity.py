"""What must always hold: each app registers its checks here, `check_integrity` runs them all."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, override

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.models import Case, Model, Q, QuerySet, Value, When
from django.utils.translation import gettext as _

from ops.append_only import unguarded
from ops.registry import Registry

logger = logging.getLogger(__name__)

STUMBLED = "check"  # the rule of a finding that says that a check could not be finished


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about, for whoever mends it: a kind of thing, and its facts.

    `account` names the account whose entries the finding calls in question, where it does.
    """

    kind: str
    account: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: which rule, on which object, and what was found."""

    rule: str
    object_id: str
    problem: str
    subject: Subject | None = field(default=None, compare=False)

    @override
    def __str__(self) -> str:
        return f"{self.rule} {self.object_id}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Check:
    """What finds what is wrong, and the models `of` whose rows it answers for.

    `remarks` are sentences that whoever reads the findings has to know, and that are not wrong.
    """

    look: Callable[[], Iterable[Finding]]
    of: tuple[type[Model], ...]
    remarks: Callable[[], Iterable[str]] = tuple


checks: Registry[Check] = Registry()


def run(name: str) -> Iterator[Finding]:
    """Run one check on the live database and yield what is wrong, by id.

    All its queries see one moment: what is sold while it counts is no contradiction. What it
    stumbles over is a finding as well: a row of garbage must not hide all that comes after it.
    """
    try:
        with snapshot():
            yield from checks[name].look()
    except Exception as error:
        logger.exception("The check %s could not be finished", name)
        problem = _("could not be finished: %(error)s") % {"error": type(error).__name__}
        yield Finding(STUMBLED, name, problem)


def remarks(name: str) -> list[str]:
    """What has to be known beside the findings of a check."""
    with snapshot():
        return list(checks[name].remarks())


def count_rows(name: str) -> int:
    """How many rows a check answers for."""
    return sum(model._base_manager.count() for model in checks[name].of)


@contextmanager
def snapshot() -> Iterator[None]:
    """See one moment of the database, for reading alone, for as long as it takes.

    Nobody waits for it: PostgreSQL keeps old rows, and SQLite reads beside its one writer as long
    as the transaction does not begin by asking for the write lock, as all others here do. Inside
    of a transaction it changes nothing.
    """
    if connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    with _reading(), transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                # Thirty seconds are for a request; a ledger of years takes longer.
                cursor.execute("SET LOCAL statement_timeout = 0")
        yield


@contextmanager
def _reading() -> Iterator[None]:
    """Let a transaction of SQLite begin without the write lock, and write nothing."""
    if connection.vendor != "sqlite":
        yield
        return
    database: Any = connections[DEFAULT_DB_ALIAS]
    database.ensure_connection()
    mode = database.transaction_mode
    database.transaction_mode = "DEFERRED"
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only = ON")
        yield
    finally:
        database.transaction_mode = mode
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only = OFF")


def unlike(rows: QuerySet[Any, Any], *conditions: Q, **columns: Any) -> QuerySet[Any, Any]:
    """Rows for which one of these conditions is not true, or one of these columns not alike.

    `exclude` would leave out where a comparison comes to NULL, and so believe it.
    """
    is_like = Case(When(Q(*conditions, **columns), then=Value(True)), default=Value(False))
    found: QuerySet[Any, Any] = rows.annotate(is_like=is_like).filter(is_like=False)
    return found


def unguarded_tables(*models: type[Model]) -> Iterator[Finding]:
    """Tell which append-only tables the database does not guard as it should."""
    for table, problem in unguarded(connection, *(model._meta.db_table for model in models)):
        yield Finding("append-only", table, problem)
