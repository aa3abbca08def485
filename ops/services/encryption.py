"""Secrets that must not be read from a copy of the database."""

import base64
import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken

from ops.services import key_ring
from ops.services.key_ring import Key, UnknownKey


@lru_cache(maxsize=32)
def _cipher(key: Key) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.secret).digest()))


def encrypt(plain: str) -> str:
    """Encrypt text with the newest field key (Fernet: AES-128-CBC, HMAC-SHA256).

    The key's id stands in front: `id:ciphertext`.
    """
    key = key_ring.newest("field")
    return f"{key.id}:{_cipher(key).encrypt(plain.encode()).decode('ascii')}"


def decrypt(encrypted: str) -> str:
    """Decrypt what `encrypt` made with any of the keys.

    Raises cryptography.fernet.InvalidToken when it was altered or its key is gone.
    """
    key = key_of(encrypted)
    return _cipher(key).decrypt(encrypted.rpartition(":")[2].encode()).decode()


def key_of(encrypted: str) -> Key:
    """The key that a ciphertext names, or the one that opens it where it names none.

    Raises InvalidToken when no key of the ring is that.
    """
    key_id, names_key, _ciphertext = encrypted.partition(":")
    if names_key:
        try:
            return key_ring.find("field", key_id)
        except UnknownKey as error:
            raise InvalidToken(str(error)) from error
    # From before ciphertexts named their keys.
    for key in key_ring.keys("field"):
        if _is_signed(key, encrypted):
            return key
    raise InvalidToken("No key of FIELD_ENCRYPTION_KEYS opens it.")


def _is_signed(key: Key, ciphertext: str) -> bool:
    try:
        _cipher(key).extract_timestamp(ciphertext.encode())
    except InvalidToken:
        return False
    return True


def keyed_hash(purpose: str, value: str) -> str:
    """Recognise a value again without keeping it: HMAC-SHA256 under the newest hash key, in hex.

    The same value has another hash for another purpose, so that tables cannot be joined by it.
    """
    return _hash(_hash_secret(key_ring.newest("hash"), purpose), value)


def keyed_hashes(purpose: str, value: str) -> list[str]:
    """The hashes of a value under every key of the ring, newest first: how it may be known."""
    return [_hash(_hash_secret(key, purpose), value) for key in key_ring.keys("hash")]


@lru_cache(maxsize=128)
def _hash_secret(key: Key, purpose: str) -> bytes:
    return hashlib.sha256(purpose.encode() + b":" + key.secret).digest()


def _hash(secret: bytes, value: str) -> str:
    return hmac.digest(secret, value.encode(), "sha256").hex()
