"""What of people hangs on keys."""

from accounts.models import AccountMerge, RegistrationMark
from accounts.services import console_devices, sign_in_codes, tokens
from ops.services import key_uses
from ops.services.key_uses import KeyIdColumn, PassingUse


def register() -> None:
    """Register marks and merges, which nobody can hash again, and what ends by itself."""
    key_uses.register(KeyIdColumn("hash", RegistrationMark, "key_id"))
    key_uses.register(KeyIdColumn("hash", AccountMerge, "key_id"))
    key_uses.passing.register("accounts.SignInCode", PassingUse("hash", sign_in_codes.alive))
    key_uses.passing.register("accounts.ConsoleDevice", PassingUse("hash", console_devices.alive))
    key_uses.passing.register("accounts.DeviceSession", PassingUse("token", tokens.alive))
