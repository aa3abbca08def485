"""What the commands of every app build on."""

import re
from datetime import datetime, time, timedelta
from typing import Any, override

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext

_SO_LONG = re.compile(r"\A(\d{1,5})([mhd])\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class TranslatedCommand(BaseCommand):
    """A command whose `help`, marked by gettext_noop, is shown in the deployment's language.

    Not gettext_lazy: argparse takes no text that is translated later.
    """

    @override
    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The parser of the command line, described in the language of this moment."""
        self.help = gettext(self.help)
        return super().create_parser(prog_name, subcommand, **kwargs)


def moment_of(since: str) -> datetime:
    """The moment that `--since` means: a day, a time, or so long ago. Raises CommandError."""
    if so_long := _SO_LONG.match(since):
        number, unit = so_long.groups()
        return timezone.now() - timedelta(**{_UNITS[unit]: int(number)})
    try:
        day, moment = parse_date(since), parse_datetime(since)
    except ValueError:  # well formed, and no day there is
        day = moment = None
    if day is not None:
        moment = datetime.combine(day, time())
    if moment is None:
        raise CommandError(
            gettext(
                "--since: write a day (2026-11-01), a time (2026-11-01T09:30) or so long (24h)."
            )
        )
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
