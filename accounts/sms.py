"""How a code reaches a phone. SMS_SENDER names the class that does it."""

import sys
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string


class Sender(Protocol):
    """Sends one code to one phone; raises when the provider does not take it."""

    def send_code(self, *, phone: str, code: str) -> None: ...


class ConsoleSender:
    """Development: the code appears where the server was started."""

    def send_code(self, *, phone: str, code: str) -> None:
        sys.stdout.write(f"SMS to {phone}: the code is {code}\n")
        sys.stdout.flush()


def sender() -> Sender:
    """The sender that this deployment uses."""
    chosen: Sender = import_string(settings.SMS_SENDER)()
    return chosen
