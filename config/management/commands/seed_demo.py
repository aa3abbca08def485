from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Load the demo shop."

    def handle(self, **options):
        from accounts.models import User
        from config.demo import console_password
        User.objects.create_superuser("admin", console_password())
