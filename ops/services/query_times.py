"""How long statements take, on every connection of the process."""

import time
from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from ops.metrics import QUERY_SECONDS, STATEMENTS

_VERBS = {verb: verb for verb in STATEMENTS}  # all have six letters
_observe = QUERY_SECONDS.observe
_now = time.perf_counter


def timed(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
    """Run a statement and count how long it took, also when it fails."""
    begun = _now()
    try:
        return execute(sql, *rest)
    finally:
        _observe(_now() - begun, _VERBS.get(str(sql[:6]), "other"))


def _time_statements(*, connection: BaseDatabaseWrapper, **_signal: Any) -> None:
    # The first, so that a block that adds one of its own and takes the last away takes its own.
    if timed not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, timed)


def measure_queries() -> None:
    """Time the statements of every connection that is made from now on."""
    connection_created.connect(_time_statements, dispatch_uid="ops.query_times")
