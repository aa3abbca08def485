import os
import sys

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.management.commands.set_password import ask_twice
from config import opening
from ops.command_base import TranslatedCommand

PASSWORD = "STAFF_PASSWORD"  # noqa: S105  the name of a variable of the environment


class Command(TranslatedCommand):
    help = gettext_noop(
        "Open a new platform: the first staff account, shop and owner, tiers, categories and the "
        "draft of a wheel. What is there already stays, so that it may be done again."
    )

    def add_arguments(self, parser):
        parser.add_argument("--staff-username", help=_("The name by which staff sign in."))
        parser.add_argument("--staff-phone", help=_("Of staff, to sign in by a code as well."))
        parser.add_argument("--shop-name", help=_("The name of the first shop."))
        parser.add_argument("--owner-phone", help=_("Of its owner, who signs in by a code."))
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help=_(
                "Read the password of staff from standard input. Else it is STAFF_PASSWORD of the "
                "environment, or asked for; it is no argument, which others could read."
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
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help=_("Ask nothing: what is missing is refused."),
        )

    def handle(self, *, interactive, own, password_stdin, **options):
        names = ("staff_username", "staff_phone", "shop_name", "owner_phone")
        said = {name: (options[name] or "").strip() or None for name in names}
        said["staff_password"] = os.environ.get(PASSWORD)
        if password_stdin:
            said["staff_password"] = sys.stdin.readline().rstrip("\r\n")
        try:
            opening.refuse_demo()
            if interactive:
                said |= self.answers(said)
            parts = opening.open_platform(opening.Wanted(**said, is_own_choice=own))
        except opening.NotOpened as refusal:
            raise CommandError(str(refusal)) from refusal
        for part in parts:
            state = _("made") if part.is_new else _("there already")
            self.stdout.write(f"{part.title}: {part.name} ({state})")
        if any(part.is_new for part in parts):
            self.stdout.write(
                _(
                    "Sign in at /admin/; the wheel waits there to be looked at and published. The "
                    "owner signs in there by a code that their phone gets."
                )
            )

    def answers(self, said):
        """Ask for what was not said and is not there."""
        asked = {}
        if not opening.first_staff():
            asked["staff_username"] = said["staff_username"] or ask(_("User name of staff: "))
            asked["staff_phone"] = said["staff_phone"] or ask(_("Phone of staff (Enter: none): "))
            asked["staff_password"] = said["staff_password"] or ask_twice()
        shop = opening.first_shop()
        if not shop:
            asked["shop_name"] = said["shop_name"] or ask(_("Name of the shop: "))
        if not opening.owners_of(shop):
            asked["owner_phone"] = said["owner_phone"] or ask(_("Phone of its owner: "))
        return {name: answer or None for name, answer in asked.items()}


def ask(question):
    """What somebody typed, without blanks around it."""
    return input(question).strip()
