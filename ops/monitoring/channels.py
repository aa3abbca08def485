"""One message to one channel: Slack and e-mail by Apprise, the others by ourselves.

An address is what Apprise takes (https://github.com/caronc/apprise/wiki), a webhook's an https://
address. `SCHEMES` says which belong to which kind: an address of another one would reach files or
programs of this machine. Where a webhook and e-mail may lead is decided in `ops.monitoring.reach`;
the others lead to their vendors alone (`ops.monitoring.vendors`).
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from apprise.plugins.email import NotifyEmail
from apprise.plugins.email.smtp import SMTPSecureMode
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from ops.models import AlertChannel, ChannelKind, Severity
from ops.monitoring import reach, vendors
from ops.monitoring.reach import LeadsInside
from ops.services.encryption import decrypt, encrypt

TIME_LIMIT = (3, 7)  # seconds to connect, and to wait for the answer
LOOPBACK = ("localhost", "127.0.0.1", "::1")
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
    ChannelKind.FEISHU: "feishu://SECRET@TOKEN",
    ChannelKind.SLACK: "slack://TOKEN_A/TOKEN_B/TOKEN_C/#channel",
    ChannelKind.EMAIL: "mailtos://user:password@smtp.example.com?to=staff@example.com",
    ChannelKind.WEBHOOK: "https://alerts.example.com/hook?token=…",
}
_TYPES = {
    Severity.INFO: NotifyType.INFO,
    Severity.WARNING: NotifyType.WARNING,
    Severity.CRITICAL: NotifyType.FAILURE,
}


MOST_OF_AN_ANSWER = 65_536  # bytes that are read of it


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
    """Raise BadAddress when an address is none of this kind, leads inside, or goes without TLS."""
    example = EXAMPLES[kind]
    if "://" not in address or kind_of(address) != kind:
        raise BadAddress(_("Such an address looks like %(example)s.") % {"example": example})
    host = _host_of(kind, address)
    if host == "":
        raise BadAddress(_("Such an address looks like %(example)s.") % {"example": example})
    is_plain = address.lower().startswith(("http://", "mailto://"))
    if is_plain and host not in {*LOOPBACK, *settings.PLAINTEXT_HOSTS}:
        raise BadAddress(
            _("It would be sent without TLS: write it like %(example)s.") % {"example": example}
        )
    if host is not None:
        try:
            reach.check_name(host)
        except LeadsInside as error:
            raise BadAddress(str(error)) from None


def _host_of(kind: str, address: str) -> str | None:
    """Which host an address leads to; None for its vendor's, empty where it is no address."""
    if kind == ChannelKind.WEBHOOK:
        try:
            return urlsplit(address).hostname or ""
        except ValueError:
            return ""
    plugin = Apprise.instantiate(address)
    if plugin is None or (kind in vendors.ADDRESSES and not vendors.is_address(address)):
        return ""
    # As Apprise reads them, however they are written there.
    is_open = not plugin.verify_certificate
    if isinstance(plugin, NotifyEmail) and not address.lower().startswith("mailto://"):
        is_open = is_open or plugin.secure_mode == SMTPSecureMode.INSECURE
    if is_open:
        raise BadAddress(
            _("mode=insecure and verify=no are not taken: anybody on the way could read it.")
        )
    return str(plugin.smtp_host) if isinstance(plugin, NotifyEmail) else None


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
    now = now or timezone.now()
    try:
        if target.kind == ChannelKind.WEBHOOK:
            _post(target.address, _for_webhook(message, now))
        elif target.kind in vendors.ADDRESSES:
            text = f"{message['title']}\n{_text_of(message)}"
            where, said = vendors.request_of(target.kind, target.address, text=text, now=now)
            vendors.check_answer(_read(_post(where, said, reads=MOST_OF_AN_ANSWER)))
        else:
            _notify(target.address, message)
    except (LeadsInside, vendors.Refused) as error:
        raise NotDelivered(str(error)) from None
    except OSError as error:  # of requests as well
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


def _text_of(message: dict[str, Any]) -> str:
    return "\n".join(part for part in (message["text"], message["link"]) if part)


def _post(address: str, said: dict[str, Any], *, reads: int = 0) -> bytes:
    """Post JSON; returns so many bytes of the answer. Raises NotDelivered when it is no good one.

    What somebody wrote down as a webhook is not read: it could be endless.
    """
    # A redirect could lead anywhere, and asks with GET.
    with (
        reach.session() as session,
        session.post(
            address, json=said, timeout=TIME_LIMIT, allow_redirects=False, stream=True
        ) as answer,
    ):
        if not 200 <= answer.status_code < 300:
            raise NotDelivered(f"HTTP {answer.status_code}")
        return next(answer.iter_content(reads), b"") if reads else b""


def _read(answer: bytes) -> object:
    try:
        return json.loads(answer)
    except ValueError:
        return None


def _notify(address: str, message: dict[str, Any]) -> None:
    connect, read = TIME_LIMIT
    separator = "&" if "?" in address else "?"
    channel = Apprise(asset=AppriseAsset(app_id=SENDER, async_mode=False))
    # As text: what people wrote is no markup.
    if not channel.add(f"{address}{separator}format=text&cto={connect}&rto={read}"):
        raise NotDelivered(_("its address cannot be read"))
    for plugin in channel:
        if isinstance(plugin, NotifyEmail):
            # What it resolves a moment later itself is not looked at: it speaks SMTP alone.
            reach.addresses_of(plugin.smtp_host, plugin.port or 0)
    kind = _TYPES.get(message["severity"], NotifyType.INFO)
    if message["kind"] == "resolved" and not message.get("is_unread"):
        kind = NotifyType.SUCCESS
    if not channel.notify(
        title=message["title"],
        body=_text_of(message),
        notify_type=kind,
        body_format=NotifyFormat.TEXT,
    ):
        raise NotDelivered(_("it did not take the message"))
