import json
import os
import sys
from datetime import datetime, timedelta

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.command_base import TranslatedCommand, moment_of
from ops.logs import search
from ops.request_id import WELL_FORMED

UNLESS_SAID = timedelta(days=1)
# What a line of every kind has; all else of a line is a fact of its own.
OF_ALL = {"time", "level", "logger", "message", "request_id", "trace"}


class Command(TranslatedCommand):
    help = gettext_noop("Search the files of the log (LOG_DIR), the newest last.")

    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--level", help=_("at least this level, such as WARNING"))
        parser.add_argument("--request", metavar="ID", help=_("the lines of this request alone"))
        parser.add_argument("--logger", help=_("of this logger and those below it, such as ops"))
        parser.add_argument(
            "--since",
            metavar="WHEN",
            help=_(
                "a day (2026-11-01), a time (2026-11-01T09:30) or so long ago (90m, 24h, 7d); "
                "unless it is said 24h, and of one request all there is"
            ),
        )
        parser.add_argument("--json", action="store_true", help=_("a JSON object in each line"))

    def handle(self, *, level, request, logger, since, **options):
        if settings.LOG_DIR is None:
            raise CommandError(_("LOG_DIR is not set: there are no files of the log."))
        wanted = search.Wanted(
            since=_moment(since, request),
            level=_level(level),
            request_id=_request_id(request),
            logger=logger or "",
        )
        say = as_json if options["json"] else as_text
        try:
            for line in search.lines(settings.LOG_DIR, wanted):
                self.stdout.write(say(line))
            self.stdout.flush()
        except BrokenPipeError:  # as of `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _moment(since, request):
    if since is not None:
        return moment_of(since)
    return None if request else timezone.now() - UNLESS_SAID


def _level(level):
    chosen = "DEBUG" if level is None else level.upper()
    if chosen not in search.LEVELS:
        raise CommandError(
            _("--level: write one of %(levels)s.") % {"levels": ", ".join(search.LEVELS)}
        )
    return chosen


def _request_id(request):
    if request is not None and not WELL_FORMED.match(request):
        raise CommandError(_("--request: write the id as the answer had it in X-Request-ID."))
    return request or ""


def as_json(line):
    return json.dumps(line, ensure_ascii=False)


def as_text(line):
    """A line for people, in the deployment's time; a stack trace below it."""
    moment = timezone.localtime(datetime.fromisoformat(line["time"]))
    facts = " ".join(f"{name}={value}" for name, value in line.items() if _is_fact(name, value))
    said = (
        f"{moment:%Y-%m-%d %H:%M:%S} {line.get('level')} {line.get('logger')} "
        f"[{line.get('request_id', '-')}] {line.get('message', '')}"
    )
    return "\n".join(filter(None, [f"{said} {facts}".rstrip(), line.get("trace")]))


def _is_fact(name, value):
    return name not in OF_ALL and value is not None
