from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from ops.services import integrity


class Command(BaseCommand):
    help = "Prove on the live database what must always hold; exits 1 and names ids if it does not."

    def add_arguments(self, parser):
        parser.add_argument("--only", choices=integrity.checks.names(), help="run this check alone")

    def handle(self, *, only, **options):
        wrong = 0
        for name in [only] if only else integrity.checks.names():
            findings = list(integrity.run(name))
            wrong += len(findings)
            outcome = _("%(count)d wrong") % {"count": len(findings)} if findings else _("ok")
            self.stdout.write(f"{name}: {outcome}")
            for finding in findings:
                self.stdout.write(f"  {finding.rule} {finding.object_id}: {finding.problem}")
        if wrong:
            raise CommandError(
                _("%(count)d thing(s) are not as they must be.") % {"count": wrong}, returncode=1
            )
        self.stdout.write(_("All of it holds."))
