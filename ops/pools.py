"""The pools of connections of this process, as psycopg counts them."""

from typing import Any

from django.db import connections

# By what psycopg calls them: https://www.psycopg.org/psycopg3/docs/advanced/pool.html
_COUNTED = {
    "made": ("connections_num",),
    "failed": ("connections_errors",),
    "lost": ("connections_lost", "returns_bad"),  # found before it was lent, and by its borrower
}
CHANGES = tuple(_COUNTED)


def _statistics() -> list[dict[str, Any]]:
    """What each pool says; nothing where no connection was ever wanted, and none of SQLite."""
    pools = getattr(connections["default"], "_connection_pools", {})
    return [pool.get_stats() for pool in list(pools.values())]


def open_connections() -> dict[tuple[str, ...], float]:
    """How many are lent, and how many wait to be, as a gauge has it."""
    found: dict[tuple[str, ...], float] = {}
    for said in _statistics():
        idle = said.get("pool_available", 0)
        found["idle",] = found.get(("idle",), 0) + idle
        found["used",] = found.get(("used",), 0) + said.get("pool_size", 0) - idle
    return found


def waiting() -> float:
    """How many wait for a connection."""
    return float(sum(said.get("requests_waiting", 0) for said in _statistics()))


def changes() -> dict[str, int]:
    """How many connections this process made, failed to make and found lost, since it began."""
    return {
        what: sum(said.get(name, 0) for said in _statistics() for name in names)
        for what, names in _COUNTED.items()
    }


def most() -> int:
    """How many connections this process may have open at the same time; 0 without a pool."""
    pool: dict[str, Any] = connections["default"].settings_dict["OPTIONS"].get("pool", {})
    return int(pool.get("max_size", 0))
