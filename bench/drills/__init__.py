"""Drills: what can go wrong does, on real servers, and it is said what held and what did not.

A module of this folder with a function

    def drill(*, small: bool, say: Callable[[str], None]) -> None

is a drill, known by the name of its module with hyphens. It says its figures as it goes, and raises
DidNotHold when a promise was broken. `small` is what CI runs in seconds: the same, but less of it.
`python -m bench.drills` runs each in a process of its own.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Protocol

type Say = Callable[[str], None]


class Drill(Protocol):
    """What a module of this folder has to offer."""

    def __call__(self, *, small: bool, say: Say) -> None: ...


class DidNotHold(Exception):
    """A promise was broken; the text says which one, and how."""


def drills() -> dict[str, Drill]:
    """Every drill there is, by its name."""
    found: dict[str, Drill] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("_"):
            continue
        run = getattr(importlib.import_module(f"{__name__}.{module.name}"), "drill", None)
        if run is not None:
            found[module.name.replace("_", "-")] = run
    return dict(sorted(found.items()))
