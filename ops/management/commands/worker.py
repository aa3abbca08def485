import signal
import threading

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops import life_signs
from ops.command_base import TranslatedCommand
from ops.services.background import Background
from ops.services.live_settings import refuse_stored_settings
from ops.services.missing_keys import refuse_missing_keys
from ops.services.pulse import Pulse


class Command(TranslatedCommand):
    help = gettext_noop(
        "Do the background work alone: the queue and the periodic jobs, until SIGTERM or Ctrl-C."
    )

    def handle(self, **options):
        refuse_missing_keys()
        refuse_stored_settings()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_number_and_frame: stop.set())
        background = Background()
        life_signs.set_kind("worker")
        background.start()
        Pulse().start()
        self.stdout.write(_("Background work has started."))
        stop.wait()
        background.stop(seconds=20)
        self.stdout.write(_("Background work has stopped."))
