"""HTTP for production: granian or gunicorn serve this; `/ws/` goes to config.asgi."""

import os

import django

from config.handlers import HttpOnWSGI
from config.key_check import ask_here
from config.local_data import make_local_data
from config.unasked_debug import refuse_unasked_debug

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

refuse_unasked_debug()
make_local_data()
django.setup(set_prefix=False)

from ops import life_signs  # noqa: E402
from ops.services.live_settings import refuse_stored_settings  # noqa: E402
from ops.services.missing_keys import refuse_missing_keys  # noqa: E402
from ops.services.pulse import Pulse  # noqa: E402

# The pulse not before the first request: gunicorn may import before it forks, and no thread lives
# through that.
application = HttpOnWSGI(lambda: Pulse().start())
ask_here(refuse_missing_keys, refuse_stored_settings)
life_signs.set_kind("web")
