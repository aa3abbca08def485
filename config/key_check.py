"""Asking the database from a module that a server imports."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection


def ask_here(*questions: Callable[[], None]) -> None:
    """Ask these of the database; raises what they raise, and leaves no connection behind.

    In a thread of its own, since uvicorn imports inside its event loop; without a connection
    afterwards, since gunicorn may have imported before it forks.
    """
    with ThreadPoolExecutor(1) as own_thread:
        own_thread.submit(_ask, questions).result()


def _ask(questions: tuple[Callable[[], None], ...]) -> None:
    own: Any = connection
    try:
        for ask in questions:
            ask()
    finally:
        own.close()
        if own.vendor == "postgresql":
            own.close_pool()
