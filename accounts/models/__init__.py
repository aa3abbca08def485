"""People, the devices they are signed in on, and the ledger of their points."""

from accounts.models.device_sessions import DeviceSession
from accounts.models.nicknames import check_nickname, tidy_nickname
from accounts.models.people import User, UserStatus
from accounts.models.points import PointsEntry, PointsSource
from accounts.models.registration_marks import RegistrationMark
from accounts.models.sign_in_codes import SignInCode
from accounts.models.tiers import Tier

__all__ = [
    "DeviceSession",
    "PointsEntry",
    "PointsSource",
    "RegistrationMark",
    "SignInCode",
    "Tier",
    "User",
    "UserStatus",
    "check_nickname",
    "tidy_nickname",
]
