"""WeChat on loopback, as strict as the real one: its codes work once, and it says what it says.

Its session keys are known to the suite's search for leaks: whoever logs one fails.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from accounts import wechat
from accounts.tests.local_server import HANGS, Answer, Asked, LocalServer, running
from tests.leaks import leaks

APP_ID, SECRET = "wx0123456789abcdef", "5ecret-of-the-mini-program"
HTML = Answer(b"<html>WeChat is busy</html>", content_type="text/html")


def says(code: int, text: str = "...") -> Answer:
    """An error as WeChat writes it: with status 200, and as text."""
    said = {"errcode": code, "errmsg": f"{text} rid: 6357a1b2-4f0c"}
    return Answer(said, content_type="text/plain")


@dataclass
class FakeWeChat:
    """What this WeChat knows: codes that it gave, and whose they are."""

    local: LocalServer
    logins: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    phones: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    session_keys: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    # What it answers instead, by path.
    instead: dict[str, Answer] = field(default_factory=dict)
    checks_openid: bool = True

    def login(self, openid: str, unionid: str | None = None) -> str:
        """A code of `wx.login`, as the mini-program of this person gets it."""
        code = f"0c{secrets.token_hex(15)}"
        self.logins[code] = (openid, unionid)
        return code

    def phone(self, openid: str, number: str, country: str = "86") -> str:
        """A code of the phone button that this person tapped."""
        code = secrets.token_hex(32)
        self.phones[code] = (openid, number, country)
        return code

    def asked_for(self, path: str) -> list[Asked]:
        """What came to this path."""
        return [asked for asked in self.local.asked if asked.path == path]

    def answer(self, asked: Asked) -> Answer:
        """What it says."""
        if asked.path in self.instead:
            return self.instead[asked.path]
        return {
            "/sns/jscode2session": self._session,
            "/cgi-bin/stable_token": self._token,
            "/wxa/business/getuserphonenumber": self._phone,
        }[asked.path](asked)

    def _session(self, asked: Asked) -> Answer:
        said = asked.query
        assert asked.method == "GET"
        assert said["grant_type"] == "authorization_code"
        if said["appid"] != APP_ID:
            return says(40013, "invalid appid")
        if said["secret"] != SECRET:
            return says(40125, "invalid appsecret")
        code = said["js_code"]
        if code not in self.logins:
            return says(40029, "invalid code")
        if code in self.used:
            return says(40163, "code been used")
        self.used.add(code)
        openid, unionid = self.logins[code]
        key = secrets.token_urlsafe(16)
        leaks.know(key)
        self.session_keys.append(key)
        body = {"openid": openid, "session_key": key, "expires_in": 7200, "some_new_field": [1]}
        return Answer(body | ({"unionid": unionid} if unionid else {}), content_type="text/plain")

    def _token(self, asked: Asked) -> Answer:
        said = asked.json
        assert said["grant_type"] == "client_credential"
        if said["appid"] != APP_ID:
            return says(40013, "invalid appid")
        if said["secret"] != SECRET:
            return says(40125, "invalid appsecret")
        if not self.tokens:
            self.tokens.append(f"99_{secrets.token_hex(40)}")
            leaks.know(self.tokens[-1])
        return Answer({"access_token": self.tokens[-1], "expires_in": 7200})

    def _phone(self, asked: Asked) -> Answer:
        if not self.tokens or asked.query["access_token"] != self.tokens[-1]:
            return says(40001, "invalid credential, access_token is invalid or not latest")
        code = asked.json["code"]
        if code not in self.phones or code in self.used:
            return says(40029, "invalid code")
        openid, number, country = self.phones[code]
        if self.checks_openid and asked.json.get("openid") not in {None, openid}:
            return says(40003, "invalid openid")
        self.used.add(code)
        facts = {
            "phoneNumber": number if country == "86" else f"+{country}{number}",
            "purePhoneNumber": number,
            "countryCode": country,
            "watermark": {"timestamp": 1637744274, "appid": APP_ID},
        }
        return Answer({"errcode": 0, "errmsg": "ok", "phone_info": facts, "extra": {}})


@contextmanager
def wechat_on_loopback(settings) -> Iterator[FakeWeChat]:
    """Let the platform sign in at a WeChat of this test's own."""
    with running(lambda asked: HANGS) as local:
        fake = FakeWeChat(local)
        local.answer = fake.answer
        settings.WECHAT_URL, settings.WECHAT_APP_ID = local.base, APP_ID
        settings.WECHAT_APP_SECRET = SECRET
        wechat.forget()
        yield fake
    wechat.forget()
