"""All of it: ask, and mend what is safe."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from django.db import DatabaseError, connection, transaction
from django.utils.translation import gettext as _

from ops.diagnosis import connecting, health, rights, structure
from ops.diagnosis.findings import Finding, Severity

logger = logging.getLogger(__name__)

LOCK_WAIT = 1  # seconds

PARTS: dict[str, Callable[[], Iterator[Finding]]] = {
    connecting.PART: connecting.look,
    rights.PART: rights.look,
    structure.PART: structure.look,
    health.PART: health.look,
}


@dataclass(frozen=True, slots=True)
class Mended:
    """What came of a finding that was to be mended; `error` is empty where it worked."""

    finding: Finding
    error: str = ""


def diagnose(*, longer_than: float | None = None) -> list[Finding]:
    """All findings, the good ones as well, part by part.

    `longer_than`: seconds after which a wait, a transaction or a statement is told. Of a database
    that cannot be reached this alone is said. A part that fails is a finding, and holds up no
    other.
    """
    try:
        connecting.reach()
    except DatabaseError as error:
        if health.is_damage(error):
            return [health.damaged(_first_line(error))]
        return [connecting.away(error), *connecting.around_the_file()]
    with _held_up_by_nobody():
        return _all_parts(longer_than)


@contextmanager
def _held_up_by_nobody() -> Iterator[None]:
    """Give up soon on what is locked: somebody's lock is what is looked for, and not waited for.

    To read what a column is by default takes a lock on its table.
    """
    _try_to_run(f"SET lock_timeout = '{LOCK_WAIT}s'")
    try:
        yield
    finally:
        _try_to_run("RESET lock_timeout")


def _try_to_run(statement: str) -> None:
    if connection.vendor == "postgresql":
        # Where even this fails, each part says why.
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute(statement)


def _all_parts(longer_than: float | None) -> list[Finding]:
    found: list[Finding] = []
    for name, look in PARTS.items():
        try:
            found += health.look(longer_than=longer_than) if look is health.look else look()
        except DatabaseError as error:
            if health.is_damage(error):
                if not any(one.name == "damaged" for one in found):
                    found.append(health.damaged(_first_line(error)))
                continue
            logger.info("The part %s of the diagnosis failed: %s", name, type(error).__name__)
            found.append(
                Finding(
                    name,
                    "failed",
                    Severity.ERROR,
                    _("This part could not be looked at: %(error)s")
                    % {"error": _first_line(error)},
                    _("Mend what is said before it and run diagnose_db again."),
                )
            )
    return found


def mend(findings: list[Finding]) -> Iterator[Mended]:
    """Mend the findings that are safe to mend, one after another, each wholly or not at all.

    What fails is tried once more after the others: tables and their foreign keys want each other.
    """
    safe = [finding for finding in findings if finding.is_safe]
    first = [_mended(finding) for finding in safe]
    yield from (_mended(one.finding) if one.error else one for one in first)


def _mended(finding: Finding) -> Mended:
    try:
        _run(finding.statements)
    except DatabaseError as error:
        return Mended(finding, _first_line(error))
    return Mended(finding)


def _first_line(error: DatabaseError) -> str:
    return str(error).strip().splitlines()[0]


def _run(statements: tuple[str, ...]) -> None:
    # What is made beside the work of others cannot be made inside of a transaction.
    if any("CONCURRENTLY" in one or one.startswith("VACUUM") for one in statements):
        _execute(statements)
        return
    with transaction.atomic():
        _execute(statements)


def _execute(statements: tuple[str, ...]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
