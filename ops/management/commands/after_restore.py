import json
import os
from pathlib import Path

from django.core.management.base import CommandError
from django.db import connection
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.backups.copies import MARK
from ops.command_base import TranslatedCommand
from ops.models import StoredFile
from ops.services import after_restore, maintenance


class Command(TranslatedCommand):
    help = gettext_noop(
        "Do what apps registered for after a restore. restore_backup calls it on the copy, before "
        "that takes the place of the live database."
    )

    def add_arguments(self, parser):
        parser.add_argument("moment", help=_("which moment the copy shows, as ISO 8601"))
        parser.add_argument(
            "--in-maintenance", action="store_true", help=_("and let it begin in maintenance")
        )
        parser.add_argument(
            "--files",
            type=Path,
            metavar=_("FILE"),
            help=_("write the names of the files that it knows afterwards into this one"),
        )

    def handle(self, *, moment, in_maintenance, files, **options):
        name = str(connection.settings_dict["NAME"])
        if os.environ.get(MARK) != name:
            raise CommandError(_("%s is no restored copy: restore_backup calls this.") % name)
        shown = parse_datetime(moment)
        if shown is None or is_naive(shown):
            raise CommandError(_("%s is no moment with a time zone.") % moment)
        for step, said in after_restore.run(moment=shown).items():
            self.stdout.write(f"{step}: {said}")
        if in_maintenance:
            maintenance.turn_on()
        else:
            maintenance.turn_off()
        if files:
            names = StoredFile.objects.order_by("path").values_list("path", flat=True)
            files.write_text(json.dumps(list(names.distinct())), encoding="utf-8")
