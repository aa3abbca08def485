"""What must always hold: each app registers its checks here, `check_integrity` runs them all."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: which rule, on which object, and what was found."""

    rule: str
    object_id: str
    problem: str


type Check = Callable[[], Iterable[Finding]]

_checks: dict[str, Check] = {}


def register(name: str, check: Check) -> None:
    """Make `check` part of check_integrity under `name`; called from AppConfig.ready()."""
    _checks[name] = check


def names() -> list[str]:
    """The names of all registered checks, in the order they run."""
    return sorted(_checks)


def run(name: str) -> Iterator[Finding]:
    """Run one check on the live database and yield what is wrong, by id."""
    yield from _checks[name]()
