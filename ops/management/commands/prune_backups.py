from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.backups import retention
from ops.management.backup_command import BackupCommand


class Command(BackupCommand):
    help = gettext_noop(
        "Take away the backups that BACKUP_RETENTION_DAYS, _WEEKS and _MONTHS do not keep, as the "
        "daily job does. What others follow stays, and so does the newest proven one."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--dry-run", action="store_true", help=_("say which, and take nothing away")
        )

    def handle(self, *, dry_run, **options):
        for pruned in retention.prune(now=timezone.now(), only_look=dry_run):
            for identifier in pruned.backups:
                self.say(f"{pruned.place}: {identifier}")
            said = {
                "place": pruned.place,
                "backups": len(pruned.backups),
                "files": pruned.files or 0,
            }
            if dry_run:
                words = _("%(place)s: would go: backups %(backups)d, files %(files)d.")
            else:
                words = _("%(place)s: taken away: backups %(backups)d, files %(files)d.")
            self.say(words % said)
            if pruned.files is None:
                self.stderr.write(
                    _("%(place)s: a backup cannot be read, so that no file of any is taken away.")
                    % said
                )
