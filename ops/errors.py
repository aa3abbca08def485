"""Refusals of the platform's floor."""

from django.utils.translation import gettext_lazy as _

from config.errors import DomainError


class IdempotencyKeyReused(DomainError):
    code, status = 1014, 422
    message = _("This Idempotency-Key was used with another body. Use a new key.")


class StillRunning(DomainError):
    code, status = 1015, 409
    message = _("A request with this Idempotency-Key is still running. Try again in a moment.")


class IdempotencyKeyMissing(DomainError):
    code, status = 1019, 400
    message = _("The header Idempotency-Key is missing.")
