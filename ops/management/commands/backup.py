import argparse
from pathlib import Path

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.backups import taking
from ops.management.backup_command import BackupCommand, size_in_words
from ops.models import Backup, BackupKind, BackupTrigger


class Command(BackupCommand):
    help = gettext_noop(
        "Back up the database, the files and the configuration without its secrets, encrypted, "
        "where BACKUP_DIR and BACKUP_STORAGE_BUCKET say."
    )

    def add_arguments(self, parser):
        kind = parser.add_mutually_exclusive_group()
        for name, value, words in (
            ("--full", BackupKind.FULL, _("all of it")),
            ("--incremental", BackupKind.INCREMENTAL, _("what changed since the newest one")),
            (
                "--point-in-time",
                BackupKind.POINT_IN_TIME,
                _("all of it, and a start for every moment that follows (BACKUP_METHOD=pages)"),
            ),
        ):
            kind.add_argument(name, dest="kind", action="store_const", const=value, help=words)
        parser.add_argument(
            "--media",
            action=argparse.BooleanOptionalAction,
            default=True,
            help=_("with the files of people and shops, as always unless it is said"),
        )
        parser.add_argument(
            "--to", type=Path, metavar=_("FOLDER"), help=_("into this folder instead")
        )
        parser.add_argument(
            "--trigger",
            choices=[BackupTrigger.HAND, BackupTrigger.DEPLOY],
            default=BackupTrigger.HAND,
            help=_("what it is made for; %(default)s unless it is said"),
        )

    def handle(self, *, kind, media, to, trigger, **options):
        manifest = taking.back_up(
            trigger=BackupTrigger(trigger),
            kind=kind and BackupKind(kind),
            with_media=media,
            to=to and to.expanduser().resolve(),
        )
        row = Backup.objects.get(identifier=manifest.id)
        self.say(
            _("Backup %(id)s: %(kind)s, %(size)s in %(seconds).1f s, in %(place)s.")
            % {
                "id": manifest.id,
                "kind": row.get_kind_display(),
                "size": size_in_words(manifest.size),
                "seconds": manifest.seconds,
                "place": row.location,
            }
        )
        if row.log:
            self.stderr.write(row.log)
        self.say(_("It counts once it was proven: a job does it, or verify_backup --prove."))
