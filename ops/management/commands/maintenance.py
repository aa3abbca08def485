import time
from datetime import timedelta

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.command_base import TranslatedCommand
from ops.models import Maintenance
from ops.models.maintenance import LONGEST_MESSAGE, MOST_MINUTES
from ops.services import maintenance

LOOK_EVERY = 0.5  # seconds
WAIT = 300  # seconds


class Command(TranslatedCommand):
    help = gettext_noop(
        "Let everything rest but what maintaining needs. `on` returns when no request, task or "
        "periodic job is running any more; exit code 1: some still are."
    )

    def add_arguments(self, parser):
        what = parser.add_subparsers(dest="what", required=True)
        on = what.add_parser("on", help=_("refuse requests, and wait for what is running"))
        on.add_argument(
            "--message", default="", help=_("what people read; in both languages without one")
        )
        on.add_argument(
            "--minutes", type=int, help=_("about how long it takes: clients come back then")
        )
        on.add_argument(
            "--wait",
            type=int,
            default=WAIT,
            help=_("seconds to wait for what is running; %(default)s unless it is said"),
        )
        what.add_parser("off", help=_("let everything go on"))
        what.add_parser("status", help=_("whether it is on, and what is running"))

    def handle(self, *, what, **options):
        getattr(self, what)(**options)

    def on(self, *, message, minutes, wait, **_options):
        if len(message) > LONGEST_MESSAGE:
            raise CommandError(
                _("--message: at most %(most)d characters.") % {"most": LONGEST_MESSAGE}
            )
        if minutes is not None and not 1 <= minutes <= MOST_MINUTES:
            raise CommandError(_("--minutes: from 1 to %(most)d.") % {"most": MOST_MINUTES})
        if wait < 0:
            raise CommandError(_("--wait: a whole number from 0 on."))
        until = timezone.now() + timedelta(minutes=minutes) if minutes else None
        maintenance.turn_on(message=message, until=until)
        self.say(_("Maintenance is on."))
        self.wait_for_all(wait)

    def wait_for_all(self, wait):
        """Return when nothing is under way; not before all processes have heard."""
        began = time.monotonic()
        said = None
        while True:
            passed = time.monotonic() - began
            now = maintenance.in_hand()
            if passed >= maintenance.SEEN_BY_ALL_AFTER and now.is_nothing:
                self.say_problem(now)
                self.say(
                    _("Nothing is running any more (%(processes)d serving processes said so).")
                    % {"processes": now.processes}
                )
                return
            if passed >= max(wait, maintenance.SEEN_BY_ALL_AFTER):
                raise CommandError(
                    "\n".join([*in_words(now), _("It still runs. Maintenance stays on.")]),
                    returncode=1,
                )
            if now != said and not now.is_nothing:
                said = now
                self.say("\n".join(in_words(now)))
            time.sleep(LOOK_EVERY)

    def off(self, **_options):
        is_changed = maintenance.turn_off()
        self.say(_("Maintenance is off.") if is_changed else _("Maintenance is off already."))

    def status(self, **_options):
        row = Maintenance.objects.first()
        if row is None or not row.is_on:
            self.say(_("Maintenance is off."))
            return
        since = timezone.localtime(row.updated_at).strftime("%Y-%m-%d %H:%M:%S")
        self.say(_("Maintenance is on since %(since)s.") % {"since": since})
        if row.until:
            until = timezone.localtime(row.until).strftime("%Y-%m-%d %H:%M:%S")
            self.say(_("It is said to take until %(until)s.") % {"until": until})
        if row.message:
            self.say(row.message)
        now = maintenance.in_hand()
        self.say("\n".join(in_words(now)))
        self.say_problem(now)

    def say_problem(self, now):
        if now.queue_problem:
            self.say(
                _("The queue cannot be asked what is under way: %(why)s.")
                % {"why": now.queue_problem}
            )

    def say(self, text):
        self.stdout.write(text)
        self.stdout.flush()


def in_words(now):
    """A line for each kind of what is under way; for requests also where there are none."""
    lines = [
        _("%(requests)d requests are running on %(processes)d processes.")
        % {"requests": now.requests, "processes": now.processes}
    ]
    if now.tasks:
        lines.append(_("Tasks under way: %(names)s.") % {"names": ", ".join(now.tasks)})
    if now.jobs:
        lines.append(_("Periodic jobs under way: %(names)s.") % {"names": ", ".join(now.jobs)})
    return lines
