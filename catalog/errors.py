"""Every way in which shops, products, stock and orders can say no."""

from typing import Literal

from django.utils.translation import gettext_lazy as _

from catalog.limits import MAX_QUANTITY, MOST_INVITATIONS
from ops.errors import DomainError, NotAllowed, NotFound


class ProductNotFound(DomainError):
    code, status = 4001, 404
    message = _("This product does not exist.")


class NotOnSale(DomainError):
    code, status = 4002, 409
    message = _("%(name)s is not on sale now.")
    example = {"name": "Plum juice"}


class InvalidQuantity(DomainError):
    code, status = 4003, 400
    message = _("The quantity is a whole number from 1 to %(most)s.")

    def __init__(self) -> None:
        super().__init__(most=MAX_QUANTITY)


class NotEnoughStock(DomainError):
    code, status = 4004, 409
    message = _("Not enough in stock: %(available_stock)s left.")
    reveals = {"available_stock": int}
    example = {"available_stock": 1}


class LimitReached(DomainError):
    code, status = 4006, 409
    message = _("At most %(limit)s of this for each person; you have %(used)s.")
    reveals = {"limit": int, "used": int}
    example = {"limit": 2, "used": 2}


class OrderNotFound(DomainError):
    code, status = 4007, 404
    message = _("This order does not exist.")


class NotCancellable(DomainError):
    code, status = 4008, 409
    message = _("This order can no longer be cancelled.")
    reveals = {"status": Literal["pending", "redeemed", "delivered", "cancelled", "expired"]}
    example = {"status": "redeemed"}


class ExchangeCodeUnknown(DomainError):
    code, status = 4009, 404
    message = _("This exchange code is not known here.")


class AlreadyRedeemed(DomainError):
    code, status = 4010, 409
    message = _("This exchange code was redeemed already.")


class ExchangeCodeVoid(DomainError):
    code, status = 4011, 409
    message = _("This exchange code has expired or was cancelled.")


class NotAMerchant(DomainError):
    code, status = 6001, 403
    message = _("This is for people who work at a shop.")


class NotVirtual(DomainError):
    code, status = 8001, 409
    message = _("Only a virtual product has codes.")


class StockIsCodes(DomainError):
    code, status = 8002, 409
    message = _("The stock of a virtual product is its free codes: add codes instead.")


class NotAPicture(DomainError):
    code, status = 8003, 400
    message = _("This is not a picture that can be shown: JPEG, PNG or WebP, whole, not too large.")


class WorksThere(DomainError):
    code, status = 8005, 409
    message = _("%(name)s works there already.")
    example = {"name": "Li"}


class RoleAboveOwn(NotAllowed):
    message = _("You may give and take only roles whose rights you have yourself.")


class LastOwner(DomainError):
    code, status = 8008, 409
    message = _("A shop keeps one owner at least: make somebody else the owner first.")


class InvitationGone(NotFound):
    message = _("This invitation is gone: it was answered, withdrawn, or has expired.")


class TooManyInvitations(DomainError):
    code, status = 8009, 409
    message = _("A shop has at most %(limit)s invitations that wait: withdraw some first.")
    reveals = {"limit": int}
    example = {"limit": MOST_INVITATIONS}
