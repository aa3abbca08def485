"""Access and refresh tokens of a device session, signed anew from what the session keeps.

A token's claims follow from the session and its generation alone, so the pair whose answer was
lost on the way can be given again byte for byte, and no token is ever stored.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from accounts.models import DeviceSession
from ops.errors import NotSignedIn
from ops.services.encryption import keyed_hash


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


def sign_pair(session: DeviceSession) -> TokenPair:
    """Sign the pair of the session's present generation."""
    return TokenPair(
        access_token=_sign(AccessToken(), session),
        refresh_token=_sign(RefreshToken(), session),
        expires_in=int(AccessToken.lifetime.total_seconds()),
    )


def _sign(token: Token, session: DeviceSession) -> str:
    token["user_id"] = str(session.user_id)
    token["sid"] = session.pk
    token["gen"] = session.generation
    token["jti"] = keyed_hash("token", f"{token.token_type}:{session.pk}:{session.generation}")[:32]
    token.set_iat(at_time=session.rotated_at)
    token.set_exp(from_time=session.rotated_at, lifetime=token.lifetime)
    return str(token)


def read_access(text: str) -> Claims:
    """Read an access token. Raises NotSignedIn when it is malformed, expired or of another type."""
    return _read(AccessToken, text)


def read_refresh(text: str) -> Claims:
    """Read a refresh token. Raises NotSignedIn as `read_access` does."""
    return _read(RefreshToken, text)


def _read(kind: type[Token], text: str) -> Claims:
    try:
        token = kind(text)  # type: ignore[arg-type]  # its stubs expect a Token
        return Claims(
            person_id=int(token["user_id"]),
            session_id=int(token["sid"]),
            generation=int(token["gen"]),
            expires_at=datetime.fromtimestamp(token["exp"], tz=UTC),
        )
    except (TokenError, KeyError, TypeError, ValueError) as error:
        raise NotSignedIn from error
