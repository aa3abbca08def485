"""How a code reaches a phone.

SMS_SENDER names the classes that do it, between commas: the next one takes over where the one
before it fails. A provider of one's own is a class with `send_code`.
"""

import logging
import sys
import time
from functools import partial
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from accounts.deadlines import within
from accounts.metrics import SMS_TRIES

logger = logging.getLogger(__name__)

SECONDS_IN_ALL = 2.0  # for all providers: whoever asked hears within 3 seconds that there is none


class NotTaken(Exception):
    """The provider refused the code or was not reached: for certain nothing was sent."""


class NotSent(Exception):
    """No provider took the code; of one that never said so it may have arrived all the same."""

    def __init__(self, *, may_have_arrived: bool) -> None:
        super().__init__("No provider took the code.")
        self.may_have_arrived = may_have_arrived


class Sender(Protocol):
    """Sends one code to one phone.

    Raises NotTaken when it certainly was not sent; anything else, a time-out above all, leaves open
    whether it arrives. What it raises is logged: it says neither the phone nor the code.
    """

    def send_code(self, *, phone: str, code: str) -> None: ...


class ConsoleSender:
    """Development: the code appears where the server was started."""

    provider = "console"

    def send_code(self, *, phone: str, code: str) -> None:
        sys.stdout.write(f"SMS to {phone}: the code is {code}\n")
        sys.stdout.flush()


class NoSender:
    """No provider yet: nobody gets a code, and who asks for one is told that it is away (1503)."""

    provider = "none"

    def send_code(self, *, phone: str, code: str) -> None:
        raise NotTaken("SMS_SENDER is accounts.sms.NoSender: there is no provider.")


def send_code(*, phone: str, code: str) -> None:
    """Hand a code to the first provider that takes it, within SECONDS_IN_ALL.

    Each has an equal share of the time that is left. Where one did not say whether it took the
    code, the next one sends the same: whichever arrives is good. Raises NotSent.
    """
    waiting = [name.strip() for name in settings.SMS_SENDER.split(",")]
    deadline = time.monotonic() + SECONDS_IN_ALL
    may_have_arrived, last = False, None
    while waiting:
        share = (deadline - time.monotonic()) / len(waiting)
        name = provider = waiting.pop(0)
        try:
            sender: Sender = import_string(name)()
            provider = getattr(sender, "provider", name)
            within(share, partial(sender.send_code, phone=phone, code=code))
        except Exception as failure:  # noqa: BLE001  the next one takes over, whatever it was
            is_unsure = not isinstance(failure, NotTaken | ImportError)
            SMS_TRIES.add(1, provider, "unsure" if is_unsure else "refused")
            may_have_arrived, last = may_have_arrived or is_unsure, failure
            if waiting:
                why = "never said that it took" if is_unsure else "did not take"
                logger.warning(
                    "SMS provider %s %s a code (%s); the next one is asked.",
                    provider, why, failure if not is_unsure else type(failure).__name__,
                )  # fmt: skip
        else:
            SMS_TRIES.add(1, provider, "taken")
            return
    raise NotSent(may_have_arrived=may_have_arrived) from last
