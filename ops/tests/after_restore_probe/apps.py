"""Erases the people whom a list outside the database names, as an app for erasures will."""

import os
from pathlib import Path

from django.apps import AppConfig

LIST = "PROBE_LIST"  # the variable that says where the list is


def erase_again(*, moment):
    """Take the phone from whoever is on the list; raises ValueError where it names nobody.

    What begins with file: is the name of a file, whose row goes.
    """
    from accounts.models import User
    from ops.models import StoredFile

    erased = 0
    for phone in Path(os.environ[LIST]).read_text(encoding="utf-8").split():
        if phone.startswith("file:"):
            StoredFile.objects.filter(path=phone.removeprefix("file:")).delete()
            continue
        if not phone.isdigit():
            raise ValueError(f"{phone} is no phone")
        erased += User.objects.filter(phone=phone).update(
            phone=None, username=f"erased-{moment:%Y}"
        )
    return erased


class ProbeConfig(AppConfig):
    """The app."""

    name = "ops.tests.after_restore_probe"
    label = "after_restore_probe"

    def ready(self):
        """Hand it in."""
        from ops.services import after_restore

        after_restore.steps.register("erase again", erase_again)
