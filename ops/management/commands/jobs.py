import json
from datetime import datetime

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.command_base import TranslatedCommand
from ops.models import RunOutcome, Schedule
from ops.services.jobs import are_paused, interval_in_words, jobs
from ops.services.scheduler import run_by_hand

FAILED, REFUSED = 1, 2  # exit statuses; 0 is a run that went well


class Command(TranslatedCommand):
    help = gettext_noop(
        "Show the periodic jobs, or run one here and now, claimed as by a worker. Exits 1 when "
        "the job failed, 2 when there is none of that name or it is running already."
    )

    def add_arguments(self, parser):
        parts = parser.add_subparsers(
            dest="part", required=True, metavar="list|run", help=_("what to do")
        )
        listing = parts.add_parser("list", help=_("the jobs, when they ran and when they are due"))
        running = parts.add_parser("run", help=_("run one, whether it is due or not"))
        running.add_argument("name", help=_("of the job, as `list` shows it"))
        for part in (listing, running):
            part.add_argument("--json", action="store_true", help=_("as JSON"))

    def handle(self, *, part, **options):
        if part == "list":
            self.list_jobs(as_json=options["json"])
        else:
            self.run_job(options["name"], as_json=options["json"])

    def list_jobs(self, *, as_json):
        rows = {row.job: row for row in Schedule.objects.filter(job__in=jobs.names())}
        facts = [facts_of(name, rows.get(name)) for name in jobs.names()]
        if as_json:
            self.stdout.write(json.dumps(facts, ensure_ascii=False, indent=2))
            return
        for one in facts:
            self.stdout.write(line_of(one))
        if are_paused():
            self.stdout.write(_("Paused: none begins now."))

    def run_job(self, name, *, as_json):
        if name not in jobs.names():
            known = ", ".join(jobs.names())
            raise CommandError(
                _("There is no job called %(name)s. There are: %(known)s.")
                % {"name": name, "known": known},
                returncode=REFUSED,
            )
        ended = run_by_hand(name)
        if ended is None:
            raise CommandError(_("It is running already: one run is enough."), returncode=REFUSED)
        if as_json:
            outcome = RunOutcome.FAILED if ended.error else RunOutcome.DONE
            self.stdout.write(
                json.dumps(
                    {
                        "job": name,
                        "outcome": outcome.value,
                        "seconds": round(ended.seconds, 3),
                        "did": ended.did,
                        "error": ended.error,
                    },
                    ensure_ascii=False,
                )
            )
        else:
            said = _("failed: %s") % ended.error if ended.error else ended.did or _("nothing to do")
            self.stdout.write(
                _("%(name)s: %(said)s (%(seconds).1f s)")
                % {"name": name, "said": said, "seconds": ended.seconds}
            )
        if ended.error:
            raise CommandError(_("The job failed."), returncode=FAILED)


def facts_of(name, row):
    """What is known of a job; a row of it is made when a worker first starts."""
    job = jobs[name]
    facts = {
        "job": name,
        "label": str(job.label),
        "interval": interval_in_words(job),
        "next_due_at": None,
        "last_started_at": None,
        "last_outcome": "",
        "failures": 0,
        "running_at": "",
    }
    if row is not None:
        facts |= {
            "next_due_at": row.next_due_at.isoformat(),
            "last_started_at": row.last_started_at and row.last_started_at.isoformat(),
            "last_outcome": row.last_outcome,
            "failures": row.failures,
            "running_at": row.claimed_by,
        }
    return facts


def line_of(facts):
    """One line for people."""
    said = [f"{facts['job']}: {facts['label']}", facts["interval"]]
    if facts["last_started_at"]:
        outcome = RunOutcome(facts["last_outcome"]).label if facts["last_outcome"] else ""
        moment = moment_of(facts["last_started_at"])
        said.append(_("last run %(moment)s, %(outcome)s") % {"moment": moment, "outcome": outcome})
    if facts["failures"]:
        said.append(_("failures in a row: %d") % facts["failures"])
    if facts["running_at"]:
        said.append(_("running at %s") % facts["running_at"])
    elif facts["next_due_at"]:
        said.append(_("next due %s") % moment_of(facts["next_due_at"]))
    return "; ".join(said)


def moment_of(text):
    return timezone.localtime(datetime.fromisoformat(text)).strftime("%Y-%m-%d %H:%M:%S")
