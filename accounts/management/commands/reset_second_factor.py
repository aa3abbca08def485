from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.errors import NoSecondFactor
from accounts.models import User
from accounts.services import second_factors
from ops.command_base import TranslatedCommand


class Command(TranslatedCommand):
    help = gettext_noop(
        "Take away the second factor of somebody who lost their phone and their recovery codes; "
        "their sign-ins to the console end."
    )

    def add_arguments(self, parser):
        parser.add_argument("person", metavar=_("PHONE_OR_USER_NAME"))
        parser.add_argument("--reason", required=True, help=_("Stands in the audit trail."))

    def handle(self, *, person, reason, **options):
        found = User.objects.by_login_name(person)
        if found is None:
            raise CommandError(_("Nobody has this phone number or user name: %s") % person)
        try:
            second_factors.reset(person_id=found.pk, reason=reason)
        except NoSecondFactor as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(_("The second factor of %(person)s is gone.") % {"person": found})
