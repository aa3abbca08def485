from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from accounts.models import User
from config import demo


class Command(BaseCommand):
    help = "Load the demo shop into an empty database."

    def handle(self, **options):
        if User.objects.exists():
            raise CommandError(_("There are people in this database already; nothing was loaded."))
        demo.load()
        self.stdout.write(_("The demo shop is open."))
