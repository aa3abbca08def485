"""What every process does by itself, beside its requests, for as long as it runs.

A job (`ops.services.jobs`) runs once, however many processes there are. A beat runs in each of
them: look whether a live setting was changed, say that the process is alive.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from django.db import close_old_connections

from ops.registry import Registry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Beat:
    """What is done at once, and again `every` so many seconds after it was done."""

    act: Callable[[], object]
    every: float


beats: Registry[Beat] = Registry()


class Pulse:
    """All beats of one process, each in a thread of its own: one that hangs holds up no other."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._go_on, args=item, name=f"beat {item[0]}", daemon=True)
            for item in beats.items()
        ]

    def start(self) -> None:
        """Start all beats; they end with the process, if nobody stops them before."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let no beat begin again, and wait for those under way."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self, name: str, beat: Beat) -> None:
        is_failing = False
        while not self._stopped.is_set():
            try:
                beat.act()
            except Exception:
                # Once for each time it is away: a beat of a second would fill the log by itself.
                if not is_failing:
                    logger.exception("The beat %s failed; it goes on trying", name)
                is_failing = True
            else:
                if is_failing:
                    logger.warning("The beat %s works again", name)
                is_failing = False
            close_old_connections()
            self._stopped.wait(beat.every)
