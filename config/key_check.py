"""Asking the database from a module that a server imports."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection

from ops.services.missing_keys import refuse_missing_keys


def refuse_missing_keys_here() -> None:
    """Raise ImproperlyConfigured as `refuse_missing_keys` does, and leave no connection behind.

    In a thread of its own, since uvicorn imports inside its event loop; without a connection
    afterwards, since gunicorn may have imported before it forks.
    """
    with ThreadPoolExecutor(1) as own_thread:
        own_thread.submit(_ask).result()


def _ask() -> None:
    own: Any = connection
    try:
        refuse_missing_keys()
    finally:
        own.close()
        if own.vendor == "postgresql":
            own.close_pool()
