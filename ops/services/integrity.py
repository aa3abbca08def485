"""What must always hold: each app registers its checks here, `check_integrity` runs them all."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.db import connection, transaction

from ops.registry import Registry


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: which rule, on which object, and what was found."""

    rule: str
    object_id: str
    problem: str


type Check = Callable[[], Iterable[Finding]]

checks: Registry[Check] = Registry()


def run(name: str) -> Iterator[Finding]:
    """Run one check on the live database and yield what is wrong, by id.

    All its queries see one moment: what is sold while it counts is no contradiction.
    """
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield from checks[name]()
