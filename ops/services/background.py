"""Work beside the requests: the queue's worker, and the periodic jobs.

`manage.py serve` runs `Background` in threads of the server; `manage.py worker` runs it alone.
"""

import logging
import threading
import time

from django.db import close_old_connections

from ops.services import queue
from ops.services.scheduler import Scheduler

logger = logging.getLogger(__name__)

POLL_EVERY = 0.5  # seconds between looks into an empty queue
WORKED_AGAIN = 10  # seconds, after which a failure is a new one


class Background:
    """The worker of the queue and the periodic jobs of one process, in threads."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._worker = threading.Thread(target=self._work, name="worker", daemon=True)
        self._scheduler = Scheduler()

    def start(self) -> None:
        """Start to work."""
        self._worker.start()
        self._scheduler.start()

    def stop(self, *, seconds: float) -> None:
        """Finish what is at hand, at most so long; what is not finished is taken up again."""
        self._stop.set()
        self._scheduler.ask_to_stop()
        deadline = time.monotonic() + seconds
        for part in (self._worker, self._scheduler):
            part.join(max(0, deadline - time.monotonic()))

    def _work(self) -> None:
        is_failing = False
        while not self._stop.is_set():
            close_old_connections()
            begun = time.monotonic()
            try:
                queue.engine().worker().run(self._stop, poll_every=POLL_EVERY)
            except Exception:
                # Once for each time the queue is away: it is looked for again at once.
                if not is_failing or time.monotonic() - begun > WORKED_AGAIN:
                    logger.exception("The worker failed; it starts again")
                is_failing = True
                self._stop.wait(POLL_EVERY)
            else:
                is_failing = False
        close_old_connections()
