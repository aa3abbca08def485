from django.conf import settings
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.models import User
from config import demo
from config.demo_accounts import MERCHANT_PHONE
from ops.command_base import TranslatedCommand
from ops.metrics import DEMO_LOADED
from ops.services import events


class Command(TranslatedCommand):
    help = gettext_noop("Load the demo shop into an empty database.")

    def handle(self, **options):
        if User.objects.exists():
            raise CommandError(_("There are people in this database already; nothing was loaded."))
        demo.load()
        events.record(DEMO_LOADED)
        self.stdout.write(_("The demo shop is open."))
        if not settings.DEBUG:
            self.stdout.write(
                _(
                    "Nobody has a password: `manage.py set_password admin` lets the "
                    "administrator into the console."
                )
            )
            self.stdout.write(
                _(
                    "%(phone)s may be somebody's phone, who could enter as the owner by a code: "
                    "deactivate this account before others reach the platform."
                )
                % {"phone": MERCHANT_PHONE}
            )
