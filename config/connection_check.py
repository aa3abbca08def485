"""Whether a pooled connection lives, asked where it may have died unnoticed."""

import time
from weakref import WeakKeyDictionary

from psycopg import Connection
from psycopg_pool import ConnectionPool

UNCHECKED_FOR = 1.0  # seconds after a connection was lent for which it is taken to live

_lent_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()


def check_unless_just_used(connection: Connection) -> None:
    """Ask the database whether it is still there, unless it answered within the last second.

    The pool asks before it lends, which on a busy server would be a round trip for each request.
    Whoever gets a connection that died within that second is answered 1503, and the pool makes a
    new one. Raises what the pool takes for a connection that is gone.
    """
    now = time.monotonic()
    lent_at = _lent_at.get(connection)
    if lent_at is None or now - lent_at > UNCHECKED_FOR:
        ConnectionPool.check_connection(connection)
    _lent_at[connection] = now
