import getpass
import sys

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.models import User
from accounts.services import passwords
from ops.access import access_of
from ops.command_base import TranslatedCommand
from ops.errors import ValidationFailed


class Command(TranslatedCommand):
    help = gettext_noop(
        "Set the password by which somebody signs in to the console, by phone number or user name."
    )

    def add_arguments(self, parser):
        parser.add_argument("person", metavar=_("PHONE_OR_USER_NAME"))
        parser.add_argument(
            "--stdin",
            action="store_true",
            help=_("Read the password from standard input instead of asking twice."),
        )
        parser.add_argument(
            "--own",
            action="store_true",
            help=_(
                "You are that person: else the password has to be changed at the first sign-in, "
                "since somebody else knows it."
            ),
        )

    def handle(self, *, person, stdin, own, **options):
        found = User.objects.by_login_name(person)
        if found is None:
            raise CommandError(_("Nobody has this phone number or user name: %s") % person)
        password = sys.stdin.readline().rstrip("\r\n") if stdin else ask_twice()
        try:
            passwords.set_password(person=found, password=password, is_own_choice=own)
        except ValidationFailed as refusal:
            raise CommandError(" ".join(refusal.data["password"])) from refusal
        self.stdout.write(_("The password of %(person)s is set.") % {"person": found})
        if not own:
            self.stdout.write(_("They have to change it when they sign in."))
        if not access_of(found).opens_console:
            self.stdout.write(
                _("They have no rights in the console yet: a membership of a shop gives some.")
            )


def ask_twice():
    """What somebody typed twice, unseen. Raises CommandError where it was not the same."""
    first = getpass.getpass(_("New password: "))
    if getpass.getpass(_("Once more: ")) != first:
        raise CommandError(_("That was not the same twice; nothing was set."))
    return first
