"""What the commands of backups have in common."""

import json
from pathlib import Path

from django.core.management.base import CommandError
from django.db import Error
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ops.backups import deployment
from ops.backups.errors import BackupRefused
from ops.backups.places import Folder
from ops.command_base import TranslatedCommand

_STEPS = {
    "files": gettext_lazy("files"),
    "present": gettext_lazy("the present state"),
    "restore": gettext_lazy("restoring"),
    "rows": gettext_lazy("counting rows"),
    "migrate": gettext_lazy("migrations"),
    "after": gettext_lazy("what apps do after a restore"),
    "checks": gettext_lazy("checks of integrity"),
    "swap": gettext_lazy("taking its place"),
}


class BackupCommand(TranslatedCommand):
    """A command that says in one line why it refused, and ends with 1."""

    def execute(self, *args, **options):
        """Do the work."""
        try:
            return super().execute(*args, **options)
        except BackupRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        except Error as error:
            # Its first line: what follows may be the values of rows.
            line = next(iter(str(error).splitlines()), type(error).__name__)
            raise CommandError(_("The database says: %s") % line) from error
        except BrokenPipeError:
            raise  # whoever read it has gone: nothing failed
        except OSError as error:
            said = [str(error.filename or ""), error.strerror or str(error)]
            raise CommandError(": ".join(filter(None, said))) from error

    def say(self, line):
        """Write a line for people."""
        self.stdout.write(line)

    def say_step(self, name, seconds):
        """Say how long a step took."""
        self.say(f"  {_STEPS.get(name, name)}: {seconds:.1f} s")

    def say_json(self, facts):
        """Write one document for machines."""
        self.stdout.write(json.dumps(facts, indent=1, ensure_ascii=False, sort_keys=True))


def size_in_words(size):
    """Bytes as people read them."""
    return str(filesizeformat(size)).replace("\xa0", " ")


def places_of(folder):
    """The places of the settings, or a folder that was named instead. Raises BackupRefused."""
    if folder is None:
        return deployment.places()
    if not Path(folder).is_dir():
        raise BackupRefused(_("There is no folder %s.") % folder)
    return [Folder(Path(folder))]
