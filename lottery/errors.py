"""Every way in which the lottery can say no."""

from datetime import datetime

from django.utils.translation import gettext_lazy as _

from lottery.limits import MAX_COUNT
from ops.errors import DomainError


class NotEnoughPointsToDraw(DomainError):
    code, status = 3001, 409
    message = _("Not enough points to draw: %(required)s needed, %(current)s there.")
    reveals = {"required": int, "current": int, "shortage": int}
    example = {"required": 1000, "current": 550, "shortage": 450}


class WheelNotOpen(DomainError):
    code, status = 3002, 409
    message = _("This wheel is not open now.")


class DailyLimitReached(DomainError):
    """`resets_at` is the coming midnight, as clients read times."""

    code, status = 3003, 409
    message = _("At most %(limit)s draws a day; you have made %(used)s.")
    reveals = {"limit": int, "used": int, "resets_at": datetime}
    example = {"limit": 10, "used": 8, "resets_at": "2026-03-02T00:00:00+08:00"}


class InvalidCount(DomainError):
    code, status = 3004, 400
    message = _("The number of draws is a whole number from 1 to %(most)s.")

    def __init__(self) -> None:
        super().__init__(most=MAX_COUNT)


class ProofNotRevealed(DomainError):
    code, status = 3005, 409
    message = _("The proof can be read once the seed has been changed.")


class NotPublishable(DomainError):
    """`reasons` are all that is wrong with the draft, for people."""

    code, status = 3006, 409
    message = _("The wheel cannot be published. %(text)s")
    reveals = {"reasons": list[str]}
    example = {"reasons": ["The probabilities add up to 0.9."]}

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(reasons=reasons, text=" ".join(reasons))
