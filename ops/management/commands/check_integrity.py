import time

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.command_base import TranslatedCommand
from ops.metrics import INTEGRITY_CHECKED
from ops.services import events, integrity


class Command(TranslatedCommand):
    help = gettext_noop(
        "Prove on the live database what must always hold; exits 1 and names ids if it does not."
    )

    def add_arguments(self, parser):
        names = integrity.checks.names()
        parser.add_argument("--only", choices=names, help=_("run this check alone"))
        parser.add_argument(
            "--timings", action="store_true", help=_("say how long each check took for its rows")
        )

    def handle(self, *, only, timings, **options):
        wrong = 0
        names = [only] if only else integrity.checks.names()
        started = time.perf_counter()
        for name in names:
            begun = time.perf_counter()
            findings = list(integrity.run(name))
            seconds = time.perf_counter() - begun
            wrong += len(findings)
            outcome = _("%(count)d wrong") % {"count": len(findings)} if findings else _("ok")
            self.stdout.write(f"{name}: {outcome}")
            if timings:
                self.stdout.write(f"  {_timing(seconds, integrity.count_rows(name))}")
            # What a check stumbled over, its remarks would stumble over as well.
            is_done = not any(finding.rule == integrity.STUMBLED for finding in findings)
            for line in (*findings, *(integrity.remarks(name) if is_done else ())):
                self.stdout.write(f"  {line}")
        seconds = round(time.perf_counter() - started, 3)
        self.tell(only=only, checks=len(names), findings=wrong, seconds=seconds)
        if wrong:
            raise CommandError(
                _("%(count)d thing(s) are not as they must be.") % {"count": wrong}, returncode=1
            )
        self.stdout.write(_("All of it holds."))

    def tell(self, **facts):
        """Leave an event; of a copy that nobody may write to the findings are told all the same."""
        try:
            events.record(INTEGRITY_CHECKED, **facts)
        except DatabaseError as error:
            self.stderr.write(_("No event was left: %s") % error)


def _timing(seconds, rows):
    if not rows:
        return _("%(seconds).2f s") % {"seconds": seconds}
    return _("%(seconds).2f s for %(rows)d rows: %(each).1f µs a row") % {
        "seconds": seconds,
        "rows": rows,
        "each": seconds / rows * 1_000_000,
    }
