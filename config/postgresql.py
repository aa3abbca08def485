"""PostgreSQL as the settings have it: a pool of connections, and how one that died is noticed."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import time_limits
from config.connection_check import check_unless_just_used

# What is said here of a connection can be said otherwise behind the ? of DATABASE_URL.
CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,  # seconds
    # A server that lost its power says nothing: it is missed after 30 + 3 * 5 seconds without a
    # word, and after 20 when it is sent something.
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}
# The pool waits twice as long after each attempt that failed, and begins anew after so many
# seconds. With its own five minutes nobody would be served for as long again as the server was
# away.
RECONNECT_SECONDS = 5.0


def pooled(
    database: dict[str, Any],
    *,
    size: int,
    min_size: int,
    overflow: int,
    timeout: float,
    recycle: float,
    max_idle: float,
) -> dict[str, Any]:
    """A database of the settings, with a pool of its own in each process.

    The pool keeps `min_size` connections open. It opens others as they are wanted, up to `size`
    and for bursts up to `size` + `overflow`, and closes what nobody wanted for `max_idle` seconds.
    Whoever finds all of them lent waits for `timeout` seconds; a connection is replaced after
    `recycle` seconds. Raises ImproperlyConfigured where `min_size` is more than `size`.
    """
    if min_size > size:
        raise ImproperlyConfigured(
            f"DB_POOL_MIN_SIZE is {min_size}: write DB_POOL_SIZE ({size}) or less."
        )
    return {
        **database,
        # A pool, not CONN_MAX_AGE: under ASGI every request has a thread of its own.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **CONNECTION,
            **database.get("OPTIONS", {}),
            "pool": {
                "min_size": min_size,
                "max_size": size + overflow,
                "timeout": timeout,
                "max_lifetime": recycle,
                "max_idle": max_idle,
                "reconnect_timeout": RECONNECT_SECONDS,
                "check": check_unless_just_used,
            },
            # What is asked again and again is planned once for each connection.
            "server_side_binding": True,
            "prepare_threshold": 3,
            "options": time_limits.chosen().as_options(),
        },
    }
