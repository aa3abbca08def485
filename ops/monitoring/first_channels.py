"""Channels that the environment names: those that a new platform begins with."""

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from ops.models import AlertChannel, AuditEntry, ChannelKind
from ops.monitoring import channels

_TOUCHED = AuditEntry.objects.filter(object_type=AlertChannel._meta.label_lower)


@transaction.atomic
def make_first() -> int:
    """Make the channels of ALERT_CHANNELS and EMAIL_URL where there has never been one yet.

    One that staff deleted does not come back: the audit trail knows of it. Returns how many were
    made. Raises BadAddress for an address that is none; nothing is made then.
    """
    if AlertChannel.objects.exists() or _TOUCHED.all().exists():
        return 0
    made = [
        AlertChannel(
            name=_("%(kind)s %(number)d")
            % {"kind": ChannelKind(channels.kind_of(address)).label, "number": number},
            kind=channels.kind_of(address),
            **channels.sealed(address),
        )
        for number, address in enumerate(addresses(), start=1)
    ]
    return len(AlertChannel.objects.bulk_create(made, ignore_conflicts=True))


def addresses() -> list[str]:
    """The addresses that the environment names, checked; raises BadAddress."""
    found = [*settings.ALERT_CHANNELS, *([settings.EMAIL_URL] if settings.EMAIL_URL else [])]
    for address in found:
        channels.check(channels.kind_of(address), address)
    return found
