"""HTTP for production: granian or gunicorn serve this; `/ws/` goes to config.asgi."""

import os

import django

from config.handlers import HttpOnWSGI
from config.key_check import refuse_missing_keys_here

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django.setup(set_prefix=False)
application = HttpOnWSGI()
refuse_missing_keys_here()
