"""Whether the database server has room for all connections that the processes may want."""

import logging
from datetime import timedelta
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from ops import pools
from ops.metrics import CONNECTIONS_ALLOWED
from ops.models import ProcessBeat

logger = logging.getLogger(__name__)

ALIVE_WITHIN = timedelta(seconds=30)


class Room(NamedTuple):
    """Connections that these processes may open together, and those that the server allows."""

    processes: int
    wanted: int
    allowed: int

    @property
    def is_enough(self) -> bool:
        """Whether none of them will ever be refused."""
        return self.wanted <= self.allowed


def room() -> Room | None:
    """The room there is for the processes that live now; None of SQLite, which needs none.

    Every process is taken to have a pool as large as this one's.
    """
    if connection.vendor != "postgresql":
        return None
    alive = ProcessBeat.objects.filter(beat_at__gt=timezone.now() - ALIVE_WITHIN)
    processes = alive.exclude(kind="command").count()
    with connection.cursor() as cursor:
        cursor.execute(CONNECTIONS_ALLOWED)
        (allowed,) = cursor.fetchone()
    return Room(processes, processes * pools.most(), int(allowed))


def warn_without_room() -> None:
    """Say in the log that connections may be refused, and what helps; nothing where there is room.

    For a process that begins: the one with which the room ends is told.
    """
    found = room()
    if found is not None and not found.is_enough:
        logger.warning(
            "%s processes with up to %s connections each may want %s, and the database server "
            "allows %s: lower DB_POOL_SIZE or raise max_connections",
            found.processes,
            pools.most(),
            found.wanted,
            found.allowed,
        )
