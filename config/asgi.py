"""WebSockets for production: uvicorn or daphne serve this; HTTP goes to config.wsgi."""

import os

from config.key_check import ask_here
from config.local_data import make_local_data
from config.unasked_debug import refuse_unasked_debug

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

refuse_unasked_debug()
make_local_data()

from config.routing import application  # noqa: E402, I001  it sets Django up, so it is first
from config.demo_accounts import refuse_default_accounts  # noqa: E402
from ops import life_signs  # noqa: E402
from ops.services.live_settings import refuse_stored_settings  # noqa: E402
from ops.services.missing_keys import refuse_missing_keys  # noqa: E402
from ops.services.pulse import Pulse  # noqa: E402

__all__ = ["application"]

ask_here(refuse_missing_keys, refuse_stored_settings, refuse_default_accounts)
life_signs.set_kind("sockets")
Pulse().start()
