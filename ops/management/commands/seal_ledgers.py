from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.command_base import TranslatedCommand
from ops.services import seals


class Command(TranslatedCommand):
    help = gettext_noop("Seal what all ledgers came to, as the daily job does; once a day.")

    def add_arguments(self, parser):
        parser.add_argument(
            "--after-restore",
            action="store_true",
            help=_("put aside the seals of the time after the moment that was restored"),
        )

    def handle(self, *, after_restore, **options):
        if after_restore:
            for day in seals.set_newer_aside():
                self.stdout.write(_("Put aside: %(day)s") % {"day": day})
        try:
            seal = seals.seal_ledgers(now=timezone.now())
        except seals.SealsContradict as contradiction:
            raise CommandError(str(contradiction)) from contradiction
        if seal is None:
            self.stdout.write(_("This day is sealed already."))
        else:
            said = {"day": seal.date, "root": seal.root}
            self.stdout.write(_("Sealed: %(day)s, %(root)s") % said)
        self.stdout.write(_("Public key: %(key)s") % {"key": seals.public_key()})
