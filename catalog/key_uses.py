"""What of the catalog hangs on keys."""

from catalog.models import VirtualCode
from catalog.services.virtual_codes import rehashed
from ops.services import key_uses
from ops.services.key_uses import EncryptedColumn, KeyIdColumn


def register() -> None:
    """Register virtual codes: what they are encrypted to, and the hash that knows them again."""
    key_uses.register(
        EncryptedColumn(VirtualCode, "code_encrypted"),
        KeyIdColumn("hash", VirtualCode, "key_id", renewal=rehashed),
    )
