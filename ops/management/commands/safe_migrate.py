import json
import sys

from django.core.management.base import CommandError
from django.db import DatabaseError
from django.db.migrations.exceptions import InconsistentMigrationHistory, NodeNotFoundError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from ops.command_base import TranslatedCommand
from ops.safe_migrate.plan import make_plan
from ops.safe_migrate.rules import Risk


class Command(TranslatedCommand):
    help = gettext_noop(
        "Say what the migrations that wait will do, to which tables, for how long, and what they "
        "risk; ends with 1 where they must not run as they are."
    )

    def add_arguments(self, parser):
        # One mode is asked for by name; those to come stand beside it.
        modes = parser.add_mutually_exclusive_group()
        modes.add_argument(
            "--plan", action="store_true", help=_("say what they will do, and change nothing")
        )
        parser.add_argument("--json", action="store_true", help=_("as JSON, for machines"))
        parser.add_argument(
            "--fail-on-high",
            action="store_true",
            help=_("end with 1 for a high risk too, unless the migration says why it is accepted"),
        )

    def handle(self, *, plan, fail_on_high, **options):
        if not plan:
            raise CommandError(_("So far there is a plan only: safe_migrate --plan"), returncode=2)
        try:
            made = make_plan()
        except (DatabaseError, InconsistentMigrationHistory, NodeNotFoundError) as error:
            raise CommandError(_("No plan can be made: %s") % error) from error
        if options["json"]:
            said = made.as_json(fail_on_high=fail_on_high)
            self.stdout.write(json.dumps(said, ensure_ascii=False, indent=2))
        else:
            self.say(made)
        if not made.is_valid(fail_on_high=fail_on_high):
            sys.exit(1)

    def say(self, plan):
        if not plan.migrations:
            self.stdout.write(_("No migration waits."))
            return
        for migration in plan.migrations:
            self.say_migration(migration)
        self.stdout.write(
            ngettext(
                "%(count)d migration, about %(seconds)s s, risk %(risk)s.",
                "%(count)d migrations, about %(seconds)s s, risk %(risk)s.",
                len(plan.migrations),
            )
            % {
                "count": len(plan.migrations),
                "seconds": _seconds(plan.seconds),
                "risk": _risk(plan.risk),
            }
        )
        if plan.errors:
            self.stdout.write(_("As the rows are now, it would fail:"))
            for error in plan.errors:
                self.stdout.write(f"  {error}")
        if plan.unexplained:
            self.stdout.write(
                _("High risk that is not explained: %s") % ", ".join(plan.unexplained)
            )

    def say_migration(self, migration):
        self.stdout.write(
            _("%(name)s: risk %(risk)s, about %(seconds)s s")
            % {
                "name": migration.name,
                "risk": _risk(migration.risk),
                "seconds": _seconds(migration.seconds),
            }
        )
        for reason in migration.reasons:
            self.stdout.write(f"  [{_risk(reason.risk)}] {reason.text}")
            if reason.remedy:
                self.stdout.write(f"      {reason.remedy}")
        if migration.collected.accepted:
            self.stdout.write(_("  Risk accepted: %s") % migration.collected.accepted)
        for table in migration.tables:
            self.stdout.write(
                _("  table %(table)s: %(about)s%(rows)d rows, %(size).1f MB")
                % {
                    "table": table.name,
                    "about": "" if table.is_exact else "≈",
                    "rows": table.rows,
                    "size": (table.bytes + table.index_bytes) / 1_000_000,
                }
            )
        for held in migration.held:
            self.stdout.write(
                _("  lock %(mode)s on %(table)s, about %(seconds)s s")
                % {
                    "mode": held.lock.mode.words,
                    "table": held.lock.table,
                    "seconds": _seconds(held.seconds),
                }
            )
        for planned in migration.steps:
            self.stdout.write(f"  {planned.step.kind}: {planned.step.words}")
            for line in planned.step.told.splitlines():
                self.stdout.write(f"      {line}")
            for statement in planned.step.statements:
                self.stdout.write(f"      {' '.join(statement.split())};")
        self.stdout.write("")


def _risk(risk):
    words = {Risk.LOW: _("low"), Risk.MEDIUM: _("medium"), Risk.HIGH: _("high")}
    return words[risk]


def _seconds(seconds):
    return f"{seconds:.2f}" if seconds < 1 else f"{seconds:.0f}"
