"""WebSockets for production: uvicorn or daphne serve this; HTTP goes to config.wsgi."""

import os

from config.key_check import refuse_missing_keys_here

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config.routing import application

__all__ = ["application"]

refuse_missing_keys_here()
