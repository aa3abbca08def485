import signal

from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from accounts.models import User
from config.asgi import application
from config.demo import CUSTOMER_PHONE, MERCHANT_PHONE, console_password
from ops.services.background import Background

# 60 seconds of silence, a ping, and 30 more for its answer: closed after 90 as promised.
PING_INTERVAL, PING_TIMEOUT = 60, 30


class Command(BaseCommand):
    help = (
        "Everything in one process: migrate, load the demo into an empty database (development), "
        "and serve HTTP, WebSocket and background work on HOST:PORT."
    )
    requires_system_checks = ["models", "security", "urls"]

    def handle(self, **options):
        call_command("migrate", interactive=False, verbosity=0)
        if settings.DEBUG and not User.objects.exists():
            call_command("seed_demo")
        background = Background()
        server = Server(
            application,
            endpoints=build_endpoint_description_strings(host=settings.HOST, port=settings.PORT),
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            ready_callable=self.say_where_to_go,
            server_name="",
        )
        background.start()
        # A shell starts background jobs with Ctrl-C ignored, which twisted would leave so.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        server.run()
        background.stop(seconds=10)
        if not server.listening_addresses:
            raise CommandError(
                _("%(host)s:%(port)s is taken. Stop what listens there, or set PORT.")
                % {"host": settings.HOST, "port": settings.PORT}
            )
        self.stdout.write(_("Stopped."))

    def say_where_to_go(self):
        base = f"http://{settings.HOST}:{settings.PORT}"
        self.stdout.write(f"{base}/           {_('start page')}")
        self.stdout.write(f"{base}/admin/     {_('console')}")
        self.stdout.write(f"{base}/api/docs   {_('API documents')}")
        if settings.DEBUG:
            code = settings.SMS_FIXED_CODE
            self.stdout.write(f"{_('Customer')}: {CUSTOMER_PHONE}, {_('code')} {code}")
            self.stdout.write(f"{_('Merchant')}: {MERCHANT_PHONE}, {_('code')} {code}")
            self.stdout.write(f"{_('Console')}: admin / {console_password()}")
        self.stdout.write(_("Ctrl-C stops it."))
        self.stdout.flush()
