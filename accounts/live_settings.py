"""The live settings of people: welcome points, and how often a code is asked for or mistyped."""

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from ops.setting_kinds import Whole, declare

SIGN_IN = _("Signing in")

REGISTER_BONUS = declare(
    Whole(
        key="points.register_bonus",
        default=lambda: settings.REGISTER_BONUS,
        most=1_000_000,
        unit=_("points"),
        group=_("Points"),
        label=_("Welcome points"),
        description=_("What somebody gets who signs in for the first time."),
        is_public=True,
        environment="REGISTER_BONUS",
    )
)
CODES_A_DAY = declare(
    Whole(
        key="sms.codes_a_day",
        default=lambda: settings.SMS_CODES_A_DAY,
        most=1000,
        unit=_("sign-in codes"),
        group=SIGN_IN,
        label=_("Codes a day"),
        description=_("That one phone may ask for."),
        environment="SMS_CODES_A_DAY",
    )
)
CODES_AN_HOUR_PER_ADDRESS = declare(
    Whole(
        key="sms.codes_an_hour_per_address",
        default=lambda: settings.SMS_CODES_AN_HOUR_PER_ADDRESS,
        most=1_000_000,
        unit=_("sign-in codes"),
        group=SIGN_IN,
        label=_("Codes an hour"),
        description=_("That one address of the network may ask for."),
        environment="SMS_CODES_AN_HOUR_PER_ADDRESS",
    )
)
WRONG_CODES_AN_HOUR_PER_ADDRESS = declare(
    Whole(
        key="sms.wrong_codes_an_hour_per_address",
        default=lambda: settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS,
        most=1_000_000,
        unit=_("sign-in codes"),
        group=SIGN_IN,
        label=_("Wrong codes an hour"),
        description=_("After so many from one address of the network nobody there is listened to."),
        environment="SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS",
    )
)
