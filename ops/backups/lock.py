"""One command at a time works on the backups of a folder, and on those of a database."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from django.utils.translation import gettext as _

from ops.backups import postgresql_tools as tools
from ops.backups.errors import BackupRefused

FILE = ".lock"
# Among the advisory locks of the database; any number that nobody else takes.
NUMBER = 0x6261636B757073


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the lock of a folder, and that of the live PostgreSQL, which several machines use.

    The kernel and the server let go of them however this process ends. Where the server is away
    nobody else works on its backups. Raises BackupRefused while another command holds one of them.
    """
    with ExitStack() as stack:
        stack.enter_context(_folder(root))
        if connection.vendor == "postgresql":
            stack.enter_context(_database(tools.live_parameters()))
        yield


@contextmanager
def _folder(root: Path) -> Iterator[None]:
    descriptor = os.open(root / FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupRefused(
                _("Another command works on the backups in %s: wait until it is done.") % root
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _database(parameters: tools.Parameters) -> Iterator[None]:
    asked: dict[str, Any] = {**parameters}
    try:
        session = psycopg.connect(**asked, autocommit=True)
    except psycopg.OperationalError:
        yield
        return
    try:
        row = session.execute("SELECT pg_try_advisory_lock(%s)", [NUMBER]).fetchone()
        if row != (True,):
            raise BackupRefused(
                _("Another machine works on the backups of this database: wait until it is done.")
            )
        yield
    finally:
        # A restore may have ended it: then the lock is gone already.
        session.close()
