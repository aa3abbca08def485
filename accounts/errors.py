"""Every way in which people, sign-in and points can say no."""

from django.utils.translation import gettext_lazy as _

from accounts.limits import WRONG_TRIES, largest_avatar_in_megabytes
from ops.errors import (
    DomainError,
    NotAllowed,
    NotFound,
    NotSignedIn,
    TooManyRequests,
    ValidationFailed,
)


class InvalidPhone(DomainError):
    code, status = 1001, 400
    message = _("This is not a mainland mobile number: 11 digits, starting with 13 to 19.")


class WrongCode(DomainError):
    code, status = 1002, 401
    message = _("The code is wrong or has expired.")


class CodeAskedTooOften(DomainError):
    code, status = 1003, 429
    message = _("A code was asked for too often. Please wait %(retry_after)s seconds.")
    example = {"retry_after": 48}


class CodeVoid(DomainError):
    code, status = 1004, 429
    message = _("%(tries)s wrong tries: this code is void. Please ask for a new one.")
    example = {"retry_after": 20}

    def __init__(self, *, retry_after: int) -> None:
        super().__init__(tries=WRONG_TRIES, retry_after=retry_after)


class AccountClosed(DomainError):
    code, status = 1005, 403
    message = _("This account is inactive or banned. Please ask the shop.")


class RefreshTokenReused(DomainError):
    code, status = 1007, 401
    message = _("This sign-in was used twice and has been ended. Please sign in again.")


class NotByWeChat(DomainError):
    """WeChat did not say who somebody is."""

    code, status = 1008, 401
    message = _("WeChat did not accept this sign-in. Please try again.")


class WeChatRefused(NotByWeChat):
    """WeChat does not know the code, or it was used before."""


class WeChatAway(NotByWeChat):
    """WeChat was not reached, is busy, or does not know this platform."""

    status = 502
    message = _("WeChat cannot be reached. Please try again, or sign in by SMS.")


class WrongPassword(NotSignedIn):
    """No such account, or not its password: which of the two is not told."""

    message = _("The name or the password is wrong.")


class SignInDelayed(TooManyRequests):
    """After wrong passwords; the fact `retry_after` is in seconds."""

    message = _("Too many wrong passwords. Please wait %(retry_after)s seconds.")


class NoConsoleRights(NotAllowed):
    """Told after a right password or code alone; an account that does not exist has none either."""

    message = _("This account has no rights in the console.")


class WrongSecondFactor(NotSignedIn):
    """Neither a code of the phone that is good now and was not used, nor an unused spare one."""

    message = _("This code is wrong, too old, or was used before.")


class SecondFactorDelayed(TooManyRequests):
    """After wrong codes; the fact `retry_after` is in seconds."""

    message = _("Too many wrong codes. Please wait %(retry_after)s seconds.")


class NoSecondFactor(NotFound):
    message = _("There is no second factor.")


class SecondFactorNeeded(NotAllowed):
    message = _("Your rights ask for a second factor: it can be replaced, not removed.")


class OwnSecondFactor(NotAllowed):
    message = _("Your own second factor is changed on its own page.")


class SecondFactorMissing(NotAllowed):
    """Told by the API to whoever has one and did not send a code of it."""

    message = _(
        "Your account has a second factor: send its code as second_factor as well, or do this in "
        "the console."
    )


class WrongSecondFactorSent(ValidationFailed):
    """The same as WrongSecondFactor by the API, where 1006 would end the app's sign-in."""

    message = WrongSecondFactor.message
    example = {}

    def __init__(self) -> None:
        super().__init__({"second_factor": [str(self.message)]})


class NotEnoughPoints(DomainError):
    code, status = 4005, 409
    message = _("Not enough points: %(required)s needed, %(current)s there.")
    reveals = {"required": int, "current": int, "shortage": int}
    example = {"required": 800, "current": 550, "shortage": 250}


class NoImage(DomainError):
    code, status = 5001, 400
    message = _("There is no image in the request.")


class NotAnImage(DomainError):
    code, status = 5003, 400
    message = _("Only JPEG, PNG, WebP and HEIC images are taken.")


class ImageTooLarge(DomainError):
    code, status = 5004, 413
    message = _("The image is larger than %(limit)s MB.")

    def __init__(self) -> None:
        super().__init__(limit=largest_avatar_in_megabytes())


class ImageBroken(DomainError):
    code, status = 5005, 400
    message = _("The image is broken, incomplete or has too many pixels.")


class NoMail(ValidationFailed):
    """The deployment names no mail server, or not where links of its letters lead."""

    message = _("No e-mail can be sent here yet.")
    example = {}

    def __init__(self) -> None:
        super().__init__({"email": [str(self.message)]})


class EmailLinkVoid(NotFound):
    """Used, too old, of another address by now, or never a link: which of these is not told."""

    message = _("This link is no longer good. Please ask for a new one in the app.")


class EmailTaken(ValidationFailed):
    """Told to whoever has opened the mailbox, and to nobody else."""

    message = _("This address belongs to another account by now.")
    example = {}

    def __init__(self) -> None:
        super().__init__({"email": [str(self.message)]})


class OwnRole(NotAllowed):
    message = _("Nobody changes their own role.")


class OwnPremium(NotAllowed):
    message = _("Nobody grants or ends their own premium.")


class OwnPoints(NotAllowed):
    message = _("Nobody adjusts their own points.")


class HoldsMoreRights(NotAllowed):
    message = _("%(name)s has rights that you have not: somebody who has them decides this.")
    example = {"name": "Li"}


class MergeOfOne(NotAllowed):
    message = _("An account is not merged into itself.")


class MergeOfClosed(NotAllowed):
    message = _("%(name)s is deactivated or banned: a merge would open what was closed.")
    example = {"name": "Li"}


class MergeOfRights(NotAllowed):
    message = _(
        "%(name)s works at a shop or may enter the console: whoever signs in to the other account "
        "would have these rights. Take them away first."
    )
    example = {"name": "Li"}


class AlreadyMerged(NotAllowed):
    message = _("%(name)s was merged into another account and stays a part of it.")
    example = {"name": "Li"}
