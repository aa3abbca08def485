"""WeChat: who somebody is by a code of the mini-program, and which phone they have.

Of what WeChat answers the openid, the unionid and the phone are looked at, and nothing else: the
session key opens what a customer's WeChat encrypts, and is neither kept nor passed on. The secret
of the platform and codes stand in the addresses that are asked: no error here shows one.
"""

import logging
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, TypeGuard

import httpx
import orjson
from django.conf import settings

from accounts.deadlines import within
from accounts.errors import WeChatAway, WeChatRefused
from accounts.metrics import WECHAT_SECONDS

logger = logging.getLogger(__name__)

SECONDS = 3  # for one question, whatever WeChat does
LONGEST_ID = 64  # characters
RENEWED_BEFORE = 300  # seconds before an access token ends
# What WeChat says of a code: wrong, used before, of another app, or of somebody it distrusts.
# 40003 is a phone that belongs to somebody else than the openid that was named.
REFUSED = frozenset({40003, 40029, 40163, 40226, 41008})
TOKEN_ENDED = frozenset({40001, 40014, 42001})
# The platform itself is at fault: app id, secret, allowed addresses and rights at WeChat.
MISCONFIGURED = frozenset({40013, 40125, 40164, 41002, 41004, 48001})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is at WeChat: in this mini-program, and in all of the same owner's."""

    openid: str
    unionid: str | None


@dataclass(slots=True)
class _Tokens:
    """The access token of this process. WeChat gives all processes the same one."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = ""
    of: tuple[str, str] = ("", "")  # the app and the address that gave it
    until: float = 0  # by the monotonic clock

    def forget(self, token: str) -> None:
        with self.lock:
            if self.token == token:
                self.token = ""


_tokens = _Tokens()


def forget() -> None:
    """Know no access token: the next question asks for one."""
    _tokens.forget(_tokens.token)


def identify(code: str) -> Identity:
    """Exchange a code of `wx.login` for who it is (code2session). A code works once.

    Raises WeChatRefused for a code that WeChat does not take, and WeChatAway.
    """
    parameters = {
        "appid": _app_id(),
        "secret": str(settings.WECHAT_APP_SECRET),
        "js_code": code,
        "grant_type": "authorization_code",
    }
    answer = _ask("session", "/sns/jscode2session", parameters=parameters)
    openid, unionid = answer.get("openid"), answer.get("unionid") or None
    if not _is_id(openid) or not (unionid is None or _is_id(unionid)):
        raise _odd("session without an openid")
    return Identity(openid, unionid)


def phone_of(phone_code: str, *, openid: str) -> str:
    """Exchange a code of the phone button for the phone (getuserphonenumber). It works once.

    WeChat is told whose it has to be: the code of somebody else is refused. A number of the
    mainland comes as it is written there, any other with `+` and its country. Raises WeChatRefused
    and WeChatAway.
    """
    body = {"code": phone_code, "openid": openid}
    for is_last in (False, True):
        token = _access_token()
        answer = _ask(
            "phone",
            "/wxa/business/getuserphonenumber",
            parameters={"access_token": token},
            body=body,
            may_say=frozenset() if is_last else TOKEN_ENDED,
        )
        if answer.get("errcode") not in TOKEN_ENDED:
            break
        _tokens.forget(token)  # it ended before its time: somebody made another one by force
    return _phone_in(answer)


def _phone_in(answer: Mapping[str, Any]) -> str:
    info = answer.get("phone_info")
    if not isinstance(info, dict):
        raise _odd("phone without its facts")
    mark, number = info.get("watermark"), info.get("purePhoneNumber")
    country = str(info.get("countryCode"))  # documented as a text, and shown as a number
    if not isinstance(mark, dict) or not isinstance(number, str) or not country.isdecimal():
        raise _odd("phone without its facts")
    if mark.get("appid") != settings.WECHAT_APP_ID:
        raise _odd("phone of another app")
    return number if country == "86" else f"+{country}{number}"


def _access_token() -> str:
    """The token for what the platform itself asks, from memory while it is good."""
    of = (_app_id(), settings.WECHAT_URL)
    with _tokens.lock:
        if _tokens.token and _tokens.of == of and time.monotonic() < _tokens.until:
            return _tokens.token
    body = {
        "grant_type": "client_credential",
        "appid": _app_id(),
        "secret": str(settings.WECHAT_APP_SECRET),
        "force_refresh": False,
    }
    answer = _ask("token", "/cgi-bin/stable_token", body=body)
    token, lifetime = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(token, str) or not token or not isinstance(lifetime, int):
        raise _odd("token that is none")
    with _tokens.lock:
        _tokens.token, _tokens.of = token, of
        _tokens.until = time.monotonic() + lifetime - RENEWED_BEFORE
    return token


def _odd(what: str) -> WeChatAway:
    """Log that WeChat answered something that nobody can use; a refusal to raise."""
    logger.warning("WeChat answered a %s", what)
    return WeChatAway()


def _app_id() -> str:
    app_id: str = settings.WECHAT_APP_ID
    if not app_id:
        raise WeChatAway
    return app_id


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(
        re.fullmatch(rf"[\w-]{{1,{LONGEST_ID}}}", value, re.ASCII)
    )


def _ask(
    asked: str,
    path: str,
    *,
    parameters: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    may_say: frozenset[int] = frozenset(),
) -> Mapping[str, Any]:
    """What WeChat answers; raises WeChatRefused or WeChatAway unless it is a success or `may_say`.

    With a body it is a POST of JSON, as WeChat has it, else a GET.
    """
    started = time.monotonic()
    answer, trouble = _answer(partial(_request, path, parameters or {}, body))
    said = answer.get("errcode", 0)
    if not isinstance(said, int):
        trouble = "no errcode that is a number"
    is_refusal = not trouble and said in REFUSED
    is_away = bool(trouble) or not (said == 0 or said in may_say or is_refusal)
    outcome = "away" if is_away else "refused" if is_refusal else "answered"
    WECHAT_SECONDS.observe(time.monotonic() - started, asked, outcome)
    if is_refusal:
        logger.info("WeChat refused a %s: errcode %s", asked, said)
        raise WeChatRefused
    if is_away:
        level = logging.ERROR if said in MISCONFIGURED else logging.WARNING
        logger.log(level, "WeChat gave no %s: %s", asked, trouble or f"errcode {said}")
        raise WeChatAway
    return answer


def _answer(request: Callable[[], httpx.Response]) -> tuple[Mapping[str, Any], str]:
    """The JSON object that WeChat answers, or else what was wrong, in words for the log."""
    try:
        response = within(SECONDS, request)
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}, f"status {response.status_code} without JSON"
    except Exception as error:  # noqa: BLE001  what it says has the secret of the platform in it
        return {}, type(error).__name__
    if not isinstance(answer, dict):
        return {}, "JSON that is no object"
    return answer, ""


def _request(
    path: str, parameters: Mapping[str, str], body: Mapping[str, Any] | None
) -> httpx.Response:
    address = f"{settings.WECHAT_URL}{path}"
    content = None if body is None else orjson.dumps(body)
    method = "GET" if body is None else "POST"
    headers = {"Content-Type": "application/json"} if content else {}
    return httpx.request(
        method,
        address,
        params=parameters,
        content=content,
        headers=headers,
        timeout=SECONDS,
        verify=_authorities(),
    )


@cache
def _authorities() -> ssl.SSLContext:
    """Whose certificates are believed; reading them takes longer than a request."""
    return httpx.create_ssl_context()
