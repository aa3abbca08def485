"""What becomes of the errors of a command, which ends before a pulse would write them down."""

import logging
import sys
from contextlib import suppress

from django.apps import apps
from django.conf import settings

logger = logging.getLogger("commands")


def note_failure(error: Exception) -> None:
    """Log what a command failed with, by the command's name: its arguments may be anything."""
    if apps.ready:  # else there is no log yet either
        logger.error("manage.py %s failed", next(iter(sys.argv[1:]), ""), exc_info=error)


def write_what_waits() -> None:
    """Write down the errors that were logged meanwhile; the database may be what is away."""
    if not apps.ready:
        return
    from ops.logs.captured import waiting
    from ops.services.error_groups import write_waiting

    if not waiting:
        return
    with suppress(Exception):
        write_waiting()
    if settings.SENTRY_DSN:
        from ops.logs import sentry

        sentry.leave()
