"""HTTP for production: granian or gunicorn serve this; `/ws/` goes to config.asgi."""

import os
from multiprocessing import parent_process

import django

from config.handlers import HttpOnWSGI
from config.key_check import ask_here
from config.local_data import make_local_data
from config.unasked_debug import refuse_unasked_debug

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

refuse_unasked_debug()
make_local_data()
django.setup(set_prefix=False)

from config.demo_accounts import refuse_default_accounts  # noqa: E402
from ops import life_signs  # noqa: E402
from ops.services.live_settings import refuse_stored_settings  # noqa: E402
from ops.services.missing_keys import refuse_missing_keys  # noqa: E402
from ops.services.pulse import Pulse  # noqa: E402


def begin() -> None:
    """Start the pulse of this process."""
    Pulse().start()


# granian loads this in each of its workers, which fork no more: the pulse begins at once. Anywhere
# else not before the first request: gunicorn may import before it forks, and no thread lives
# through that.
is_a_worker = parent_process() is not None
application = HttpOnWSGI() if is_a_worker else HttpOnWSGI(begin)
ask_here(refuse_missing_keys, refuse_stored_settings, refuse_default_accounts)
life_signs.set_kind("web")
if is_a_worker:
    begin()
