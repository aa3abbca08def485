"""One command at a time works on the backups of a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.utils.translation import gettext as _

from ops.backups.errors import BackupRefused

FILE = ".lock"


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the lock of a folder; the kernel lets go of it however this process ends.

    Raises BackupRefused while another command holds it.
    """
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
