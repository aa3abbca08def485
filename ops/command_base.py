"""What the commands of every app build on."""

from typing import Any, override

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext


class TranslatedCommand(BaseCommand):
    """A command whose `help`, marked by gettext_noop, is shown in the deployment's language.

    Not gettext_lazy: argparse takes no text that is translated later.
    """

    @override
    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The parser of the command line, described in the language of this moment."""
        self.help = gettext(self.help)
        return super().create_parser(prog_name, subcommand, **kwargs)
