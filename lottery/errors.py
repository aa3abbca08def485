"""Every way in which the lottery can say no."""

from django.utils.translation import gettext_lazy as _

from lottery.limits import MAX_COUNT
from ops.errors import DomainError


class NotEnoughPointsToDraw(DomainError):
    code, status = 3001, 409
    message = _("Not enough points to draw: %(required)s needed, %(current)s there.")
    reveals = ("required", "current", "shortage")


class WheelNotOpen(DomainError):
    code, status = 3002, 409
    message = _("This wheel is not open now.")


class DailyLimitReached(DomainError):
    """`resets_at` is the coming midnight, as clients read times."""

    code, status = 3003, 409
    message = _("At most %(limit)s draws a day; you have made %(used)s.")
    reveals = ("limit", "used", "resets_at")


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
    reveals = ("reasons",)

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(reasons=reasons, text=" ".join(reasons))
