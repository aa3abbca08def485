"""How often this process saw what somebody should be told of, since it began.

Metrics read it and rules compare it: a line of the log alone is counted by nobody.
"""

from collections.abc import Mapping
from threading import Lock
from typing import Literal, get_args

type Counted = Literal[
    "slow_requests",
    "slow_queries",
    "errors",  # lines with a stack trace
    "errors_dropped",  # of them: not grouped, since too many kinds waited to be written
    "lines_lost",  # that no file took
]

_lock = Lock()
_counts: dict[str, int] = dict.fromkeys(get_args(Counted.__value__), 0)


def count(what: Counted, times: int = 1) -> None:
    """Count one more, or so many."""
    with _lock:
        _counts[what] += times


def counts() -> Mapping[str, int]:
    """All counts of this process, by name."""
    with _lock:
        return dict(_counts)
