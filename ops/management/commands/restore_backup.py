from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.backups import restoring
from ops.backups.restoring import Wish
from ops.management.backup_command import BackupCommand, places_of


class Command(BackupCommand):
    help = gettext_noop(
        "Restore a backup: to the side, where it is checked, and then in the place of the live "
        "database, whose state is backed up first and kept as it is under another name."
    )
    # The live database may be empty, or be what is to be mended.
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument(
            "identifier", metavar="ID", help=_("the identifier of the backup, as backups lists it")
        )
        parser.add_argument(
            "--to",
            metavar=_("NAME"),
            help=_("as another database, or file, of this name; the live one stays as it is"),
        )
        parser.add_argument(
            "--at",
            metavar=_("TIME"),
            help=_("the state of this moment after the backup (2026-11-01T09:30:00)"),
        )
        parser.add_argument(
            "--from", dest="folder", metavar=_("FOLDER"), help=_("from this folder instead")
        )
        parser.add_argument(
            "--no-media",
            action="store_false",
            dest="with_media",
            help=_("leave the files of people and shops as they are"),
        )
        parser.add_argument(
            "--no-backup",
            action="store_false",
            dest="keeps_present",
            help=_("make no backup of the present state, such as of a damaged database"),
        )
        parser.add_argument("--yes", action="store_true", help=_("do not ask"))

    def handle(self, *, identifier, to, at, folder, yes, **options):
        wish = Wish(
            identifier=identifier,
            at=at and moment_of(at),
            to=to,
            with_media=options["with_media"],
            keeps_present=options["keeps_present"],
        )
        places = places_of(folder)
        if to is None and not yes:
            question = _("The live database gives way to %(id)s. Go on? [yes/no] ")
            if input(question % {"id": identifier}).strip().lower() not in {"y", "yes", "是"}:
                raise CommandError(_("Nothing was changed."))
        if not wish.keeps_present:
            self.stderr.write(_("The present state is not backed up: --no-backup."))
        outcome = restoring.restore(wish, places=places, told=self.say_step)
        if to is not None:
            self.say(_("%(id)s is restored as %(name)s.") % {"id": identifier, "name": to})
            return
        self.say(_("%(id)s is the live database now.") % {"id": identifier})
        self.say(_("Its former state is %(where)s.") % {"where": outcome.kept})
        if outcome.present:
            self.say(_("and backup %(id)s.") % {"id": outcome.present})
        elif wish.keeps_present:
            self.say(_("There was nothing in it to back up."))
        if files := outcome.files:
            self.say(
                _("Files: %(there)d were there, %(written)d were written.")
                % {"there": files.there, "written": files.written}
            )
            for path in files.set_aside:
                self.say(_("Another file of this name is kept as %(path)s.") % {"path": path})
        if outcome.problems:
            raise CommandError("\n".join(outcome.problems), returncode=1)


def moment_of(text):
    """A moment, in TIME_ZONE where it says no other. Raises CommandError."""
    try:
        moment = parse_datetime(text)
    except ValueError:  # well formed, and no day there is
        moment = None
    if moment is None:
        raise CommandError(_("--at: write a time (2026-11-01T09:30:00)."))
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
