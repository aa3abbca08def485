"""The one way to say no: every refusal is a DomainError with its number from the API contract."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, override

from django.utils.translation import gettext_lazy as _

from ops import request_id

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class DomainError(Exception):
    """A refusal that the caller can understand and act on; nothing was changed.

    `code` is the number of the API contract and `status` the HTTP status it travels with.
    `message` is for people and may name facts in %-style; `reveals` maps the facts that go into
    the answer's `data`, in this order, to their types as JSON has them. Raise it with the facts as
    keyword arguments; with those of `example` the API documents show one.
    """

    code: ClassVar[int]
    status: ClassVar[int]
    message: ClassVar["StrOrPromise"]
    reveals: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    # False where it depends on who asks: `data` may then be None.
    reveals_to_all: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init__(self, **facts: Any) -> None:
        super().__init__(facts)
        self.facts = facts

    @override
    def __str__(self) -> str:
        return str(self.message) % self.facts if self.facts else str(self.message)

    @property
    def data(self) -> Any:
        """What the client gets beside code and message; None when the contract names no details."""
        revealed = {name: self.facts[name] for name in self.reveals if name in self.facts}
        return revealed or None

    @property
    def retry_after(self) -> int | None:
        """Seconds until trying again makes sense; None where waiting changes nothing."""
        return self.facts.get("retry_after")


class Failure(DomainError):
    """What nobody foresaw; the request id leads to its lines in the log."""

    code, status = 1000, 500
    message = _("Something went wrong on our side. Nothing was changed.")
    reveals = {"request_id": str}

    def __init__(self) -> None:
        super().__init__(request_id=request_id.current.get())


class NotSignedIn(DomainError):
    code, status = 1006, 401
    message = _("Please sign in again.")


class NotAllowed(DomainError):
    code, status = 1009, 403
    message = _("You are signed in, but you may not do this.")


class NotFound(DomainError):
    code, status = 1010, 404
    message = _("There is nothing here.")


class ValidationFailed(DomainError):
    """One or more fields cannot be taken; `fields` maps each to the reasons."""

    code, status = 1011, 400
    message = _("Some fields are not right: %(names)s.")
    example = {"fields": {"field": ["A valid value is needed."]}}

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__(fields=fields, names=", ".join(fields))

    @property
    @override
    def data(self) -> dict[str, list[str]]:
        return self.facts["fields"]  # type: ignore[no-any-return]


class NoSuchSetting(NotFound):
    message = _("There is no setting %(key)s.")
    example = {"key": "points.welcome"}


class SettingRefused(ValidationFailed):
    """A live setting does not take a value; the fact `why` is the field's reason."""

    message = _("%(key)s: %(why)s")
    example = {"key": "points.welcome", "why": "Write a whole number."}

    def __init__(self, *, key: str, why: str) -> None:
        super().__init__({key: [why]})
        self.facts |= {"key": key, "why": why}


class MethodNotAllowed(DomainError):
    code, status = 1012, 405
    message = _("This address does not take that method.")


class TooManyRequests(DomainError):
    """A rate limit; the fact `retry_after` is in seconds."""

    code, status = 1013, 429
    message = _("Too many requests. Please wait %(retry_after)s seconds.")
    example = {"retry_after": 12}


class IdempotencyKeyReused(DomainError):
    code, status = 1014, 422
    message = _("This Idempotency-Key was used with another body. Use a new key.")


class StillRunning(DomainError):
    code, status = 1015, 409
    message = _("A request with this Idempotency-Key is still running. Try again in a moment.")


class UnsupportedMediaType(DomainError):
    code, status = 1016, 415
    message = _("This kind of body is not taken here; see Content-Type.")


class Unreadable(DomainError):
    code, status = 1017, 400
    message = _("The body of the request cannot be read.")


class BodyTooLarge(DomainError):
    code, status = 1018, 413
    message = _("The body of the request is too large.")


class IdempotencyKeyMissing(DomainError):
    code, status = 1019, 400
    message = _("The header Idempotency-Key is missing.")


class Unavailable(DomainError):
    """Maintenance, or a dependency that is away; the same request works again later."""

    code, status = 1503, 503
    message = _("The service is not available for a moment. Please try again.")

    def __init__(self, *, retry_after: int = 5) -> None:
        super().__init__(retry_after=retry_after)


class InMaintenance(Unavailable):
    """The platform rests; whoever turned it off may have said why."""

    message = _("The platform is being maintained. Please come back later.")

    def __init__(self, *, text: str = "", retry_after: int = 60) -> None:
        super().__init__(retry_after=retry_after)
        self.text = text

    @override
    def __str__(self) -> str:
        return self.text or str(self.message)


class JobAlreadyDue(DomainError):
    code, status = 9010, 409
    message = _("It is due already, or running: one run is enough.")
