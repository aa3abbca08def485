"""Channels that the environment names: those that a new platform begins with."""

import logging
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from ops.models import AlertChannel, AuditEntry, ChannelKind
from ops.monitoring import channels
from ops.monitoring.channels import BadAddress

logger = logging.getLogger(__name__)

_TOUCHED = AuditEntry.objects.filter(object_type=AlertChannel._meta.label_lower)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An address that the environment names: where, the how-many-th of all, what is wrong with it.

    `problem` is empty where nothing is. Neither it nor `where` says anything of the address.
    """

    where: str
    number: int
    address: str
    problem: str


@transaction.atomic
def make_first() -> int:
    """Make the channels of ALERT_CHANNELS and EMAIL_URL where there has never been one yet.

    One that staff deleted does not come back: the audit trail knows of it. A bad address keeps no
    other from being made. Returns how many were made. Raises BadAddress where all of them are bad.
    """
    if AlertChannel.objects.exists() or _TOUCHED.all().exists():
        return 0
    found = named()
    good = [one for one in found if not one.problem]
    wrong = "; ".join(f"{one.where}: {one.problem}" for one in found if one.problem)
    if wrong and not good:
        raise BadAddress(wrong)
    if wrong:
        logger.warning("Not every alert channel of the environment was made. %s", wrong)
    made = [
        AlertChannel(
            name=_("%(kind)s %(number)d") % {"kind": ChannelKind(kind).label, "number": one.number},
            kind=kind,
            **channels.sealed(one.address),
        )
        for one in good
        if (kind := channels.kind_of(one.address))
    ]
    return len(AlertChannel.objects.bulk_create(made, ignore_conflicts=True))


def named() -> list[Named]:
    """The addresses that the environment names, each looked at by itself."""
    listed = settings.ALERT_CHANNELS
    found = [
        (f"ALERT_CHANNELS (address {position} of {len(listed)})", address)
        for position, address in enumerate(listed, start=1)
    ]
    if settings.EMAIL_URL:
        found.append(("EMAIL_URL", settings.EMAIL_URL))
    return [
        Named(where=where, number=number, address=address, problem=_problem_of(address))
        for number, (where, address) in enumerate(found, start=1)
    ]


def _problem_of(address: str) -> str:
    try:
        channels.check(channels.kind_of(address), address)
    except BadAddress as error:
        return str(error)
    return ""
