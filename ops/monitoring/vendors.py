"""What DingTalk, WeCom and Feishu want of a request, and how they refuse one.

Not by Apprise: these three answer 200 to what they refuse, with a code of their own, and Apprise
takes that for a delivery from two of them; it encodes DingTalk's signature twice and knows none of
Feishu's. What an address looks like is Apprise's (`ops.monitoring.channels`).
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from ops import masking
from ops.models import ChannelKind

ADDRESSES: dict[str, str] = {
    ChannelKind.DINGTALK: "https://oapi.dingtalk.com/robot/send",
    ChannelKind.WECOM: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send",
    ChannelKind.FEISHU: "https://open.feishu.cn/open-apis/bot/v2/hook",
}
# Bytes of a text that WeCom takes; DingTalk and Feishu take more than any notice has.
MOST_OF_WECOM = 2048

# scheme://SECRET@TOKEN/WHO, of which WHO are telephone numbers that DingTalk calls by name.
_PARTS = re.compile(r"\A\w+://(?:(?P<secret>[\w-]+)@)?(?P<token>[\w-]+)(?P<who>(?:/\+?\d+)*)/?\Z")

type Said = dict[str, Any]


class Refused(Exception):
    """A vendor that did not take a message; its text is the vendor's reason."""


def is_address(address: str) -> bool:
    """Whether an address has the parts that a request needs."""
    return _PARTS.match(address) is not None


def request_of(kind: str, address: str, *, text: str, now: datetime) -> tuple[str, Said]:
    """Where a text is sent, with the signature if the address has a secret, and as which JSON.

    Raises Refused for an address that has not the parts.
    """
    parts = _PARTS.match(address)
    if parts is None:
        raise Refused(_("its address cannot be read"))
    secret, token = parts["secret"] or "", parts["token"]
    match kind:
        case ChannelKind.DINGTALK:
            query = {"access_token": token, **_signed_by_dingtalk(secret, now)}
            who = [one for one in parts["who"].split("/") if one]
            said: Said = {"msgtype": "text", "text": {"content": text}}
            if who:
                said["at"] = {"atMobiles": who, "isAtAll": False}
            return f"{ADDRESSES[kind]}?{urlencode(query)}", said
        case ChannelKind.WECOM:
            content = text.encode()[:MOST_OF_WECOM].decode(errors="ignore")
            query = {"key": token}
            said = {"msgtype": "text", "text": {"content": content}}
            return f"{ADDRESSES[kind]}?{urlencode(query)}", said
        case _:
            said = {"msg_type": "text", "content": {"text": text}}
            return f"{ADDRESSES[kind]}/{token}", {**_signed_by_feishu(secret, now), **said}


def _signed_by_dingtalk(secret: str, now: datetime) -> dict[str, str]:
    """https://open.dingtalk.com/document/robots/customize-robot-security-settings."""
    if not secret:
        return {}
    timestamp = str(round(now.timestamp() * 1000))
    sign = hmac.digest(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256)
    return {"timestamp": timestamp, "sign": base64.b64encode(sign).decode()}


def _signed_by_feishu(secret: str, now: datetime) -> dict[str, str]:
    """https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot: the text is the key."""
    if not secret:
        return {}
    timestamp = str(round(now.timestamp()))
    sign = hmac.digest(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256)
    return {"timestamp": timestamp, "sign": base64.b64encode(sign).decode()}


def check_answer(answer: object) -> None:
    """Raise Refused unless what a vendor answered says that it took the message."""
    if not isinstance(answer, Mapping):
        raise Refused(_("its answer cannot be read"))
    code = answer.get("errcode", answer.get("code"))
    if code != 0:
        why = masking.mask(str(answer.get("errmsg") or answer.get("msg") or ""))
        raise Refused(f"{code} {why}".strip()[:200])
