"""What of people hangs on keys."""

from accounts.models import (
    AccountMerge,
    PointsAdjustment,
    RecoveryCode,
    RegistrationMark,
    SecondFactor,
)
from accounts.services import console_devices, sign_in_codes, tokens
from ops.services import key_uses
from ops.services.key_uses import EncryptedColumn, KeyIdColumn, PassingUse


def register() -> None:
    """Register what nobody can hash again (marks, causes, recovery codes), and what ends."""
    key_uses.register(
        KeyIdColumn("hash", RegistrationMark, "key_id"),
        KeyIdColumn("hash", AccountMerge, "key_id"),
        KeyIdColumn("hash", PointsAdjustment, "key_id"),
        KeyIdColumn("hash", RecoveryCode, "key_id"),
        EncryptedColumn(SecondFactor, "secret_encrypted"),
    )
    key_uses.passing.register("accounts.SignInCode", PassingUse("hash", sign_in_codes.alive))
    key_uses.passing.register("accounts.ConsoleDevice", PassingUse("hash", console_devices.alive))
    key_uses.passing.register("accounts.DeviceSession", PassingUse("token", tokens.alive))
