import os
from itertools import chain

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.management.commands.set_password import ask_twice
from accounts.services import staff
from ops.command_base import TranslatedCommand
from ops.errors import ValidationFailed


class Command(TranslatedCommand):
    """In the place of the framework's, which knows no service and believes that nobody looks on."""

    help = gettext_noop("Make the account of somebody who may do everything in the console.")

    def add_arguments(self, parser):
        parser.add_argument("--username", help=_("The name by which they sign in."))
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help=_(
                "Ask nothing: the password is DJANGO_SUPERUSER_PASSWORD, and without that nobody "
                "can sign in before `manage.py set_password`."
            ),
        )
        parser.add_argument(
            "--own",
            action="store_true",
            help=_(
                "You are that person: else the password has to be changed at the first sign-in, "
                "since somebody else knows it."
            ),
        )

    def handle(self, *, username, interactive, own, **options):
        if interactive:
            username = username or input(_("User name: "))
            password = ask_twice()
        else:
            username = username or os.environ.get("DJANGO_SUPERUSER_USERNAME")
            password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        if not username:
            raise CommandError(_("Say who it is: --username."))
        try:
            staff.make_superuser(username=username, password=password, is_own_choice=own)
        except ValidationFailed as refusal:
            raise CommandError(" ".join(chain(*refusal.data.values()))) from refusal
        self.stdout.write(_("%(name)s may do everything in the console.") % {"name": username})
        if password is not None and not own:
            self.stdout.write(_("They have to change the password when they sign in."))
