"""Every way in which receipts and their reviews can say no."""

from typing import Literal

from django.utils.translation import gettext_lazy as _

# What is said of every picture that a person sends, an avatar as well.
from accounts.errors import ImageBroken as ImageBroken
from accounts.errors import ImageTooLarge as ImageTooLarge
from accounts.errors import NoImage as NoImage
from accounts.errors import NotAnImage as NotAnImage
from ops.errors import DomainError, NotAllowed
from reviews.limits import LARGEST_AMOUNT, LEAST_AMOUNT, MOST_POINTS


class InvalidAmount(DomainError):
    code, status = 5002, 400
    message = _("The amount is a number from %(least)s to %(largest)s with at most two decimals.")

    def __init__(self) -> None:
        super().__init__(least=LEAST_AMOUNT, largest=LARGEST_AMOUNT)


class SubmittedBefore(DomainError):
    """`upload_id` is a fact only when the earlier upload is the person's own."""

    code, status = 5006, 409
    message = _("This photo was submitted before.")
    reveals = {"upload_id": int}
    reveals_to_all = False
    example = {"upload_id": 41}


class UploadQuotaUsed(DomainError):
    code, status = 5007, 429
    message = _("Today's %(limit)s uploads are used up. Please come back tomorrow.")
    example = {"limit": 20, "retry_after": 28_800}


class UploadNotFound(DomainError):
    code, status = 5008, 404
    message = _("There is no such upload.")


class ReviewNotFound(DomainError):
    code, status = 6002, 404
    message = _("There is no such review.")


class InvalidDecision(DomainError):
    code, status = 6003, 400
    message = _("A decision is to approve, with 0 to %(most)s points, or to reject, with a reason.")

    def __init__(self) -> None:
        super().__init__(most=MOST_POINTS)


class AlreadyReviewed(DomainError):
    code, status = 6004, 409
    message = _("This receipt is already reviewed.")
    reveals = {"current_status": Literal["pending", "approved", "rejected"]}
    example = {"current_status": "approved"}


class PaidBefore(DomainError):
    code, status = 6005, 409
    message = _("This receipt was paid before, as upload %(upload_id)s.")
    reveals = {"upload_id": int}
    example = {"upload_id": 41}


class ProcessNotEnded(DomainError):
    code, status = 6006, 409
    message = _("This receipt is still being read. Please decide in a moment.")


class OwnReceipt(NotAllowed):
    message = _("Nobody reviews their own receipt.")


class PointsNeedManager(NotAllowed):
    message = _("Only an owner or a manager may give more than the estimated %(estimate)s points.")
    example = {"estimate": 1285}


class PointsNeedSecondPerson(NotAllowed):
    example = {"limit": 10_000}
    message = _(
        "More than %(limit)s points above the estimate need a second person, "
        "and a second person cannot be asked here yet."
    )
