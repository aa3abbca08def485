"""Access and refresh tokens of a device session, signed anew from what the session keeps.

A token's claims and its key follow from the session and its generation alone, so the pair whose
answer was lost on the way can be given again byte for byte, and no token is ever stored.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, override

import jwt
from django.conf import settings
from django.db.models import Count, Max
from django.utils import timezone
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts.models import DeviceSession
from ops.errors import NotSignedIn
from ops.services import key_ring
from ops.services.key_ring import Key, UnknownKey
from ops.services.key_uses import Alive

ALGORITHM = "HS256"
# Who signs tokens, and for whom: what else is ever signed with these keys is no token of the API.
ISSUER = "points"
AUDIENCE = "points-api"


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a sign-in or a refresh answers; `expires_in` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says."""

    person_id: int
    session_id: int
    generation: int
    expires_at: datetime
    # False for a token of the version before, which named no issuer and no audience. It is as good
    # for a sign-in of that version (`DeviceSession.takes_unnamed`), and for no other.
    names_issuer: bool = True


class _KeyRingBackend(TokenBackend):
    """simplejwt's checks, under the key of the ring that a token's header names."""

    @override
    def get_verifying_key(self, token: Any) -> bytes:
        key_id = jwt.get_unverified_header(token).get("kid")
        if key_id is None:  # from before tokens named their keys
            return settings.SECRET_KEY.encode()
        try:
            return key_ring.find("token", key_id).secret
        except UnknownKey as error:
            raise TokenBackendError(str(error)) from error


class _Access(AccessToken):
    _token_backend = _KeyRingBackend(ALGORITHM)


class _Refresh(RefreshToken):
    _token_backend = _KeyRingBackend(ALGORITHM)


def sign_pair(session: DeviceSession) -> TokenPair:
    """Sign the pair of the session's present generation, under the key it was first signed with.

    Where that key is gone, or the session is older than keys with ids, the newest one signs: the
    pair is as good, but not the same bytes.
    """
    try:
        key = key_ring.find("token", session.key_id)
    except UnknownKey:
        key = key_ring.newest("token")
    return TokenPair(
        access_token=_sign(_Access(), session, key),
        refresh_token=_sign(_Refresh(), session, key),
        expires_in=int(AccessToken.lifetime.total_seconds()),
    )


def _sign(token: Token, session: DeviceSession, key: Key) -> str:
    token["iss"] = ISSUER
    token["aud"] = AUDIENCE
    token["user_id"] = str(session.user_id)
    token["sid"] = session.pk
    token["gen"] = session.generation
    token["jti"] = _id_of(token, session.pk, session.generation)
    token.set_iat(at_time=session.rotated_at)
    token.set_exp(from_time=session.rotated_at, lifetime=token.lifetime)
    return jwt.encode(token.payload, key.secret, algorithm=ALGORITHM, headers={"kid": key.id})


def _id_of(token: Token, session_id: int, generation: int) -> str:
    return f"{token.token_type}-{session_id}-{generation}"


def read_access(text: str) -> Claims:
    """Read an access token. Raises NotSignedIn when it is malformed, expired or of another type.

    So it does for another issuer or audience, and for claims that contradict each other.
    """
    return _read(_Access, text)


def read_refresh(text: str) -> Claims:
    """Read a refresh token. Raises NotSignedIn as `read_access` does."""
    return _read(_Refresh, text)


def alive(key_id: str) -> Alive:
    """The sign-ins whose present pair this key signed, and when the last of those pairs ends."""
    now = timezone.now()
    sessions = DeviceSession.objects.filter(
        key_id=key_id, revoked_at__isnull=True, expires_at__gt=now
    )
    return Alive(**sessions.aggregate(count=Count("pk"), until=Max("expires_at")))


def _read(kind: type[Token], text: str) -> Claims:
    try:
        token = kind(text)  # type: ignore[arg-type]  # its stubs expect a Token
        claims = Claims(
            person_id=int(token["user_id"]),
            session_id=int(token["sid"]),
            generation=int(token["gen"]),
            expires_at=datetime.fromtimestamp(token["exp"], tz=UTC),
            names_issuer="iss" in token or "aud" in token,
        )
    except (TokenError, KeyError, TypeError, ValueError) as error:
        raise NotSignedIn from error
    is_named = (token.get("iss"), token.get("aud")) == (ISSUER, AUDIENCE)
    is_itself = token.get("jti") == _id_of(token, claims.session_id, claims.generation)
    if claims.names_issuer != is_named or not is_itself:
        raise NotSignedIn
    return claims
