import json

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.command_base import TranslatedCommand
from ops.metrics import INTEGRITY_REPAIRED
from ops.services import events, repair
from ops.services.repair import Author, Beyond, Mend

LEFT, NOT_RUN = 1, 2  # exit codes


class Command(TranslatedCommand):
    help = gettext_noop(
        "Say of each thing that check_integrity finds what would set it right, or why nothing "
        "does; with --apply do it. No entry of a ledger is altered. Exits 1 if anything is found, "
        "or left; 2 if it could not be done."
    )

    def add_arguments(self, parser):
        parser.add_argument("--apply", action="store_true", help=_("do it, and check again"))
        parser.add_argument("--json", action="store_true", help=_("as JSON, for machines"))
        parser.add_argument("--yes", action="store_true", help=_("ask nothing before doing it"))
        parser.add_argument(
            "--reason", default="", help=_("kept with each correction and in the audit trail")
        )
        parser.add_argument(
            "--author", type=int, help=_("id of the person of the staff who decided it")
        )

        parser.add_argument(
            "--take-back",
            action="append",
            default=[],
            metavar="ENTRY",
            help=_("take back this entry, such as 'entry 12/7', which somebody found to be forged"),
        )

    def handle(self, *, apply, reason, author, take_back, **options):
        if take_back and not reason.strip():
            raise CommandError(_("--take-back: say why, with --reason."), returncode=NOT_RUN)
        self.is_json = options["json"]
        who = Author(reason=reason.strip() or "repair_integrity", person_id=_author_id(author))
        try:
            with repair.alone():
                verdicts, made, failed = repair.plan(take_back), [], []
                if apply and any(isinstance(one.answer, Mend) for one in verdicts):
                    self.ask(verdicts, is_sure=options["yes"])
                    outcomes = list(repair.apply(verdicts, who))
                    verdicts = repair.plan(take_back)
                    made = [one for one in outcomes if not one.problem]
                    failed = [one for one in outcomes if one.problem]
                    events.record(
                        INTEGRITY_REPAIRED,
                        repaired=len(made),
                        refused=len(failed),
                        left=len(verdicts),
                    )
        except repair.Busy as busy:
            text = _("Another repair_integrity is at work: wait until it is done.")
            raise CommandError(text, returncode=NOT_RUN) from busy
        except repair.BrokenTrail as broken:
            text = _(
                "The audit trail of whoever runs this is not whole, so that nothing could be "
                "recorded in it. Run it as another system user, or with another --author."
            )
            raise CommandError(text, returncode=NOT_RUN) from broken
        if self.is_json:
            self.say_json(verdicts, made, failed)
        else:
            self.say(verdicts, made, failed, is_done=apply)
        if verdicts:
            raise CommandError(
                _("%(count)d thing(s) are not as they must be.") % {"count": len(verdicts)},
                returncode=LEFT,
            )

    def ask(self, verdicts, *, is_sure):
        """Show what would be done and let somebody say yes. Raises CommandError for a no."""
        if is_sure:
            return
        if self.is_json:
            raise CommandError(_("With --json --apply, --yes has to be said."), returncode=NOT_RUN)
        self.say_verdicts(verdicts)
        if input(_("Do this? Write yes: ")).strip().lower() != "yes":
            raise CommandError(_("Nothing was done."), returncode=NOT_RUN)

    def say(self, verdicts, made, failed, *, is_done):
        for one in made:
            said = {"finding": one.verdict.finding, "done": one.verdict.answer.says}
            self.stdout.write(_("Repaired: %(finding)s") % said)
            self.stdout.write("    " + _("done: %(done)s") % said)
        for one in failed:
            said = {"finding": one.verdict.finding, "problem": one.problem}
            self.stdout.write(_("Not repaired: %(finding)s") % said)
            self.stdout.write(f"    {one.problem}")
        if is_done and verdicts:
            self.stdout.write(_("Left:"))
        self.say_verdicts(verdicts)
        if not verdicts:
            self.stdout.write(_("All of it holds."))
        elif any(isinstance(one.answer, Mend) for one in verdicts):
            self.stdout.write(_("manage.py repair_integrity --apply does it."))

    def say_verdicts(self, verdicts):
        for one in verdicts:
            self.stdout.write(f"{one.check}: {one.finding}")
            if isinstance(one.answer, Beyond):
                said = {"reason": one.answer.reason, "way_out": one.answer.way_out}
                self.stdout.write("    " + _("beyond repair: %(reason)s") % said)
                self.stdout.write("    " + _("what helps: %(way_out)s") % said)
            else:
                self.stdout.write("    " + _("would be repaired: %s") % one.answer.says)

    def say_json(self, verdicts, made, failed):
        said = {
            "repaired": [
                {**as_facts(one.verdict), "done": one.verdict.answer.says} for one in made
            ],
            "refused": [{**as_facts(one.verdict), "problem": one.problem} for one in failed],
            "findings": [
                {**as_facts(one), "can": "nothing", **beyond_facts(one.answer)}
                if isinstance(one.answer, Beyond)
                else {**as_facts(one), "can": "repair", "repair": one.answer.says}
                for one in verdicts
            ],
        }
        self.stdout.write(json.dumps(said, ensure_ascii=False, indent=2))


def _author_id(person_id):
    """The id of an author, who has to be at work here. Raises CommandError."""
    if person_id is not None:
        author = get_user_model().objects.filter(pk=person_id, is_staff=True).first()
        if author is None or not author.is_active:
            text = _("--author: there is no active member of the staff with the id %(id)d.")
            raise CommandError(text % {"id": person_id}, returncode=NOT_RUN)
    return person_id


def as_facts(verdict):
    finding = verdict.finding
    return {
        "check": verdict.check,
        "rule": finding.rule,
        "object": finding.object_id,
        "problem": finding.problem,
    }


def beyond_facts(answer):
    return {"reason": str(answer.reason), "way_out": str(answer.way_out)}
