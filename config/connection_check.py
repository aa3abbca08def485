"""Whether a pooled connection lives, asked where it may have died unnoticed."""

import select
import time
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import Connection
from psycopg_pool import ConnectionPool

UNCHECKED_FOR = 1.0  # seconds after a connection was lent for which it is taken to live

_lent_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()
_renewed_at: WeakKeyDictionary[ConnectionPool[Any], float] = WeakKeyDictionary()


def check_unless_just_used(connection: Connection) -> None:
    """Ask the database whether it is still there, unless it answered within the last second.

    The pool asks before it lends, which on a busy server would be a round trip for each request.
    Of a connection that was just used it is looked whether something lies in its socket: a server
    that stops says goodbye, or hangs up, and a new one is made before anybody meets the dead one.
    Raises what the pool takes for a connection that is gone.
    """
    now = time.monotonic()
    lent_at = _lent_at.get(connection)
    try:
        if lent_at is None or now - lent_at > UNCHECKED_FOR or _has_something_to_say(connection):
            ConnectionPool.check_connection(connection)
    except Exception:
        _renew_those_beside(connection, lent_at, now)
        raise
    _lent_at[connection] = now


def _has_something_to_say(connection: Connection) -> bool:
    """Whether the server sent something that nobody asked for, or hung up; it takes no round trip.

    Raises OperationalError where the connection was closed by this side.
    """
    looking = select.poll()
    looking.register(connection.fileno(), select.POLLIN)
    return bool(looking.poll(0))


def _renew_those_beside(connection: Connection, lent_at: float | None, now: float) -> None:
    """Replace all connections of the pool of one that died: a restart took them all.

    The pool would find them out one by one, and wait longer after each: with six of them until
    whoever asked for a connection had waited too long.
    """
    pool: ConnectionPool[Any] | None = getattr(connection, "_pool", None)
    if pool is None:
        return
    renewed_at = _renewed_at.get(pool)
    # It is older than those that were made since: they need not be made once more.
    if lent_at is not None and renewed_at is not None and lent_at <= renewed_at:
        return
    _renewed_at[pool] = now
    pool.drain()
