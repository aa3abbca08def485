"""Secrets that must not be read from a copy of the database."""

import base64
import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())) for key in keys]
    )


def encrypt(plain: str) -> str:
    """Encrypt text with the first of FIELD_ENCRYPTION_KEYS (Fernet: AES-128-CBC, HMAC-SHA256)."""
    return _cipher(tuple(settings.FIELD_ENCRYPTION_KEYS)).encrypt(plain.encode()).decode("ascii")


def decrypt(encrypted: str) -> str:
    """Decrypt what `encrypt` made with any of the keys.

    Raises cryptography.fernet.InvalidToken when it was altered or its key is gone.
    """
    return _cipher(tuple(settings.FIELD_ENCRYPTION_KEYS)).decrypt(encrypted.encode()).decode()


def keyed_hash(purpose: str, value: str) -> str:
    """Recognise a value again without keeping it: HMAC-SHA256, in hex.

    The key is the oldest of FIELD_ENCRYPTION_KEYS, which stays when a newer one is put before it.
    The same value has another hash for another purpose, so that tables cannot be joined by it.
    """
    key = hashlib.sha256(f"{purpose}:{settings.FIELD_ENCRYPTION_KEYS[-1]}".encode()).digest()
    return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()
