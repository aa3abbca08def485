"""How long PostgreSQL works for this process before it gives up: requests little, commands more.

A page that takes half a minute helps nobody. Of a command somebody waits for the end, and checks of
all rows take minutes; but none may hold a lock for ever that customers wait for.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple


class TimeLimits(NamedTuple):
    """What PostgreSQL ends by itself."""

    statement: timedelta
    lock: timedelta  # the wait for one
    idle_in_transaction: timedelta

    def as_options(self) -> str:
        """The same as options of a connection."""
        return (
            f"-c statement_timeout={_milliseconds(self.statement)}"
            f" -c lock_timeout={_milliseconds(self.lock)}"
            f" -c idle_in_transaction_session_timeout={_milliseconds(self.idle_in_transaction)}"
        )


OF_REQUESTS = TimeLimits(
    statement=timedelta(seconds=30),
    # So long whoever wants a row waits for whoever holds it; a concurrent twin is refused then.
    lock=timedelta(seconds=5),
    idle_in_transaction=timedelta(minutes=1),
)
OF_COMMANDS = TimeLimits(
    statement=timedelta(hours=1),
    lock=timedelta(seconds=30),
    idle_in_transaction=timedelta(minutes=10),
)
# Commands that answer requests, or do for people what they wait for.
_SERVE = frozenset({"runserver", "serve", "worker"})

_chosen = [OF_REQUESTS]


def choose(arguments: Sequence[str]) -> None:
    """Choose by the command that these arguments name; before the settings are read."""
    name = next(iter(arguments), "")
    _chosen[0] = OF_REQUESTS if name in _SERVE else OF_COMMANDS


def chosen() -> TimeLimits:
    """Those of this process: those of requests, if nobody chose."""
    return _chosen[0]


def _milliseconds(time: timedelta) -> int:
    return time // timedelta(milliseconds=1)
