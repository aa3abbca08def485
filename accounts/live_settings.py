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
CODES_AN_HOUR_PER_PREFIX = declare(
    Whole(
        key="sms.codes_an_hour_per_prefix",
        default=lambda: settings.SMS_CODES_AN_HOUR_PER_PREFIX,
        most=1_000_000,
        unit=_("sign-in codes"),
        group=SIGN_IN,
        label=_("Codes an hour for neighbouring numbers"),
        description=_("That all phones may ask for that differ in their last four digits alone."),
        environment="SMS_CODES_AN_HOUR_PER_PREFIX",
    )
)
CODES_A_DAY_IN_ALL = declare(
    Whole(
        key="sms.codes_a_day_in_all",
        default=lambda: settings.SMS_CODES_A_DAY_IN_ALL,
        most=100_000_000,
        unit=_("sign-in codes"),
        group=SIGN_IN,
        label=_("Budget of codes a day"),
        description=_("That the platform pays for. After that nobody gets one until midnight."),
        environment="SMS_CODES_A_DAY_IN_ALL",
    )
)
PUMPING_CODES = declare(
    Whole(
        key="sms.pumping_codes",
        default=lambda: settings.SMS_PUMPING_CODES,
        most=10_000,
        unit=_("sign-in codes"),
        group=SIGN_IN,
        label=_("Codes that are looked at for pumping"),
        description=_(
            "Of so many codes for phones that never signed in before it is looked how many were "
            "used. Where there were few, somebody has codes sent for the sake of sending: other "
            "such phones wait. 0 looks at none."
        ),
        environment="SMS_PUMPING_CODES",
    )
)
PUMPING_PERCENT = declare(
    Whole(
        key="sms.pumping_percent",
        default=lambda: settings.SMS_PUMPING_PERCENT,
        most=100,
        unit="%",
        group=SIGN_IN,
        label=_("Share of used codes that is too small"),
        description=_("Below it codes count as pumped."),
        environment="SMS_PUMPING_PERCENT",
    )
)
PUMPING_MINUTES = declare(
    Whole(
        key="sms.pumping_minutes",
        default=lambda: settings.SMS_PUMPING_MINUTES,
        least=2,
        most=1440,
        unit=_("minutes"),
        group=SIGN_IN,
        label=_("How far back pumping is looked for"),
        description=_("Older codes count no more, so that the wait ends by itself."),
        environment="SMS_PUMPING_MINUTES",
    )
)
