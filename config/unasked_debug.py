"""Whether a server that others may reach was told to run with DEBUG."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def refuse_unasked_debug() -> None:
    """Raise ImproperlyConfigured where DEBUG is on and nobody said so.

    `manage.py serve` listens on loopback while DEBUG is on. What granian or uvicorn are started on
    no setting knows, and DEBUG shows error pages and accepts the code of development.
    """
    if settings.DEBUG and not settings.DEBUG_IS_SAID:
        raise ImproperlyConfigured(
            "DEBUG is not set, and a server of config.wsgi or config.asgi does not take it for on. "
            "Set DEBUG=0 (with its secrets, see .env.example), or DEBUG=1 on a developer's machine."
        )
