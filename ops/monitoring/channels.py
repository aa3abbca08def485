"""One message to one channel, by Apprise; a webhook gets JSON of our own.

An address is what Apprise takes (https://github.com/caronc/apprise/wiki), a webhook's an https://
address. `SCHEMES` says which belong to which kind: an address of another one would reach files or
programs of this machine.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from apprise import Apprise, AppriseAsset, NotifyType
from django.utils import timezone
from django.utils.translation import gettext as _

from ops.models import AlertChannel, ChannelKind, Severity
from ops.services.encryption import decrypt, encrypt

TIME_LIMIT = (3, 7)  # seconds to connect, and to wait for the answer
SENDER = "Points"  # who speaks, where a channel shows it

SCHEMES: dict[str, tuple[str, ...]] = {
    ChannelKind.DINGTALK: ("dingtalk",),
    ChannelKind.WECOM: ("wecombot",),
    ChannelKind.FEISHU: ("feishu",),
    ChannelKind.SLACK: ("slack",),
    ChannelKind.EMAIL: ("mailtos", "mailto"),
    ChannelKind.WEBHOOK: ("https", "http"),
}
# What an address looks like, for whoever has to write one.
EXAMPLES: dict[str, str] = {
    ChannelKind.DINGTALK: "dingtalk://SECRET@ACCESS_TOKEN",
    ChannelKind.WECOM: "wecombot://KEY",
    ChannelKind.FEISHU: "feishu://TOKEN",
    ChannelKind.SLACK: "slack://TOKEN_A/TOKEN_B/TOKEN_C/#channel",
    ChannelKind.EMAIL: "mailtos://user:password@smtp.example.com?to=staff@example.com",
    ChannelKind.WEBHOOK: "https://alerts.example.com/hook?token=…",
}
_TYPES = {
    Severity.INFO: NotifyType.INFO,
    Severity.WARNING: NotifyType.WARNING,
    Severity.CRITICAL: NotifyType.FAILURE,
}


_GOES_AROUND = re.compile(r"[?&](mode|verify|smtp)=", re.IGNORECASE)


class BadAddress(ValueError):
    """An address that no channel of this kind has; its text says what one looks like."""


class NotDelivered(Exception):
    """A channel that did not take a message; its text says why, without the address."""


@dataclass(frozen=True, slots=True)
class Target:
    """A channel without the database: its name, its kind, its address in plain."""

    name: str
    kind: str
    address: str

    @classmethod
    def of(cls, channel: AlertChannel) -> "Target":
        """The target of a channel; raises InvalidToken when the key of its address is gone."""
        return cls(channel.name, channel.kind, decrypt(channel.address_encrypted))


def kind_of(address: str) -> str:
    """The kind of channel that an address belongs to; raises BadAddress when it is of none."""
    scheme = address.partition("://")[0].lower()
    for kind, schemes in SCHEMES.items():
        if scheme in schemes:
            return kind
    known = ", ".join(f"{one}://" for schemes in SCHEMES.values() for one in schemes)
    raise BadAddress(_("It has to begin with one of %(schemes)s.") % {"schemes": known})


def check(kind: str, address: str) -> None:
    """Raise BadAddress when an address is none of this kind, or would be sent without TLS."""
    example = EXAMPLES[kind]
    if "://" not in address or kind_of(address) != kind:
        raise BadAddress(_("Such an address looks like %(example)s.") % {"example": example})
    if kind != ChannelKind.WEBHOOK and _GOES_AROUND.search(address):
        raise BadAddress(
            _("mode, verify and smtp are not taken: they would send it without TLS, or elsewhere.")
        )
    is_plain = address.lower().startswith(("http://", "mailto://"))
    if is_plain and not _is_on_this_machine(address):
        raise BadAddress(
            _("It would be sent without TLS: write it like %(example)s.") % {"example": example}
        )
    if kind != ChannelKind.WEBHOOK and Apprise.instantiate(address) is None:
        raise BadAddress(_("Such an address looks like %(example)s.") % {"example": example})


def _is_on_this_machine(address: str) -> bool:
    host = re.sub(r"\A[a-z]+://([^/?#]*@)?", "", address.lower())
    return re.match(r"(localhost|127\.0\.0\.1|\[::1\])([:/?#]|\Z)", host) is not None


def shown(address: str) -> str:
    """What may be seen of an address: how it begins and its last two signs."""
    scheme = address.partition("://")[0]
    return f"{scheme}://…{address[-2:]}"


def sealed(address: str) -> dict[str, str]:
    """The columns of a channel with this address."""
    return {"address_encrypted": encrypt(address), "shown_address": shown(address)}


def send(target: Target, message: dict[str, Any], *, now: datetime | None = None) -> None:
    """Hand a message to a channel, within ten seconds or so.

    `message` is what `ops.monitoring.words` makes. Raises NotDelivered when it is not taken.
    """
    try:
        if target.kind == ChannelKind.WEBHOOK:
            _post(target.address, _for_webhook(message, now or timezone.now()))
        else:
            _notify(target.address, message)
    except requests.RequestException as error:
        # Without what it says: that names the address, and with it the secret.
        raise NotDelivered(type(error).__name__) from None


def _for_webhook(message: dict[str, Any], now: datetime) -> dict[str, Any]:
    told = {"id", "rule", "severity", "title", "text"}
    return {
        "id": message["id"],
        "rule": message["rule"],
        "severity": message["severity"],
        "title": message["title"],
        "message": message["text"],
        "timestamp": now.isoformat(),
        "data": {name: value for name, value in message.items() if name not in told},
    }


def _post(address: str, said: dict[str, Any]) -> None:
    # A redirect could lead anywhere, into the own network as well.
    answer = requests.post(
        address, json=said, timeout=TIME_LIMIT, allow_redirects=False, stream=True
    )
    answer.close()  # unread: it could be endless
    if not 200 <= answer.status_code < 300:
        raise NotDelivered(f"HTTP {answer.status_code}")


def _notify(address: str, message: dict[str, Any]) -> None:
    connect, read = TIME_LIMIT
    separator = "&" if "?" in address else "?"
    channel = Apprise(asset=AppriseAsset(app_id=SENDER, async_mode=False))
    if not channel.add(f"{address}{separator}cto={connect}&rto={read}"):
        raise NotDelivered(_("its address cannot be read"))
    text = "\n".join(part for part in (message["text"], message["link"]) if part)
    kind = _TYPES.get(message["severity"], NotifyType.INFO)
    if message["kind"] == "resolved":
        kind = NotifyType.SUCCESS
    if not channel.notify(title=message["title"], body=text, notify_type=kind):
        raise NotDelivered(_("it did not take the message"))
