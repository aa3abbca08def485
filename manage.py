#!/usr/bin/env python
"""Run Django's commands for this project."""

import os
import sys

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from config import time_limits
from config.command_errors import note_failure, write_what_waits
from config.local_data import prepare_command


def write_what_was_counted():
    """Let /metrics know of what a command did: it is over before anybody could ask it."""
    if apps.ready:
        from ops.services import metrics  # once Django is set up

        metrics.write_last()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        time_limits.choose(sys.argv[1:])
        prepare_command(sys.argv[1:])
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))  # the sentence alone: a stack trace would bury it
    except Exception as error:
        note_failure(error)
        raise
    finally:
        write_what_waits()
        write_what_was_counted()
