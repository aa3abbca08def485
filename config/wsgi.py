"""HTTP for production: granian or gunicorn serve this; `/ws/` goes to config.asgi."""

import os

from django.core.wsgi import get_wsgi_application

from config.key_check import refuse_missing_keys_here

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
refuse_missing_keys_here()
