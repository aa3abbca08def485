import json
import sys

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.command_base import TranslatedCommand
from ops.diagnosis import schema
from ops.diagnosis.diagnosis import diagnose, mend
from ops.diagnosis.findings import Severity, worst
from ops.diagnosis.structure import unapplied
from ops.metrics import DATABASE_MENDED
from ops.services import events


def seconds(text):
    number = float(text)
    if not 0 <= number < 10**9:
        raise ValueError(text)
    return number


class Command(TranslatedCommand):
    help = gettext_noop(
        "Say what is wrong with the database, why, and what helps; ends with 1 for warnings, "
        "2 for errors."
    )
    # They ask the database themselves, and would fail before anything could be said.
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--json", action="store_true", help=_("as JSON, for machines"))
        parser.add_argument(
            "--fix", action="store_true", help=_("mend what takes nothing away, and look again")
        )
        parser.add_argument(
            "--longer-than",
            type=seconds,
            metavar=_("SECONDS"),
            help=_(
                "tell of waits for locks, transactions and statements that take longer than this, "
                "instead of 5, 300 and 30 seconds"
            ),
        )
        parser.add_argument(
            "--record",
            action="store_true",
            help=_("for developers: keep these tables as those that the migrations make"),
        )

    def handle(self, *, fix, record, longer_than, **options):
        if record:
            self.record()
            return
        found, mended = diagnose(longer_than=longer_than), []
        if fix:
            mended = list(mend(found))
            if mended:
                self.note(mended)
                found = diagnose(longer_than=longer_than)
        severity = worst(found)
        if options["json"]:
            self.say_json(found, mended, severity)
        else:
            self.say(found, mended)
        if severity != Severity.GOOD:
            sys.exit(int(severity))

    def note(self, mended):
        failed = sum(bool(one.error) for one in mended)
        try:
            events.record(DATABASE_MENDED, done=len(mended) - failed, failed=failed)
        except DatabaseError as error:
            # What was found and done is said all the same.
            said = str(error).strip().splitlines()[0]
            self.stderr.write(_("The event could not be written: %(error)s") % {"error": said})

    def record(self):
        if unapplied():
            raise CommandError(_("Run migrate first: this database is not what migrations make."))
        self.stdout.write(str(schema.record()))

    def say_json(self, found, mended, severity):
        said = {
            "severity": severity.name.lower(),
            "findings": [one.as_json() for one in found],
            "mended": [{**one.finding.as_json(), "error": one.error} for one in mended],
        }
        self.stdout.write(json.dumps(said, ensure_ascii=False, indent=2))

    def say(self, found, mended):
        for one in mended:
            if one.error:
                self.stdout.write(_("Not mended: %(reason)s") % {"reason": one.finding.reason})
                self.stdout.write(f"    {one.error}")
            else:
                self.stdout.write(_("Mended: %(reason)s") % {"reason": one.finding.reason})
        words = {
            Severity.GOOD: _("good"),
            Severity.WARNING: _("warning"),
            Severity.ERROR: _("error"),
        }
        for one in found:
            self.stdout.write(f"{words[one.severity]} [{one.part}/{one.name}] {one.reason}")
            if one.remedy:
                self.stdout.write(f"    {one.remedy}")
            for statement in one.statements:
                self.stdout.write(f"{statement};")
        if any(one.is_safe for one in found) and not mended:
            self.stdout.write(_("manage.py diagnose_db --fix runs what takes nothing away."))
