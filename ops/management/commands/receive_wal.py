import signal
import threading

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.backups import wal_receiving
from ops.management.backup_command import BackupCommand


class Command(BackupCommand):
    help = gettext_noop(
        "Receive what PostgreSQL writes, and keep it with the backups, until SIGTERM or Ctrl-C: so "
        "every moment since a backup can be restored (BACKUP_METHOD=pages)."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--stop-for-good",
            action="store_true",
            help=_("let PostgreSQL keep nothing for it any more, and end"),
        )

    def handle(self, *, stop_for_good, **options):
        if stop_for_good:
            if wal_receiving.stop_for_good():
                self.say(_("PostgreSQL keeps nothing for it any more."))
            else:
                self.say(_("PostgreSQL kept nothing for it."))
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_number_and_frame: stop.set())
        is_told: list[bool] = []

        def tell(reached):
            if not is_told:
                self.say(_("The WAL is received, until %(moment)s now.") % {"moment": reached.at})
                self.stdout.flush()
                is_told.append(True)

        wal_receiving.receive(stop, told=tell)
        self.say(_("The WAL is received no more."))
