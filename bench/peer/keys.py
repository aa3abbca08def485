"""Keys as the platform's settings name them: of tokens, of seeds and kept answers, of cursors."""

import base64
import hashlib
import hmac
import os

import jwt
from cryptography.fernet import Fernet

from bench.peer.refusals import not_signed_in


def _ring(purpose: str, setting: str) -> dict[str, bytes]:
    """The keys of a setting by their ids, newest first."""
    secrets = [text.encode() for text in os.environ[setting].split(",")]
    ids = (
        hashlib.sha256(b"key id\0" + purpose.encode() + b"\0" + secret).hexdigest()[:12]
        for secret in secrets
    )
    return dict(zip(ids, secrets, strict=True))


class Keys:
    """What the process keeps of them."""

    def __init__(self) -> None:
        self._tokens = _ring("token", "TOKEN_KEYS")
        self._ciphers = {
            key_id: Fernet(base64.urlsafe_b64encode(hashlib.sha256(secret).digest()))
            for key_id, secret in _ring("field", "FIELD_ENCRYPTION_KEYS").items()
        }
        self._newest = next(iter(self._ciphers))
        self._cursor = next(iter(_ring("hash", "HASH_KEYS").values()))

    def read_token(self, header: str | None) -> tuple[int, int]:
        """The person and the sign-in of an access token. Raises Refusal."""
        scheme, _space, text = (header or "").partition(" ")
        if scheme.lower() != "bearer":
            raise not_signed_in()
        try:
            key = self._tokens[jwt.get_unverified_header(text)["kid"]]
            claims = jwt.decode(
                text, key, algorithms=["HS256"], issuer="points", audience="points-api"
            )
            if claims["token_type"] != "access":  # noqa: S105  no password
                raise not_signed_in()
            return int(claims["user_id"]), int(claims["sid"])
        except (jwt.InvalidTokenError, KeyError, ValueError) as error:
            raise not_signed_in() from error

    def encrypt(self, plain: bytes) -> str:
        """As the platform keeps secrets: the key's id, a colon, the ciphertext."""
        return f"{self._newest}:{self._ciphers[self._newest].encrypt(plain).decode('ascii')}"

    def decrypt(self, encrypted: str) -> bytes:
        """What `encrypt` was given; also what the platform encrypted."""
        key_id, _colon, ciphertext = encrypted.partition(":")
        return self._ciphers[key_id].decrypt(ciphertext.encode())

    def sign_cursor(self, name: str, last: int) -> str:
        """Where a list goes on, so that nobody else can make it."""
        tag = hmac.digest(self._cursor, f"{name} {last}".encode(), "sha256")[:16]
        return base64.urlsafe_b64encode(tag + str(last).encode()).decode().rstrip("=")

    def read_cursor(self, name: str, cursor: str) -> int:
        """What `sign_cursor` was given. Raises ValueError for anything else."""
        read = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        last = int(read[16:])
        if self.sign_cursor(name, last) != cursor:
            raise ValueError(cursor)
        return last
