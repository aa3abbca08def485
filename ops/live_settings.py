"""The live settings of the platform itself: how much a client may ask, and how."""

from datetime import timedelta

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from ops.setting_kinds import Duration, Switch, Text, declare

REQUESTS = _("Requests")
RATE = r"[1-9][0-9]{0,8}/(s|sec|second|m|min|minute|h|hour|d|day)"

REQUESTS_PER_PERSON = declare(
    Text(
        key="requests.per_person",
        default=lambda: settings.REQUESTS_PER_PERSON,
        pattern=RATE,
        example="600/min",
        group=REQUESTS,
        label=_("Requests per person"),
        description=_("More are refused with 1013. By s, min, hour or day."),
        environment="REQUESTS_PER_PERSON",
    )
)
UPLOADS_PER_PERSON = declare(
    Text(
        key="requests.uploads_per_person",
        default=lambda: settings.UPLOADS_PER_PERSON,
        pattern=RATE,
        example="60/min",
        group=REQUESTS,
        label=_("Photos per person"),
        description=_("Also refused ones: each has to be looked into. By s, min, hour or day."),
        environment="UPLOADS_PER_PERSON",
    )
)
REQUIRE_IDEMPOTENCY_KEY = declare(
    Switch(
        key="requests.require_idempotency_key",
        default=lambda: settings.REQUIRE_IDEMPOTENCY_KEY,
        group=REQUESTS,
        label=_("Idempotency-Key demanded"),
        description=_("Requests that spend or award are refused with 1019 without one."),
        is_public=True,
        environment="REQUIRE_IDEMPOTENCY_KEY",
    )
)
SIGNED_ADDRESS_LIFETIME = declare(
    Duration(
        key="files.signed_address_lifetime",
        default=lambda: settings.SIGNED_ADDRESS_LIFETIME,
        least=timedelta(minutes=1),
        most=timedelta(days=1),
        group=_("Files"),
        label=_("Life of a private file's address"),
        description=_("After that the app asks for a new one."),
    )
)
