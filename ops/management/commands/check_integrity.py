import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import django
from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import translation
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
        parser.add_argument(
            "--jobs",
            type=int,
            default=1,
            choices=range(1, 17),
            metavar="N",
            help=_("run so many of them at once, each in a process; %(default)s unless it is said"),
        )

    def handle(self, *, only, timings, jobs, **options):
        wrong = 0
        names = [only] if only else integrity.checks.names()
        started = time.perf_counter()
        for seen in _looks(names, jobs=jobs, timings=timings):
            wrong += seen.wrong
            outcome = _("%(count)d wrong") % {"count": seen.wrong} if seen.wrong else _("ok")
            self.stdout.write(f"{seen.name}: {outcome}")
            for line in seen.lines:
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


@dataclass(frozen=True, slots=True)
class Seen:
    """What one check found, in words."""

    name: str
    wrong: int
    lines: list[str]


def _looks(names, *, jobs, timings):
    """Run checks and yield what each has seen, in their order."""
    if jobs == 1:
        yield from (_look(name, timings=timings) for name in names)
        return
    # Those of many rows first: whoever begins with the largest at the end waits for it alone.
    rows = {name: integrity.count_rows(name) for name in names}
    # Not by a fork, which would share connections and lack the threads of their pool.
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=django.setup) as pool:
        language = translation.get_language()
        due = {
            name: pool.submit(_look_in, language, name, timings=timings)
            for name in sorted(names, key=rows.__getitem__, reverse=True)
        }
        yield from (due[name].result() for name in names)


def _look_in(language, name, *, timings):
    with translation.override(language):
        return _look(name, timings=timings)


def _look(name, *, timings):
    begun = time.perf_counter()
    findings = list(integrity.run(name))
    seconds = time.perf_counter() - begun
    # What a check stumbled over, its remarks would stumble over as well.
    is_done = not any(finding.rule == integrity.STUMBLED for finding in findings)
    said = [
        *([_timing(seconds, integrity.count_rows(name))] if timings else ()),
        *findings,
        *(integrity.remarks(name) if is_done else ()),
    ]
    return Seen(name, len(findings), [str(one) for one in said])


def _timing(seconds, rows):
    if not rows:
        return _("%(seconds).2f s") % {"seconds": seconds}
    return _("%(seconds).2f s for %(rows)d rows: %(each).1f µs a row") % {
        "seconds": seconds,
        "rows": rows,
        "each": seconds / rows * 1_000_000,
    }
