"""HTTP for production: granian or gunicorn serve this; `/ws/` goes to config.asgi."""

import os

import django

from config.handlers import HttpOnWSGI
from config.key_check import refuse_missing_keys_here
from config.local_data import make_local_data
from config.unasked_debug import refuse_unasked_debug
from ops.services.pulse import Pulse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

refuse_unasked_debug()
make_local_data()
django.setup(set_prefix=False)
# The pulse not before the first request: gunicorn may import before it forks, and no thread lives
# through that.
application = HttpOnWSGI(lambda: Pulse().start())
refuse_missing_keys_here()
