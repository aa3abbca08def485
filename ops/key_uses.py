"""What of the platform itself hangs on keys."""

from ops.models import AlertChannel, IdempotencyRecord, LedgerSeal
from ops.services import key_uses
from ops.services.key_uses import EncryptedColumn, KeyIdColumn


def register() -> None:
    """Register the answers kept for an Idempotency-Key, and seals, which are verified for ever."""
    key_uses.register(EncryptedColumn(IdempotencyRecord, "answer"))
    key_uses.register(EncryptedColumn(AlertChannel, "address_encrypted"))
    key_uses.register(KeyIdColumn("seal", LedgerSeal, "key_id"))
