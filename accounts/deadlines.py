"""Waiting no longer than somebody else waits, whatever the other end does."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def within[Result](seconds: float, do: Callable[[], Result]) -> Result:
    """What `do` returns or raises, if it does so within so many seconds; else TimeoutError.

    A time-out of a socket is one of each read: an answer that comes drop by drop outlasts it. What
    comes too late is thrown away. `do` runs in a thread of its own, and may not touch the database.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(do())
        except BaseException as error:  # noqa: BLE001  whoever waits gets it
            outcome.set_exception(error)

    threading.Thread(target=run, name="within a deadline", daemon=True).start()
    return outcome.result(timeout=seconds)
