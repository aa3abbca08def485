"""What of the lottery hangs on keys."""

from lottery.models import SeedPair
from ops.services import key_uses
from ops.services.key_uses import EncryptedColumn


def register() -> None:
    """Register the server seeds."""
    key_uses.register(EncryptedColumn(SeedPair, "server_seed_encrypted"))
