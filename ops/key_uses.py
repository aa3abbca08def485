"""What of the platform itself hangs on keys."""

from ops.models import IdempotencyRecord
from ops.services import key_uses
from ops.services.key_uses import EncryptedColumn


def register() -> None:
    """Register the answers kept for an Idempotency-Key."""
    key_uses.register(EncryptedColumn(IdempotencyRecord, "answer"))
