"""How a code reaches a phone. SMS_SENDER names the class that does it."""

import sys
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string


class NotTaken(Exception):
    """The provider refused the code or was not reached: for certain nothing was sent."""


class Sender(Protocol):
    """Sends one code to one phone.

    Raises NotTaken when it certainly was not sent; anything else, a time-out above all, leaves open
    whether it arrives.
    """

    def send_code(self, *, phone: str, code: str) -> None: ...


class ConsoleSender:
    """Development: the code appears where the server was started."""

    def send_code(self, *, phone: str, code: str) -> None:
        sys.stdout.write(f"SMS to {phone}: the code is {code}\n")
        sys.stdout.flush()


class NoSender:
    """No provider yet: nobody gets a code, and who asks for one is told that it is away (1503)."""

    def send_code(self, *, phone: str, code: str) -> None:
        raise NotTaken("SMS_SENDER is accounts.sms.NoSender: there is no provider.")


def sender() -> Sender:
    """The sender that this deployment uses."""
    chosen: Sender = import_string(settings.SMS_SENDER)()
    return chosen
