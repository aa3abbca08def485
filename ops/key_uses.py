"""What of the platform itself hangs on keys."""

from ops.models import AlertChannel, Backup, IdempotencyRecord, LedgerSeal, RunStatus
from ops.services import key_uses
from ops.services.key_uses import Alive, EncryptedColumn, KeyIdColumn, PassingUse


def register() -> None:
    """Register the answers kept for an Idempotency-Key, and seals, which are verified for ever.

    Backups pass: the platform starts without the key of one, which then cannot be restored.
    """
    key_uses.register(EncryptedColumn(IdempotencyRecord, "answer"))
    key_uses.register(EncryptedColumn(AlertChannel, "address_encrypted"))
    key_uses.register(KeyIdColumn("seal", LedgerSeal, "key_id"))
    key_uses.passing.register("ops.Backup", PassingUse("field", _backups))


def _backups(key_id: str) -> Alive:
    """The backups under a key; they go when somebody removes them."""
    made = Backup.objects.filter(key_id=key_id, status=RunStatus.SUCCEEDED)
    return Alive(count=made.count(), until=None)
