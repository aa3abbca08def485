import signal

from daphne.endpoints import build_endpoint_description_strings
from django.conf import settings
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from redis.exceptions import RedisError

from accounts.models import User
from config.daphne_server import EmbeddedServer
from config.demo import console_password
from config.demo_accounts import CUSTOMER_PHONE, MERCHANT_PHONE, refuse_default_accounts
from config.routing import application
from ops import life_signs
from ops.command_base import TranslatedCommand
from ops.services.background import Background
from ops.services.live_settings import refuse_stored_settings
from ops.services.missing_keys import refuse_missing_keys
from ops.services.pulse import Pulse

# 60 seconds of silence, a ping, and 30 more for its answer: closed after 90 as promised.
PING_INTERVAL, PING_TIMEOUT = 60, 30


class Command(TranslatedCommand):
    help = gettext_noop(
        "Everything in one process: migrate, load the demo into an empty database (development), "
        "and serve HTTP, WebSocket and background work on HOST:PORT."
    )

    # They ask the database, so they come after the question whether it is there.
    requires_system_checks = []

    def handle(self, **options):
        self.check_servers()
        self.check()
        call_command("migrate", interactive=False, verbosity=0)
        refuse_missing_keys()
        refuse_stored_settings()
        refuse_default_accounts()
        if settings.DEBUG and not User.objects.exists():
            call_command("seed_demo")
        background = Background()
        server = EmbeddedServer(
            application,
            endpoints=build_endpoint_description_strings(host=settings.HOST, port=settings.PORT),
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            ready_callable=self.say_where_to_go,
            server_name="",
        )
        life_signs.set_kind("serve")
        background.start()
        Pulse().start()
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

    def check_servers(self):
        """Say in a sentence which server is not there, before something waits for it in vain."""
        try:
            connection.ensure_connection()
        except OperationalError as error:
            raise CommandError(_("The database cannot be reached: %s") % error) from error
        try:
            cache.get("serve")
        except RedisError as error:
            raise CommandError(_("Redis cannot be reached: %s") % error) from error

    def say_where_to_go(self):
        base = f"http://{settings.HOST}:{settings.PORT}"
        for path, name in (
            ("/", _("start page")),
            ("/admin/", _("console")),
            ("/api/docs", _("API documents")),
        ):
            self.stdout.write(f"{base}{path:<12}{name}")
        if settings.DEBUG:
            self.say_who_can_sign_in()
        self.stdout.write(_("Ctrl-C stops it."))
        self.stdout.flush()

    def say_who_can_sign_in(self):
        code = settings.SMS_FIXED_CODE
        customer = {"phone": CUSTOMER_PHONE, "code": code}
        merchant = {"phone": MERCHANT_PHONE, "code": code}
        self.stdout.write(_("Customer: %(phone)s, code %(code)s") % customer)
        self.stdout.write(_("Merchant: %(phone)s, code %(code)s") % merchant)
        password = console_password()
        admin = User.objects.by_login_name("admin")
        if admin and admin.check_password(password):
            self.stdout.write(_("Console: admin / %(password)s") % {"password": password})
        owner = User.objects.by_login_name(MERCHANT_PHONE)
        if owner and owner.check_password(password):
            of_the_shop = {"phone": MERCHANT_PHONE, "password": password}
            self.stdout.write(_("Console of the shop: %(phone)s / %(password)s") % of_the_shop)
