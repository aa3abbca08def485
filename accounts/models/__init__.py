"""People, the devices they are signed in on, and the ledger of their points."""

from accounts.models.account_merges import AccountMerge
from accounts.models.adjustments import PointsAdjustment
from accounts.models.code_counts import CodeCount, CountPurpose
from accounts.models.console_devices import ConsoleDevice
from accounts.models.device_sessions import DeviceSession
from accounts.models.email_links import EmailLink
from accounts.models.nicknames import check_nickname, tidy_nickname
from accounts.models.people import User, UserStatus, masked_email
from accounts.models.points import OFTEN_EARNED, OFTEN_SPENT, PointsEntry, PointsSource
from accounts.models.registration_marks import RegistrationMark
from accounts.models.second_factors import RecoveryCode, SecondFactor
from accounts.models.sign_in_codes import CodePurpose, SignInCode
from accounts.models.sign_in_limits import LimitPurpose, SignInLimit
from accounts.models.tiers import Tier

__all__ = [
    "OFTEN_EARNED",
    "OFTEN_SPENT",
    "AccountMerge",
    "CodeCount",
    "CodePurpose",
    "ConsoleDevice",
    "CountPurpose",
    "DeviceSession",
    "EmailLink",
    "LimitPurpose",
    "PointsAdjustment",
    "PointsEntry",
    "PointsSource",
    "RecoveryCode",
    "RegistrationMark",
    "SecondFactor",
    "SignInCode",
    "SignInLimit",
    "Tier",
    "User",
    "UserStatus",
    "check_nickname",
    "masked_email",
    "tidy_nickname",
]
